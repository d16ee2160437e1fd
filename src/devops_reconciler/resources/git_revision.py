"""The commit that a branch, tag or abbreviated commit means now."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from ..api.conditions import Reason
from ..engine.resource import Intent, Observation
from ..services.git import GitCredentials
from .world import ExternalResource, World


class GitRevision(ExternalResource):
    """`<revision>` of `<url>`, resolved once per deployment."""

    service: ClassVar[str] = "git"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    url: str
    revision: str
    username: str = Field(default="", exclude=True)
    password: SecretStr = Field(default=SecretStr(""), exclude=True)

    @property
    def key(self) -> str:
        return f"{self.url}#{self.revision}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        credentials = GitCredentials(self.username, self.password.get_secret_value()) if self.username else None
        commit = await world.git.resolve(self.url, self.revision, credentials)
        if commit is None:
            text = f"{self.url} has no branch, tag or commit {self.revision!r}; push it, or deploy another revision"
            return Observation(exists=True, failed=(Reason.REVISION_NOT_FOUND, text))
        return Observation(exists=True, facts={"commit": commit}, external_id=commit)
