"""A Kubernetes API in memory: the rules that the inbox relies on, and a switch to take it down."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from devops_reconciler.api.errors import ConflictError, ExternalServiceError, ReconcilerError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Kind, Object

NAMESPACE = "team-a"


class FakeCluster:
    """Objects by kind, namespace and name. `writes` counts what changed something."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], Object] = {}
        self.writes: list[tuple[str, str]] = []
        self.error: ReconcilerError | None = None
        """Raised by each call, while it is set."""
        self.before_write: Callable[[], None] | None = None
        """Called once, before the next write: what somebody else does in between."""
        self._count = itertools.count(1)

    def go_down(self) -> None:
        self.error = ExternalServiceError("kubernetes: connection refused", service="kubernetes")

    def projects(self) -> list[Object]:
        return [obj for (kind, _, _), obj in self.objects.items() if kind == "DevOpsProject"]

    def records(self) -> list[Object]:
        return [obj for (kind, _, _), obj in self.objects.items() if kind == "DeploymentRecord"]

    def put(self, kind: Kind, obj: Object, namespace: str = NAMESPACE) -> Object:
        """An object that is there already, or changed by somebody else."""
        metadata = obj["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._count)}")
        metadata["resourceVersion"] = str(next(self._count))
        metadata["namespace"] = namespace
        self.objects[kind.kind, namespace, metadata["name"]] = obj
        return obj

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        self._fail()
        return copy.deepcopy(self.objects.get((kind.kind, namespace, name)))

    async def list(self, kind: Kind, namespace: str | None, *, labels: str | None = None) -> list[Object]:
        self._fail()
        return [
            copy.deepcopy(obj)
            for (of_kind, where, _), obj in self.objects.items()
            if (of_kind, where) == (kind.kind, namespace) and _selected(obj, labels or "")
        ]

    async def create(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        self._fail()
        self._interfere()
        name = obj["metadata"]["name"]
        if (kind.kind, namespace, name) in self.objects:
            raise ConflictError(f"{name} already exists", status=409, details={"reason": "AlreadyExists"})
        self.writes.append(("create", name))
        return copy.deepcopy(self.put(kind, copy.deepcopy(dict(obj)), str(namespace)))

    async def apply(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any], *, force: bool = False) -> Object:
        self._fail()
        self._interfere()
        assert force
        wanted = copy.deepcopy(dict(obj))
        there = self.objects.get((kind.kind, namespace, wanted["metadata"]["name"]))
        self._check_version(there, wanted["metadata"].pop("resourceVersion", None))
        self.writes.append(("apply", wanted["metadata"]["name"]))
        if there is not None:
            wanted["metadata"]["uid"] = there["metadata"]["uid"]
        return copy.deepcopy(self.put(kind, wanted, str(namespace)))

    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any]
    ) -> Object | None:
        self._fail()
        self._interfere()
        there = self.objects.get((kind.kind, namespace, name))
        if there is None:
            return None
        changes = copy.deepcopy(dict(patch))
        self._check_version(there, changes.get("metadata", {}).pop("resourceVersion", None))
        if changes.get("metadata", {}).get("uid", there["metadata"]["uid"]) != there["metadata"]["uid"]:
            raise ConflictError(f"the UID of {name} is another one", status=409)
        self.writes.append(("patch", name))
        return copy.deepcopy(self.put(kind, _merged(there, changes), str(namespace)))

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, uid: str | None = None) -> bool:
        self._fail()
        there = self.objects.get((kind.kind, namespace, name))
        if there is None:
            return False
        if uid is not None and there["metadata"]["uid"] != uid:
            raise ConflictError(f"the UID of {name} is another one", status=409)
        self.writes.append(("delete", name))
        del self.objects[kind.kind, namespace, name]
        return True

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def _interfere(self) -> None:
        interference, self.before_write = self.before_write, None
        if interference is not None:
            interference()

    def _check_version(self, there: Object | None, version: str | None) -> None:
        current = there["metadata"]["resourceVersion"] if there is not None else None
        if version is not None and version != current:
            raise ConflictError("the object has been modified", status=409, details={"reason": "Conflict"})


def _selected(obj: Object, labels: str) -> bool:
    have = obj["metadata"].get("labels") or {}
    for term in filter(None, labels.split(",")):
        key, _, value = term.partition("=")
        if key.startswith("!"):
            if key[1:] in have:
                return False
        elif have.get(key) != value:
            return False
    return True


def _merged(there: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    merged = dict(there) if isinstance(there, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def project(name: str = "shop", **metadata: Any) -> Object:
    return {"kind": DEVOPS_PROJECT.kind, "metadata": {"name": name, **metadata}, "spec": {}}


def record(name: str, environment: str, created: str, **spec: Any) -> Object:
    """A record that somebody made by hand: without labels and annotations."""
    return {
        "kind": DEPLOYMENT_RECORD.kind,
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"projectRef": {"name": "shop"}, "environment": environment, **spec},
    }
