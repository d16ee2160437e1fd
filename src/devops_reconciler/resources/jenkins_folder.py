"""The Jenkins folder that holds a project's job and credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..api.conditions import Reason
from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from ..services.jenkins_types import FOLDER_CLASS
from ..services.jenkins_xml import folder_xml, with_description
from .marks import described, mark_in
from .world import ExternalResource, World

NAMED = 5
"""How many of the jobs and credentials in the way a message names."""


class JenkinsFolder(ExternalResource):
    """`/job/<folder>`."""

    service: ClassVar[str] = "jenkins"

    folder: str

    @property
    def key(self) -> str:
        return self.folder

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        item = await world.jenkins.item((self.folder,))
        if item is None:
            return ABSENT
        if item.cls != FOLDER_CLASS:
            raise ConflictError(f"jenkins: {self.folder} is no folder; choose another jenkins.folder")
        return Observation(exists=True, owner=mark_in(item.description), url=item.url, external_id=self.folder)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.create_item((), self.folder, folder_xml(described(f"Folder {self.folder}", me)))

    async def update(self, world: World, me: str, seen: Observation) -> None:
        xml = await world.jenkins.config((self.folder,))
        if xml is not None:
            text = described(f"Folder {self.folder}", me)
            await world.jenkins.update_config((self.folder,), with_description(xml, text))

    async def check_takeover(self, world: World, me: str, owner: str | None) -> None:
        """One without a mark is taken over only where nothing of others is in it: a job of ours could use each
        credential of its folder, and what is in it would go with ours."""
        await super().check_takeover(world, me, owner)
        if owner is not None:
            return
        others = [*await self._jobs_of_others(world, me), *await self._credentials_of_others(world, me)]
        if others:
            raise ConflictError(
                f"jenkins: folder {self.folder} has nobody's mark, and in it is what is not ours: {_named(others)}. So "
                "no adoption takes it over; name another one in jenkins.folder, empty it, or have somebody who may "
                f"configure it put {me} into its description",
                reason=Reason.OWNERSHIP_CONFLICT,
            )

    async def _jobs_of_others(self, world: World, me: str) -> list[str]:
        found = await world.jenkins.descriptions((self.folder,))
        return [name for name, description in found.items() if mark_in(description) != me]

    async def _credentials_of_others(self, world: World, me: str) -> list[str]:
        found = await world.jenkins.credentials((self.folder,))
        return [f"credential {each.id}" for each in found if mark_in(each.description) != me]

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Raises ConflictError while other people's jobs or credentials are in it: Jenkins would delete them along.

        Our own are gone by now: things are removed in reverse.
        """
        item = await world.jenkins.item((self.folder,))
        if item is None:
            return
        if item.children:
            raise ConflictError(
                f"jenkins: folder {self.folder} is not deleted, since jobs that are not ours are in it: "
                f"{_named(item.children)}. Move or delete them"
            )
        others = await self._credentials_of_others(world, me)
        if others:
            raise ConflictError(
                f"jenkins: folder {self.folder} is not deleted, since credentials that are not ours are in it: "
                f"{_named(others)}. Move or delete them"
            )
        await world.jenkins.delete_item((self.folder,))


def _named(things: Sequence[str]) -> str:
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return ", ".join(things[:NAMED]) + more
