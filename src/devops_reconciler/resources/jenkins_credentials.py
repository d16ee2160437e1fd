"""Credentials that Jenkins clones and pushes with, in the project's folder."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from ..engine.resource import ABSENT, Intent, Observation
from ..services.jenkins_types import UsernamePassword
from .marks import described, mark_in
from .world import ExternalResource, World


class JenkinsCredentials(ExternalResource):
    """Credential `<name>` of `/job/<folder>`. Its password cannot be read back: a version stands for it."""

    service: ClassVar[str] = "jenkins"
    blind: ClassVar[bool] = True

    folder: str
    name: str
    username: str
    password: SecretStr = Field(default=SecretStr(""), exclude=True)
    password_version: str
    """Changes with the password, and does not tell it."""

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.name}"

    def _credential(self, me: str) -> UsernamePassword:
        description = described(f"Credentials {self.name} of {self.folder}", me)
        return UsernamePassword(self.name, description, self.username, self.password.get_secret_value())

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.jenkins.credential((self.folder,), self.name)
        if found is None:
            return ABSENT
        drift = ("username",) if found.username != self.username else ()
        return Observation(exists=True, owner=mark_in(found.description), drift=drift, external_id=self.name)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.create_credential((self.folder,), self._credential(me))

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.update_credential((self.folder,), self._credential(me))

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.delete_credential((self.folder,), self.name)
