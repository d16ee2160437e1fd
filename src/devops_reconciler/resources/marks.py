"""Reading our mark of ownership where a service keeps it (`api.names.mark` makes it)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..runtime.clock import moment
from ..runtime.tracing import traceparent

MARK = re.compile(r"freeleaps:[0-9a-f]{8}:[0-9a-f]{24}")

ANNOTATION = "freeleaps.com/mark"
"""Where Kubernetes and Argo CD objects carry the mark."""
PROJECT_LABEL = "freeleaps.com/project"
ENVIRONMENT_LABEL = "freeleaps.com/environment"
EVENT_TIMESTAMP = "freeleaps.com/event-timestamp"
"""Annotation of records and projects: timestamp of the message that made the record, or was last applied."""
REQUESTED_BY = "freeleaps.com/requested-by"
"""Annotation of records and projects: who asked, by the last message that changed the spec."""
TRACEPARENT = "freeleaps.com/traceparent"
"""Annotation of records, projects and their children: the trace that they belong to, as W3C Trace Context writes it."""
DELETION_REQUESTED_BY = "freeleaps.com/deletion-requested-by"
"""Annotation of a record: who asked for its deletion, by message."""


def of_one_installation(mark: str, other: str) -> bool:
    """Whether two marks are of one cluster: what is no mark of ours is of none."""
    return MARK.fullmatch(other) is not None and mark.rpartition(":")[0] == other.rpartition(":")[0]


def mark_in(text: str | None) -> str | None:
    """The mark that stands somewhere in a description, or None."""
    found = MARK.search(text or "")
    return found[0] if found else None


def described(what: str, mark: str) -> str:
    """A description that ends with the mark; short enough for Docker Hub's 100 characters."""
    room = 100 - len(mark) - 3
    return f"{what[:room]} ({mark})"


def mark_of(annotations: Mapping[str, str] | None) -> str | None:
    """The mark in an object's annotations."""
    return mark_in((annotations or {}).get(ANNOTATION))


def event_time(metadata: Mapping[str, Any]) -> datetime | None:
    """When the message of an object was made. None where none tells: anybody may write what they like there."""
    try:
        return moment(str((metadata.get("annotations") or {}).get(EVENT_TIMESTAMP)))
    except ValueError:
        return None


def order_of(metadata: Mapping[str, Any]) -> tuple[datetime, datetime, str]:
    """In which order objects have come, by the clock of the API server, and not by that of whoever acted then.

    Creation is known to the second only: of two in one second the message counts that was made first.
    """
    created_at = datetime.fromisoformat(metadata["creationTimestamp"])
    return (created_at, event_time(metadata) or created_at, str(metadata["name"]))


def trace_marks() -> dict[str, str]:
    """The annotation that takes the trace of the moment along with an object; none where nothing is traced."""
    found = traceparent()
    return {} if found is None else {TRACEPARENT: found}
