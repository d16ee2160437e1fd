"""Messages that users of the operator send."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Message = dict[str, Any]


def envelope(event_type: str, payload: Mapping[str, Any], *, event_id: str | None = None) -> Message:
    """A message of this type with a new id, of now."""
    return {
        "event_type": event_type,
        "event_id": event_id or str(uuid.uuid4()),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "payload": dict(payload),
    }


def initialize(project: str, spec: Mapping[str, Any], **more: Any) -> Message:
    """DevOpsInitialize: set a project up."""
    return envelope("DevOpsInitialize", {"project": project, "spec": dict(spec), **more})


def reconcile(project: str, action: str = "deploy", **more: Any) -> Message:
    """DevOpsReconcile; ``more`` are fields of the payload, those that are None are left out."""
    given = {name: value for name, value in more.items() if value is not None}
    return envelope("DevOpsReconcile", {"project": project, "action": action, **given})
