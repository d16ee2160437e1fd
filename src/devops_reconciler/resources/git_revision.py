"""The commit that a branch, tag or abbreviated commit means now, and where it has its manifests."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from ..api.conditions import Reason
from ..api.errors import ValidationError
from ..api.project_file import FILE, manifests_folder
from ..engine.resource import Intent, Observation
from ..services.git import GitCredentials
from .world import ExternalResource, World


class GitRevision(ExternalResource):
    """`<revision>` of `<url>`, resolved once per deployment.

    The facts are `commit`, and `path` where the folder of the manifests depends on `.freeleaps.yaml` at that commit.
    """

    service: ClassVar[str] = "git"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    url: str
    revision: str
    username: str = Field(default="", exclude=True)
    password: SecretStr = Field(default=SecretStr(""), exclude=True)
    ours: bool = Field(default=False, exclude=True)
    """Whether the login is the operator's own account."""
    finds_path: bool = Field(default=False, exclude=True)
    """Whether it does; no part of the value, which is what a deployment that is under way is known by."""

    @property
    def key(self) -> str:
        return f"{self.url}#{self.revision}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        credentials = None
        if self.username:
            credentials = GitCredentials(self.username, self.password.get_secret_value(), ours=self.ours)
        commit = await world.git.resolve(self.url, self.revision, credentials)
        if commit is None:
            text = f"{self.url} has no branch, tag or commit {self.revision!r}; push it, or deploy another revision"
            return Observation(exists=True, failed=(Reason.REVISION_NOT_FOUND, text))
        path = await self._path(world, commit, credentials) if self.finds_path else None
        return Observation(exists=True, facts={"commit": commit, "path": path}, external_id=commit)

    async def _path(self, world: World, commit: str, credentials: GitCredentials | None) -> str:
        """Raises ValidationError for a file that is not usable."""
        try:
            body = await world.git.read_file(self.url, commit, FILE, credentials)
            return manifests_folder(body, f"{FILE} of {self.url}")
        except ValidationError as error:
            hint = f"correct it in a new commit, or set argo.source.path to deploy {commit[:12]} without it"
            raise ValidationError(f"{error.message}; {hint}", reason=error.reason, status=error.status) from error
