"""The Jenkins folder that holds a project's job and credentials."""

from __future__ import annotations

from typing import ClassVar

from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from ..services.jenkins_types import FOLDER_CLASS
from ..services.jenkins_xml import folder_xml, with_description
from .marks import described, mark_in
from .world import ExternalResource, World

NAMED = 5
"""How many of the jobs in the way a message names."""


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

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Raises ConflictError while other people's jobs are in it: Jenkins would delete them along.

        Our own job is gone by now: things are removed in reverse.
        """
        item = await world.jenkins.item((self.folder,))
        if item is not None and item.children:
            others = ", ".join(item.children[:NAMED])
            raise ConflictError(
                f"jenkins: folder {self.folder} is not deleted, since jobs that are not ours are in it: {others}. "
                "Move or delete them"
            )
        await world.jenkins.delete_item((self.folder,))
