"""The namespace that an environment runs in."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import NAMESPACE, already_exists
from .marks import ANNOTATION, ENVIRONMENT_LABEL, PROJECT_LABEL, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

ANOTHER = "environment "
"""Begins the owner of a namespace with our mark that is another environment's, as `<project>/<environment>`."""


class DestinationNamespace(ExternalResource):
    """Production's namespace: made where it is absent, used as it is where it is there, and never removed.

    Not used is what another project's preview runs in: it goes with the preview, and all that is in it.
    """

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
        environment = (metadata.get("labels") or {}).get(ENVIRONMENT_LABEL, PRODUCTION)
        return me if environment == PRODUCTION else mark_of(metadata.get("annotations")) or me

    async def create(self, world: World, me: str, seen: Observation) -> None:
        labels = {PROJECT_LABEL: self.project, ENVIRONMENT_LABEL: self.environment}
        metadata = {"name": self.name, "labels": labels, "annotations": {ANNOTATION: me}}
        try:
            await world.kubernetes.create(NAMESPACE, None, {"metadata": metadata})
        except ConflictError as error:
            if not already_exists(error):
                raise
            # Several objects want it, and another was faster: whose it is shows at the next look.

    async def update(self, world: World, me: str, seen: Observation) -> None:
        labels = {PROJECT_LABEL: self.project, ENVIRONMENT_LABEL: self.environment}
        patch = {"metadata": {"labels": labels, "annotations": {ANNOTATION: me}}}
        await world.kubernetes.merge_patch(NAMESPACE, None, self.name, patch)


class PreviewNamespace(DestinationNamespace):
    """A preview's namespace: this environment's alone. One that is there without our labels and mark is a conflict.

    The mark is the project's, so it does not tell a preview from production: the label of the environment does.
    """

    removable: ClassVar[bool] = True

    def _owner(self, metadata: dict[str, Any], me: str) -> str | None:
        owner, labels = mark_of(metadata.get("annotations")), metadata.get("labels") or {}
        project, environment = labels.get(PROJECT_LABEL), labels.get(ENVIRONMENT_LABEL)
        if owner != me or (project, environment) == (self.project, self.environment):
            return owner
        return f"{ANOTHER}{project}/{environment}" if project and environment else None

    async def check_takeover(self, world: World, me: str, owner: str | None) -> None:
        """What is another environment's is never taken over: it would go with the preview."""
        if owner is not None and owner.startswith(ANOTHER):
            text = f"namespace {self.name} is of {owner.removeprefix(ANOTHER)}, which adoption does not take it from"
            raise ConflictError(f"{text}; give the preview another name", reason=Reason.OWNERSHIP_CONFLICT)
        await super().check_takeover(world, me, owner)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.delete(NAMESPACE, None, self.name, uid=seen.external_id)
