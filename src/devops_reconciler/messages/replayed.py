"""The header that says when somebody last had a message published again, and times in headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

REPLAYED_HEADER = "x-replayed-at"
"""Not a bare yes: a copy of the message may lie in a queue that nobody reads, and is old one day too."""


def replayed_at(headers: Mapping[str, Any] | None) -> datetime | None:
    """When somebody last had it published again; None where nobody has, or what the header holds is no time."""
    return time_in((headers or {}).get(REPLAYED_HEADER))


def time_in(value: object) -> datetime | None:
    """The time that a header or a property holds, UTC where it has no offset; None where it is no time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
