"""The part of the Kubernetes client that messages need, and the names that they leave on custom resources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from ..resources import marks
from ..services.kubernetes import Kind, Object

EVENT_ID = "freeleaps.com/event-id"
"""Annotation: event_id of the message that made the record, or was last applied to the project."""
EVENT_TIMESTAMP = marks.EVENT_TIMESTAMP
"""Annotation: timestamp of that message."""
EXTENDED_AT = "freeleaps.com/extend-timestamp"
"""Annotation of a record: timestamp of the `extend` message that was last applied to it."""
REQUESTED_BY = marks.REQUESTED_BY
DELETION_REQUESTED_BY = marks.DELETION_REQUESTED_BY
CANCEL_EVENT_ID = "freeleaps.com/cancel-event-id"
"""Annotation of a record: event_id of the `cancel` message that was last applied to it, so that it takes no other."""
DELETIONS = "freeleaps.com/deletions"
"""Annotation of a project: which records each of the last `delete` messages took, so that none takes others."""
PROJECT_LABEL = marks.PROJECT_LABEL
ENVIRONMENT_LABEL = marks.ENVIRONMENT_LABEL

RACES = 5
"""How often a write is begun anew because somebody else changed the object in between."""

_TIMESTAMP: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class Cluster(Protocol):
    """What messages need of `services.kubernetes.Kubernetes`."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None: ...

    async def list(self, kind: Kind, namespace: str | None, *, labels: str | None = None) -> list[Object]: ...

    async def create(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any]) -> Object: ...

    async def apply(
        self, kind: Kind, namespace: str | None, obj: Mapping[str, Any], *, force: bool = False
    ) -> Object: ...

    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any]
    ) -> Object | None: ...

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, uid: str | None = None) -> bool: ...


def annotation(obj: Object, name: str) -> str | None:
    """The annotation's value, or None."""
    value = (obj["metadata"].get("annotations") or {}).get(name)
    return value if isinstance(value, str) else None


def time_of(obj: Object, name: str) -> datetime | None:
    """The annotation as a time; None where it is absent, or is none (it can be edited by hand)."""
    text = annotation(obj, name)
    try:
        return None if text is None else _TIMESTAMP.validate_python(text).astimezone(UTC)
    except ValidationError:
        return None


def written(at: datetime) -> str:
    """A timestamp as annotations carry it: RFC 3339, UTC, all its digits."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def is_going(obj: Object) -> bool:
    """Whether its deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))
