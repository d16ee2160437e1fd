"""Where the status of an object goes: one patch with what changed, never over somebody else's change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..services.kubernetes import Kubernetes
from ..services.kubernetes_kinds import Kind

Saved = Callable[[dict[str, Any], Mapping[str, Any]], None]
"""Told of each save: the object as it is now, and the fields that were written."""


class StatusStore:
    """The status of one object as it was read. A save that loses the race raises ConflictError."""

    def __init__(self, kubernetes: Kubernetes, kind: Kind, obj: dict[str, Any], saved: Saved) -> None:
        self._kubernetes = kubernetes
        self._kind = kind
        self._obj = obj
        self._saved = saved

    async def save(self, fields: Mapping[str, Any]) -> None:
        """Write the fields that differ from what is there; None takes one away. No difference, no write."""
        changed = differing(self._obj, fields)
        if not changed:
            return
        metadata = self._obj["metadata"]
        self._obj = await self._kubernetes.patch_status(
            self._kind,
            metadata["namespace"],
            metadata["name"],
            changed,
            resource_version=metadata["resourceVersion"],
        )
        self._saved(self._obj, changed)


def differing(obj: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the status that are not yet as they are to be."""
    there = obj.get("status") or {}
    return {name: value for name, value in fields.items() if there.get(name) != value}
