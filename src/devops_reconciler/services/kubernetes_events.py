"""The form of an event, as `events.k8s.io/v1` wants it (k8s.io/api/events/v1 types.go; validation/events.go)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NOTE_LIMIT = 1024
"""Longest note, in bytes."""
NAME_LIMIT = 253
ACTION = "Reconcile"


def event_of(
    regarding: Mapping[str, Any], type: str, reason: str, message: str, at: datetime, controller: str
) -> dict[str, Any]:
    """An event about an object as read, in its namespace (`default` for a cluster-wide one)."""
    metadata = regarding["metadata"]
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    content = "\0".join([metadata.get("uid", ""), type, reason, message, stamp])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return {
        "metadata": {
            "name": f"{metadata['name'][: NAME_LIMIT - 17].rstrip('.-')}.{digest}",
            "namespace": metadata.get("namespace") or "default",
        },
        "eventTime": stamp,
        "reportingController": f"freeleaps.com/{controller}",
        "reportingInstance": controller,
        "action": ACTION,
        "type": type,
        "reason": reason,
        "note": message.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "namespace": metadata.get("namespace"),
            "name": metadata["name"],
            "uid": metadata.get("uid"),
            "resourceVersion": metadata.get("resourceVersion"),
        },
    }
