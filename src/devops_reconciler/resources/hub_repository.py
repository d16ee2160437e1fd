"""The Docker Hub repository."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from ..api.names import plain_name
from ..engine.resource import ABSENT, Intent, Observation
from ..services.dockerhub import Repository
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from .environment import running
from .image import Image
from .marks import PROJECT_LABEL, described, mark_in
from .world import ExternalResource, World

MADE = "Images"
TAKEN = "Images, taken over"
"""What the description says besides the mark. It is the one place that lasts: a repository that we have not made may
hold anybody's images, and stays when its object goes, whoever's it is by then."""


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
        return self._as_it_is(await world.hub.repository(self.namespace, self.repository))

    def _as_it_is(self, found: Repository | None) -> Observation:
        if found is None:
            return ABSENT
        drift = ("private",) if found.private != self.private else ()
        return Observation(exists=True, owner=mark_in(found.description), drift=drift, external_id=self.key)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.hub.create_repository(
            self.namespace, self.repository, description=described(MADE, me), private=self.private
        )

    async def update(self, world: World, me: str, seen: Observation) -> None:
        description = described(await self._title(world, seen), me) if seen.owner != me else None
        private = self.private if "private" in seen.drift else None
        await world.hub.update_repository(self.namespace, self.repository, description=description, private=private)

    async def _title(self, world: World, seen: Observation) -> str:
        if seen.owner is None:
            return TAKEN
        found = await world.hub.repository(self.namespace, self.repository)
        return TAKEN if found is not None and TAKEN in found.description else MADE

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.hub.delete_repository(self.namespace, self.repository)


class HubRepositoryRemoval(HubRepository):
    """The same repository, looked at for its removal: it stays while its project runs an image of it, which the nodes
    may have to pull again at any time, or a deployment under way pushes one to it or goes back to one. A project that
    goes has nothing to run any more.

    Where the project still names it, only its RegistrySettings goes: the project makes another one, and could deploy
    nothing else before. One that was there before us and was taken over stays for good.
    """

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.hub.repository(self.namespace, self.repository)
        seen = self._as_it_is(found)
        if found is None or seen.owner != me:
            return seen
        if TAKEN in found.description:
            return replace(seen, wanted_by="whoever had it before it was taken over")
        if not self.user:
            return seen
        namespace, _, name = self.user.partition("/")
        project = await world.kubernetes.get(DEVOPS_PROJECT, namespace, name)
        if project is None or "deletionTimestamp" in project["metadata"]:
            return seen
        images = await running(world, namespace, project)
        use = next((each for each in images if plain_name(each.image.partition("@")[0]) == self.key), None)
        if use is None:
            return await self._pushed_to(world, namespace, name, seen)
        if self._is_named(world, project):
            return replace(seen, wanted_by=f"{use.environment} of DevOpsProject {self.user}")
        text = f"{use.environment} still needs {use.image} (deployment {use.record}); it goes when another runs there"
        return replace(seen, deleting=True, message=text, after=world.settings.poll_interval)

    async def _pushed_to(self, world: World, namespace: str, project: str, seen: Observation) -> Observation:
        records = await world.kubernetes.list(DEPLOYMENT_RECORD, namespace, labels=f"{PROJECT_LABEL}={project}")
        record = next((each["metadata"]["name"] for each in records if self._is_target_of(each)), None)
        if record is None:
            return seen
        text = f"deployment {record} is under way with an image of it; it goes when no environment runs that"
        return replace(seen, deleting=True, message=text, after=world.settings.poll_interval)

    def _is_target_of(self, record: dict[str, Any]) -> bool:
        status = record.get("status") or {}
        images = [entry for entry in status.get("applied") or () if entry["kind"] == Image.__name__]
        return not status.get("finishedAt") and any(e["key"].rpartition(":")[0] == self.key for e in images)

    def _is_named(self, world: World, project: dict[str, Any]) -> bool:
        registry = project["spec"].get("registry") or {}
        namespace = registry.get("namespace") or world.settings.dockerhub_namespace
        return self.key == f"{namespace}/{registry.get('repository') or project['metadata']['name']}"
