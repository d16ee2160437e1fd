"""The Docker Hub repository."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import DEVOPS_PROJECT
from .environment import Running, running
from .marks import described, mark_in
from .world import ExternalResource, World


class HubRepository(ExternalResource):
    """`<namespace>/<repository>`, with the mark in its description of at most 100 characters."""

    service: ClassVar[str] = "dockerhub"

    namespace: str
    repository: str
    private: bool
    user: str = ""
    """Namespace and name of the DevOpsProject that runs images of it, where there is one."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.repository}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.hub.repository(self.namespace, self.repository)
        if found is None:
            return ABSENT
        drift = ("private",) if found.private != self.private else ()
        return Observation(exists=True, owner=mark_in(found.description), drift=drift, external_id=self.key)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.hub.create_repository(
            self.namespace, self.repository, description=described("Images", me), private=self.private
        )

    async def update(self, world: World, me: str, seen: Observation) -> None:
        description = described("Images", me) if seen.owner != me else None
        private = self.private if "private" in seen.drift else None
        await world.hub.update_repository(self.namespace, self.repository, description=description, private=private)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.hub.delete_repository(self.namespace, self.repository)


class HubRepositoryRemoval(HubRepository):
    """The same repository, looked at for its removal: it stays while its project runs an image of it, which the nodes
    may have to pull again at any time. A project that goes has nothing to run any more."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        use = await self._use(world) if seen.exists and seen.owner == me else None
        if use is None:
            return seen
        text = (
            f"{use.environment} still runs {use.image} (deployment {use.record}); it goes when another image runs there"
        )
        return replace(seen, deleting=True, message=text, after=world.settings.poll_interval)

    async def _use(self, world: World) -> Running | None:
        namespace, _, name = self.user.partition("/")
        project = await world.kubernetes.get(DEVOPS_PROJECT, namespace, name) if self.user else None
        if project is None or "deletionTimestamp" in project["metadata"]:
            return None
        images = await running(world, namespace, project)
        return next((each for each in images if _is_of(each.image, self.key)), None)


def _is_of(image: str, repository: str) -> bool:
    """An image is named with its registry in front, unless that is the default one."""
    form = image.partition("@")[0]
    return form == repository or form.endswith(f"/{repository}")
