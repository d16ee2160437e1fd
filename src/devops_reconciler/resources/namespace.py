"""The namespace that an environment runs in."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import ConflictError
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import NAMESPACE, already_exists
from .marks import ANNOTATION, ENVIRONMENT_LABEL, PROJECT_LABEL, mark_of, of_one_installation
from .polling import LOOK_AGAIN
from .world import ExternalResource, World, lives_elsewhere


class DestinationNamespace(ExternalResource):
    """Production's namespace: made where it is absent, used as it is where it is there, and never removed.

    Not used is what another project's preview runs in: it goes with the preview, and all that is in it. Nor what a
    project of another watched namespace has: whoever runs something there may have its Secrets.
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
        owner, kept = await self._whose(world, metadata, me)
        return Observation(
            exists=True,
            owner=owner,
            kept=kept,
            deleting=bool(metadata.get("deletionTimestamp")),
            message="Kubernetes is emptying it" if metadata.get("deletionTimestamp") else "",
            after=LOOK_AGAIN,
            external_id=metadata["uid"],
        )

    async def _whose(self, world: World, metadata: dict[str, Any], me: str) -> tuple[str | None, str]:
        """Its owner, and why it is not taken over."""
        owner, environment = mark_of(metadata.get("annotations")), _labels(metadata)[1]
        if owner is None or owner == me:
            return me, ""
        if of_one_installation(me, owner) and await lives_elsewhere(world, me, owner):
            return owner, (
                f"namespace {self.name} is of a project in another watched namespace, so nothing of ours goes into it; "
                f"set another argo.destination. If both are to run there, have its annotation {ANNOTATION} taken away"
            )
        return me if environment in (None, PRODUCTION) else owner, ""

    async def check(self, world: World, me: str) -> None:
        """Raise ConflictError where nothing of ours may ever go into it."""
        if len(world.settings.reconciler_namespaces) == 1:
            return  # it can be of nobody else who is known here
        seen = await self.observe(world, me, None)
        if seen.kept:
            raise ConflictError(seen.kept, reason=Reason.OWNERSHIP_CONFLICT)

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

    The mark is the project's, so it does not tell a preview from production: the label of the environment does. Only
    what a preview of another project made may be taken over: all else was not made to go, and would go with this one.
    """

    removable: ClassVar[bool] = True

    async def _whose(self, world: World, metadata: dict[str, Any], me: str) -> tuple[str | None, str]:
        owner, (project, environment) = mark_of(metadata.get("annotations")), _labels(metadata)
        if owner == me and (project, environment) == (self.project, self.environment):
            return me, ""
        if owner not in (None, me) and environment not in (None, PRODUCTION):
            return owner, ""
        known = owner is not None and project and environment
        whose = f"of {project}/{environment}" if known else "there, and no preview made it"
        text = f"namespace {self.name} is {whose}, so no adoption takes it over: it would go with the preview"
        return None if owner == me else owner, f"{text}; give the preview another name"

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.delete(NAMESPACE, None, self.name, uid=seen.external_id)


def _labels(metadata: dict[str, Any]) -> tuple[str | None, str | None]:
    """The project and the environment that it was made for."""
    labels = metadata.get("labels") or {}
    return labels.get(PROJECT_LABEL), labels.get(ENVIRONMENT_LABEL)
