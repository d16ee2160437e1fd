"""A Kubernetes API in memory with the rules that matter: versions, generations, finalizers, uids, server-side apply."""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devops_reconciler.api.errors import ConflictError, CredentialsError, ValidationError
from devops_reconciler.runtime.clock import Clock
from devops_reconciler.services.kubernetes import EVENT, NAMESPACE, SECRET, SERVICE_ACCOUNT, Kind, Object

from .line import Line, Service, call

Key = tuple[str, str | None, str]


@dataclass
class PostedEvent:
    """An event as it was posted."""

    name: str
    type: str
    reason: str
    message: str


class FakeKubernetes(Service):
    """Objects by kind, namespace and name. `writes` has every write that changed something."""

    name = "kubernetes"

    def __init__(self, line: Line, clock: Clock) -> None:
        super().__init__(line)
        self.objects: dict[Key, Object] = {}
        self.applied: dict[Key, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.events: list[PostedEvent] = []
        self.slow_namespaces = False
        """Deleted namespaces stay, terminating, until `finish_namespace`."""
        self.shut: set[str] = set()
        """Namespaces in which we have no permissions."""
        self._clock = clock
        self._count = itertools.count(1)

    # Set-up and inspection, not over the line

    def put(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        """An object that is there, or changed by somebody else."""
        new = copy.deepcopy(dict(obj))
        key = self._key(kind, namespace, new["metadata"]["name"])
        there = self.objects.get(key)
        metadata = new["metadata"]
        metadata["namespace"] = namespace
        if not kind.namespaced:
            metadata.pop("namespace")
        metadata.setdefault("uid", there["metadata"]["uid"] if there else f"uid-{next(self._count)}")
        metadata.setdefault("creationTimestamp", _time(self._clock.now()))
        metadata["generation"] = self._generation(there, new)
        metadata["resourceVersion"] = str(next(self._count))
        new["kind"], new["apiVersion"] = kind.kind, kind.api_version
        self.objects[key] = new
        return copy.deepcopy(new)

    @staticmethod
    def _generation(there: Object | None, new: Object) -> int:
        before = int(there["metadata"]["generation"]) if there is not None else 0
        return before + 1 if there is None or there.get("spec") != new.get("spec") else before

    def see(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get(self._key(kind, namespace, name)))

    def change(self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any]) -> Object:
        """Somebody else's merge patch."""
        there = self.objects[self._key(kind, namespace, name)]
        return self.put(kind, namespace, merged(there, patch))

    def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        self.objects.pop(self._key(kind, namespace, name), None)

    def mark_deleted(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """As after `kubectl delete` of an object with a finalizer."""
        return self.change(kind, namespace, name, {"metadata": {"deletionTimestamp": _time(self._clock.now())}})

    def finish_namespace(self, name: str) -> None:
        self.objects = {key: obj for key, obj in self.objects.items() if key[1] != name}
        self.remove(NAMESPACE, None, name)

    @staticmethod
    def _key(kind: Kind, namespace: str | None, name: str) -> Key:
        return (kind.kind, namespace if kind.namespaced else None, name)

    # The API

    @call
    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        self._check_open(namespace)
        return self.see(kind, namespace, name)

    @call
    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        limit: int = 500,
    ) -> list[Object]:
        self._check_open(namespace)
        parts = [part for part in (labels or "").split(",") if part]
        wanted = dict(part.split("=", 1) for part in parts if "=" in part)
        absent = {part[1:] for part in parts if part.startswith("!")}
        present = {part for part in parts if "=" not in part and not part.startswith("!")}
        return [
            copy.deepcopy(obj)
            for (of, where, _), obj in self.objects.items()
            if of == kind.kind
            and namespace in (None, where)
            and wanted.items() <= (obj["metadata"].get("labels") or {}).items()
            and present <= (obj["metadata"].get("labels") or {}).keys()
            and not absent & (obj["metadata"].get("labels") or {}).keys()
        ]

    async def kept(self, kind: Kind, namespace: str | None, keep: Callable[[Object], Any]) -> list[Any]:
        return [keep(obj) for obj in await self.list(kind, namespace)]

    @call
    async def create(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        name = obj["metadata"]["name"]
        self._check_open(namespace)
        self._check_namespace(kind, namespace)
        if self._key(kind, namespace, name) in self.objects:
            raise ConflictError(f"{name} already exists", status=409, details={"reason": "AlreadyExists"})
        self._wrote("create", kind, name)
        created = self.put(kind, namespace, obj)
        if kind is NAMESPACE:
            self.put(SERVICE_ACCOUNT, name, {"metadata": {"name": "default"}})
        return created

    @call
    async def apply(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any], *, force: bool = False) -> Object:
        name = obj["metadata"]["name"]
        self._check_namespace(kind, namespace)
        key = self._key(kind, namespace, name)
        there = self.objects.get(key) or {"metadata": {"name": name}}
        result = _without(copy.deepcopy(there), self.applied.get(key) or {}, obj)
        result = merged(result, obj)
        if kind is SECRET and there.get("type") not in (None, result.get("type")):
            raise ValidationError(f"{name} is invalid: type: field is immutable", status=422, code=422)
        self.applied[key] = copy.deepcopy(dict(obj))
        if result == self.objects.get(key):
            return copy.deepcopy(result)
        self._wrote("apply", kind, name)
        return self.put(kind, namespace, result)

    @call
    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Object | None:
        there = self.objects.get(self._key(kind, namespace, name))
        if there is None:
            return None
        self._check_version(there, (patch.get("metadata") or {}).get("resourceVersion"))
        self._wrote("patch", kind, name)
        return self.put(kind, namespace, merged(there, patch))

    @call
    async def patch_status(
        self, kind: Kind, namespace: str | None, name: str, fields: Mapping[str, Any], *, resource_version: str
    ) -> Object:
        there = self.objects.get(self._key(kind, namespace, name))
        if there is None:
            raise ConflictError(f"{name} is gone", status=404, code=404)
        self._check_version(there, resource_version)
        self._wrote("status", kind, name)
        status = merged({**(there.get("status") or {}), **dict.fromkeys(fields)}, fields)
        return self.put(kind, namespace, {**there, "status": status})

    @call
    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        there = self.objects.get(self._key(kind, namespace, name))
        if there is None:
            return False
        if uid is not None and there["metadata"]["uid"] != uid:
            raise ConflictError(f"{name} has another uid", status=409)
        self._check_version(there, resource_version)
        self._wrote("delete", kind, name)
        if there["metadata"].get("finalizers") or (kind is NAMESPACE and self.slow_namespaces):
            self.mark_deleted(kind, namespace, name)
        elif kind is NAMESPACE:
            self.finish_namespace(name)
        else:
            self.remove(kind, namespace, name)
        return True

    @call
    async def create_event(
        self, regarding: Mapping[str, Any], *, type: str, reason: str, message: str, at: datetime
    ) -> None:
        self.events.append(PostedEvent(regarding["metadata"]["name"], type, reason, message))

    def decoded(self, secret: Mapping[str, Any]) -> dict[str, bytes]:
        return {key: base64.b64decode(text) for key, text in (secret.get("data") or {}).items()}

    # Below

    def _check_open(self, namespace: str | None) -> None:
        if namespace in self.shut:
            raise CredentialsError(f"forbidden in namespace {namespace}", status=403)

    def _check_namespace(self, kind: Kind, namespace: str | None) -> None:
        if not kind.namespaced or kind is EVENT:
            return
        there = self.objects.get(("Namespace", None, str(namespace)))
        if there is None:
            raise ValidationError(f"namespace {namespace} does not exist", status=404, code=404)

    def _check_version(self, there: Object, version: str | None) -> None:
        if version is not None and version != there["metadata"]["resourceVersion"]:
            raise ConflictError(f"{there['metadata']['name']} has changed", status=409, details={"reason": "Conflict"})

    def _wrote(self, verb: str, kind: Kind, name: str) -> None:
        self.writes.append((verb, kind.kind, name))


def merged(there: Any, patch: Any) -> Any:
    """RFC 7386, as the API server has it: nulls vanish from objects in lists, too."""
    if isinstance(patch, list):
        return [merged(None, item) for item in patch]
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(there) if isinstance(there, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _without(there: Any, before: Any, now: Any) -> Any:
    """`there` without what we applied before and do not apply any more."""
    if not (isinstance(there, dict) and isinstance(before, Mapping) and isinstance(now, Mapping)):
        return there
    result = dict(there)
    for key, value in before.items():
        if key not in now and key in result:
            result.pop(key)
        elif key in result:
            result[key] = _without(result[key], value, now[key])
    return result


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
