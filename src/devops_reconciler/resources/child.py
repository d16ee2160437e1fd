"""A child of a project: one custom resource of its own name, which it owns."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.base import Mode
from ..api.conditions import Reason
from ..api.definitions import DEFINITIONS, FINALIZER
from ..engine.conditions import SUSPENDED
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import (
    ARGO_SETTINGS,
    DEVOPS_PROJECT,
    INGRESS_RESOURCE,
    JENKINS_SETTINGS,
    REGISTRY_SETTINGS,
)
from ..services.kubernetes_kinds import Kind
from .marks import trace_marks
from .world import ExternalResource, World

REQUESTED_ANNOTATION = "freeleaps.com/requestedAt"
"""Asks for a look now; `status.lastHandledReconcileAt` repeats it when that has happened."""

CHILD_KINDS: dict[str, Kind] = {
    kind.kind: kind for kind in (REGISTRY_SETTINGS, JENKINS_SETTINGS, ARGO_SETTINGS, INGRESS_RESOURCE)
}
BEHIND = {"ready": "Unknown", "reason": Reason.PROGRESSING.value, "message": "its spec has changed"}
"""What is told of a child that has not seen what is wanted of it now."""

SPECS = {definition.kind: definition.spec for definition in DEFINITIONS}


class ProjectChild(ExternalResource):
    """`<kind> <namespace>/<name>`, with the project as its controller."""

    service: ClassVar[str] = "kubernetes"
    # A field that is no longer wanted is no drift: the API server may have filled it in. Applying takes it out.
    blind: ClassVar[bool] = True

    child_kind: str
    namespace: str
    name: str
    owner_uid: str
    spec: dict[str, Any]
    requested_at: str | None = None
    """The project's request to look again now, passed on."""

    @property
    def key(self) -> str:
        return f"{self.child_kind} {self.namespace}/{self.name}"

    @property
    def _kind(self) -> Kind:
        return CHILD_KINDS[self.child_kind]

    @property
    def _plans(self) -> bool:
        """Its project only plans, and so does the child: what `mode: Apply` would write is what counts."""
        return self.spec.get("mode") == Mode.PLAN

    def digest(self) -> str:
        """The mode of a project that only plans is no change of the value."""
        if not self._plans:
            return super().digest()
        return self.model_copy(update={"spec": {**self.spec, "mode": Mode.APPLY.value}}).digest()

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(self._kind, self.namespace, self.name)
        if found is None:
            return ABSENT
        metadata, status = found["metadata"], found.get("status") or {}
        owned = any(ref.get("uid") == self.owner_uid for ref in metadata.get("ownerReferences") or ())
        ready: dict[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
        stalled = any(c["type"] == "Stalled" and c["status"] == "True" for c in status.get("conditions") or ())
        paused = _is_paused(found)
        current = paused or status.get("observedGeneration") == metadata["generation"]
        planned = self._plans and ready.get("reason") == Reason.PLANNED
        message = f"{ready.get('reason', 'not seen yet')}: {ready.get('message', '')}".rstrip(": ")
        message = f"paused; {message}" if paused and ready.get("reason") != Reason.PAUSED else message
        drift = self._drift(found)
        # Of another spec than is wanted now it may have been ready for what it would refuse of this one.
        behind = not paused and ("spec" in drift or ready.get("observedGeneration") != metadata["generation"])
        said = {"ready": ready.get("status", "Unknown"), "reason": ready.get("reason"), "message": message}
        failed = (_reason(ready), ready.get("message", "")) if stalled and current and ready else None
        return Observation(
            exists=True,
            owner=me if owned else None,
            drift=drift,
            ready=current and (ready.get("status") == "True" or planned),
            failed=failed,
            deleting=bool(metadata.get("deletionTimestamp")),
            paused=paused or ready.get("reason") == Reason.PAUSED,
            message=message,
            facts=BEHIND if behind and ready else said,
            external_id=metadata["uid"],
        )

    def _drift(self, found: dict[str, Any]) -> tuple[str, ...]:
        wanted = {name: value for name, value in self.spec.items() if name != "mode"} if self._plans else self.spec
        drift = () if contains(found.get("spec") or {}, wanted) else ("spec",)
        asked = (found["metadata"].get("annotations") or {}).get(REQUESTED_ANNOTATION)
        return drift if self.requested_at in (None, asked) else (*drift, "requestedAt")

    def _object(self, spec: dict[str, Any]) -> dict[str, Any]:
        owner = DEVOPS_PROJECT.controls(self.name, self.owner_uid)
        metadata: dict[str, Any] = {"name": self.name, "ownerReferences": [owner], "finalizers": [FINALIZER]}
        asked = {} if self.requested_at is None else {REQUESTED_ANNOTATION: self.requested_at}
        if annotations := asked | trace_marks():
            metadata["annotations"] = annotations
        return {"metadata": metadata, "spec": spec}

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.apply(self._kind, self.namespace, self._object(self.spec), force=True)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        # What a newer version of the operator has applied is ours for the API server: without it, it would go.
        found = await world.kubernetes.get(self._kind, self.namespace, self.name) or {}
        spec = SPECS[self.child_kind].keeping(self.spec, found.get("spec") or {})
        await world.kubernetes.apply(self._kind, self.namespace, self._object(spec), force=True)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.delete(self._kind, self.namespace, self.name, uid=seen.external_id)


def _is_paused(child: dict[str, Any]) -> bool:
    """Whether it says so of its present spec. Its observedGeneration stays behind: nothing of the spec was applied."""
    said: dict[str, Any] = next(
        (c for c in (child.get("status") or {}).get("conditions") or () if c["type"] == SUSPENDED), {}
    )
    return said.get("status") == "True" and said.get("observedGeneration") == child["metadata"]["generation"]


def _reason(condition: dict[str, Any]) -> Reason:
    """The reason of a child's condition; another version of the operator may have reasons that we do not know."""
    said = condition.get("reason")
    return Reason(str(said)) if said in set(Reason) else Reason.DEPENDENCY_NOT_READY


def contains(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; what is there besides (defaults, foreign fields) does not matter."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(contains(there.get(key), value) for key, value in wanted.items())
    return bool(there == wanted)
