"""The namespace that an environment runs in."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import NAMESPACE, already_exists
from .marks import ANNOTATION, ENVIRONMENT_LABEL, PROJECT_LABEL, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World


class DestinationNamespace(ExternalResource):
    """Production's namespace: made where it is absent, used as it is where it is there, and never removed."""

    service: ClassVar[str] = "kubernetes"
    removable: ClassVar[bool] = False

    name: str
    project: str
    environment: str

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(NAMESPACE, None, self.name)
        if found is None:
            return ABSENT
        metadata = found["metadata"]
        return Observation(
            exists=True,
            owner=self._owner(metadata, me),
            deleting=bool(metadata.get("deletionTimestamp")),
            message="Kubernetes is emptying it" if metadata.get("deletionTimestamp") else "",
            after=LOOK_AGAIN,
            external_id=metadata["uid"],
        )

    def _owner(self, metadata: dict[str, Any], me: str) -> str | None:
        return me

    async def create(self, world: World, me: str, seen: Observation) -> None:
        labels = {PROJECT_LABEL: self.project, ENVIRONMENT_LABEL: self.environment}
        metadata = {"name": self.name, "labels": labels, "annotations": {ANNOTATION: me}}
        try:
            await world.kubernetes.create(NAMESPACE, None, {"metadata": metadata})
        except ConflictError as error:
            if not already_exists(error):
                raise
            # Several objects want it, and another was faster: whose it is shows at the next look.


class PreviewNamespace(DestinationNamespace):
    """A preview's namespace: ours alone. One that is there without our label and mark is a conflict."""

    removable: ClassVar[bool] = True

    def _owner(self, metadata: dict[str, Any], me: str) -> str | None:
        labelled = (metadata.get("labels") or {}).get(PROJECT_LABEL) == self.project
        return mark_of(metadata.get("annotations")) if labelled else None

    async def update(self, world: World, me: str, seen: Observation) -> None:
        labels = {PROJECT_LABEL: self.project, ENVIRONMENT_LABEL: self.environment}
        patch = {"metadata": {"labels": labels, "annotations": {ANNOTATION: me}}}
        await world.kubernetes.merge_patch(NAMESPACE, None, self.name, patch)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.delete(NAMESPACE, None, self.name, uid=seen.external_id)
