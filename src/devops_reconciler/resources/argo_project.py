"""The Argo CD project: from which repositories and to which destinations the applications may go."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from .marks import ANNOTATION, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

NAMED = 5
"""How many of the applications in the way a message names."""


class ArgoProject(ExternalResource):
    """AppProject `<name>`, restricted to its own repositories and destinations."""

    service: ClassVar[str] = "argocd"

    name: str
    source_repos: tuple[str, ...]
    destinations: tuple[tuple[str, str], ...]
    """Pairs of server and namespace (patterns)."""

    @property
    def key(self) -> str:
        return self.name

    @property
    def _owned(self) -> dict[str, Any]:
        return {
            "sourceRepos": list(self.source_repos),
            "destinations": [{"server": server, "namespace": namespace} for server, namespace in self.destinations],
        }

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.argocd.project(self.name)
        if found is None:
            return ABSENT
        spec, metadata = found.get("spec") or {}, found.get("metadata") or {}
        repos = sorted(spec.get("sourceRepos") or ())
        places = sorted((d.get("server", ""), d.get("namespace", "")) for d in spec.get("destinations") or ())
        drift = [] if repos == sorted(self.source_repos) else ["sourceRepos"]
        drift += [] if places == sorted(self.destinations) else ["destinations"]
        return Observation(
            exists=True,
            owner=mark_of(metadata.get("annotations")),
            drift=tuple(drift),
            deleting=bool(metadata.get("deletionTimestamp")),
            after=LOOK_AGAIN,
            external_id=self.name,
        )

    async def create(self, world: World, me: str, seen: Observation) -> None:
        spec = {"description": "Made by devops-reconciler", **self._owned}
        await world.argocd.create_project(
            {"metadata": {"name": self.name, "annotations": {ANNOTATION: me}}, "spec": spec}
        )

    async def update(self, world: World, me: str, seen: Observation) -> None:
        found = await world.argocd.project(self.name)
        if found is None:
            return
        metadata = found.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: me}
        found["spec"] = {**(found.get("spec") or {}), **self._owned}
        await world.argocd.update_project(found)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Raises ConflictError while applications are in it: Argo CD refuses then, without saying which."""
        inside = [str(app["metadata"]["name"]) for app in await world.argocd.applications(project=self.name)]
        if inside:
            raise ConflictError(
                f"argocd: project {self.name} is not deleted, since applications are in it: "
                f"{', '.join(sorted(inside)[:NAMED])}. Move or delete them; a preview moves with its next deployment"
            )
        await world.argocd.delete_project(self.name)


class ArgoProjectRemoval(ArgoProject):
    """The same project, looked at for its removal: it goes after its applications, which cannot go without it."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        if seen.exists or not await world.argocd.applications(project=self.name):
            return seen
        message = "it is gone before its applications, and is made again for their deletion"
        return Observation(exists=True, owner=me, deleting=True, message=message, after=LOOK_AGAIN)
