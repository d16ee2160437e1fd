"""A life of objects in a world in memory: the host's pass (read afresh, reconcile, save), run by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from devops_reconciler.api.conditions import Condition
from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.api.heartbeat import heartbeat_body
from devops_reconciler.host.store import StatusStore
from devops_reconciler.kinds import KINDS, Context, Verdict, reconciliation
from devops_reconciler.resources.environment import find
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from tests.invariants import assert_status_invariants
from tests.unit.world import GIT_URL, TEAM, Outside, outside

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOST = "shop.example.com"
FINALIZER = "freeleaps.com/finalizer"
PARTS = ("RegistryReady", "JenkinsReady", "ArgoReady", "IngressReady", "DNSReady")


class Life:
    """Objects of one namespace and the passes over them. `sent` are the heartbeats that the broker has."""

    def __init__(self, **changes: Any) -> None:
        self.out: Outside = outside(**changes)
        self.sent: dict[str, dict[int, dict[str, Any]]] = {}
        self.broker = True
        self.verdicts: list[Verdict] = []
        self.out.git.commit(GIT_URL, "main", COMMIT)

    # Objects

    def project(self, name: str = "shop", **spec: Any) -> Object:
        """A project as the API server would hold it, with its uid known to `world.ME`."""
        whole = {"git": {"url": GIT_URL}, "ingress": {"host": HOST}, **spec}
        metadata = {"name": name, "uid": f"uid-of-{name}", "finalizers": [FINALIZER]}
        obj = {"metadata": metadata, "spec": whole, "status": {"observedGeneration": -1}}
        return self.out.kubernetes.put(DEVOPS_PROJECT, TEAM, obj)

    def record(self, name: str, project: str = "shop", **spec: Any) -> Object:
        """A record as the listener would make it."""
        whole = {"projectRef": {"name": project}, "environment": "production", "triggerEventId": f"event-{name}"}
        labels = {
            "freeleaps.com/project": project,
            "freeleaps.com/environment": spec.get("environment", "production"),
        }
        metadata = {"name": name, "uid": f"uid-of-{name}", "labels": labels, "finalizers": [FINALIZER]}
        obj = {"metadata": metadata, "spec": {**whole, **spec}, "status": {"observedGeneration": -1}}
        return self.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, obj)

    def see(self, name: str, kind: str = "DeploymentRecord") -> Object:
        found = self.out.kubernetes.see(KINDS[kind].kind, TEAM, name)
        assert found is not None, f"{kind} {name} is not there"
        return found

    def status(self, name: str, kind: str = "DeploymentRecord") -> dict[str, Any]:
        return dict(self.see(name, kind).get("status") or {})

    def condition(self, name: str, type: str, kind: str = "DeploymentRecord") -> dict[str, Any] | None:
        return next((c for c in self.status(name, kind).get("conditions", ()) if c["type"] == type), None)

    def reason(self, name: str, type: str = "Finished", kind: str = "DeploymentRecord") -> str | None:
        found = self.condition(name, type, kind)
        return None if found is None else f"{found['status']}/{found['reason']}"

    def holder(self, environment: str = "production", project: str = "shop") -> str | None:
        found = find(self.see(project, "DevOpsProject"), environment)
        return None if found is None else found["holder"]

    def set_up(self, project: str = "shop") -> None:
        """Run a project's own reconciliation and that of its children until it is Ready."""
        for _ in range(30):
            for kind in ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
                if self.out.kubernetes.see(KINDS[kind].kind, TEAM, project) is not None:
                    run(self.turn(project, kind))
            ready = self.condition(project, "Ready", "DevOpsProject")
            if ready is not None and ready["status"] == "True":
                return
            self.out.clock.advance(timedelta(seconds=4))
        raise AssertionError(f"{project} does not become ready: {self.status(project, 'DevOpsProject')}")

    # Passes

    async def turn(self, name: str, kind: str = "DeploymentRecord") -> Verdict:
        """One pass, begun anew where the object had changed meanwhile, and the next where that is to come at once.

        Raises ExternalServiceError.
        """
        for _ in range(5):
            try:
                verdict = await self.one_pass(name, kind)
                return await self.one_pass(name, kind) if verdict.after == timedelta(0) else verdict
            except ConflictError:
                self.out.clock.advance(timedelta(milliseconds=20))
        raise AssertionError(f"every save of {kind} {name} meets a conflict")

    async def one_pass(self, name: str, kind: str = "DeploymentRecord") -> Verdict:
        """One pass. Raises what the host would catch (ConflictError, ExternalServiceError)."""
        obj = self.see(name, kind)
        self._deliver(obj)
        store = StatusStore(self.out.world.kubernetes, KINDS[kind].kind, obj, self._saved)
        context = Context(self.out.world, store, self.confirmed)
        verdict: Verdict = await reconciliation(context, obj).run()
        self.verdicts.append(verdict)
        self.check(name, kind)
        if verdict.released:
            self.out.kubernetes.remove(KINDS[kind].kind, TEAM, name)
        return verdict

    def confirmed(self, uid: str) -> int:
        return max(self.sent.get(uid, {}), default=0)

    def _saved(self, obj: Object, changed: Mapping[str, Any]) -> None:
        if "heartbeat" in changed:
            self._deliver(obj)

    def _deliver(self, obj: Object) -> None:
        """The broker gets what lies in the outbox, in order, unless it is away."""
        uid, heartbeat = obj["metadata"]["uid"], (obj.get("status") or {}).get("heartbeat") or {}
        for entry in heartbeat.get("outbox", ()) if self.broker else ():
            sequence, known = entry["payload"]["sequence"], self.sent.setdefault(uid, {})
            assert known.get(sequence, entry) == entry, f"sequence {sequence} was sent with another body"
            known[sequence] = entry

    def check(self, name: str, kind: str) -> None:
        """The invariants of the status, as it is now."""
        obj = self.out.kubernetes.see(KINDS[kind].kind, TEAM, name)
        status = (obj or {}).get("status") or {}
        if obj is None or not status.get("conditions"):
            return
        conditions = [Condition.model_validate(item) for item in status["conditions"]]
        if any(item.type == "Ready" and item.reason == "Planned" for item in conditions):
            return  # neither ready nor under way: somebody decides
        # An expired record has ended without being Stalled, though it is not Ready.
        expired = any(item.type == "Expired" and item.status == "True" for item in conditions)
        observed = None if expired else status.get("observedGeneration")
        assert_status_invariants(conditions, obj["metadata"]["generation"], observed)

    async def live(self, name: str, *, most: int = 200, kind: str = "DeploymentRecord") -> Verdict:
        """Passes until the object has nothing more to do, with the clock moved on as each pass asks for."""
        verdict = Verdict()
        for _ in range(most):
            try:
                verdict = await self.turn(name, kind)
            except ExternalServiceError as error:
                self.out.clock.advance(error.after or timedelta(seconds=30))
                continue
            if verdict.released or self.is_over(name, kind):
                return verdict
            self.out.clock.advance(verdict.after or timedelta(0))
        raise AssertionError(f"{kind} {name} does not come to an end: {self.status(name, kind)}")

    def is_over(self, name: str, kind: str) -> bool:
        if kind == "DeploymentRecord":
            finished = self.condition(name, "Finished")
            return finished is not None and finished["status"] == "True" and not self.is_deleted(name)
        ready = self.condition(name, "Ready", kind)
        return ready is not None and ready["status"] == "True" and not self.is_deleted(name, kind)

    def is_deleted(self, name: str, kind: str = "DeploymentRecord") -> bool:
        return "deletionTimestamp" in self.see(name, kind)["metadata"]

    async def expire(self, name: str) -> None:
        """Passes from the expiry of a finished preview until it is cleaned up."""
        self.out.clock.advance(timedelta(days=400))
        for _ in range(60):
            verdict = await self.turn(name)
            if self.reason(name, "CleanupVerified") == "True/CleanupVerified":
                return
            self.out.clock.advance(verdict.after or timedelta(seconds=1))
        raise AssertionError(f"{name} is not cleaned up: {self.status(name)}")

    async def delete(self, name: str, kind: str = "DeploymentRecord") -> None:
        self.out.kubernetes.mark_deleted(KINDS[kind].kind, TEAM, name)
        await self.live(name, kind=kind)

    # Heartbeats

    def told(self, name: str) -> list[dict[str, Any]]:
        """The payloads that the broker has, in order."""
        sent = sorted(self.sent.get(f"uid-of-{name}", {}).items())
        return [json.loads(heartbeat_body(entry))["payload"] for _, entry in sent]


def run(passes: Any) -> Any:
    """Drive a coroutine of the fakes: they never wait for anything real."""
    try:
        passes.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a pass waited for something")
