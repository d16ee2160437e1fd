"""For whom and for what a request is made: set by those who know, read where the request goes out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

from .ambient import ambient
from .audit_record import UNKNOWN, AuditedObject, AuditedThing


@dataclass(frozen=True)
class Cause:
    """The custom resource whose pass this is, and who asked for what it says."""

    object: AuditedObject | None = None
    asked_by: str = UNKNOWN


@dataclass(frozen=True)
class Change:
    """The act that is under way. Digests as in the audit record."""

    thing: AuditedThing
    before: str | None
    after: str | None


_NOBODY = Cause()
_cause: ContextVar[Cause | None] = ContextVar("audit_cause", default=None)
_change: ContextVar[Change | None] = ContextVar("audit_change", default=None)


def acting_for(cause: Cause) -> AbstractContextManager[None]:
    """What is done inside, in tasks begun inside too, is done for this object."""
    return ambient(_cause, cause)


def changing(change: Change) -> AbstractContextManager[None]:
    """What is sent inside belongs to this act."""
    return ambient(_change, change)


def current() -> tuple[Cause, Change | None]:
    """The cause and the act of the moment."""
    return _cause.get() or _NOBODY, _change.get()
