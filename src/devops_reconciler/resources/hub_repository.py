"""The Docker Hub repository."""

from __future__ import annotations

from typing import ClassVar

from ..engine.resource import ABSENT, Intent, Observation
from .marks import described, mark_in
from .world import ExternalResource, World


class HubRepository(ExternalResource):
    """`<namespace>/<repository>`, with the mark in its description of at most 100 characters."""

    service: ClassVar[str] = "dockerhub"

    namespace: str
    repository: str
    private: bool

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
