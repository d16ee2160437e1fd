"""Says for the audit trail which external thing an act changes, and from what to what."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..runtime.audit_context import Change, changing
from ..runtime.audit_record import AuditedThing, digest_of
from .decide import Create, Update
from .resource import Observation, Resource


def writing(resource: Resource[Any], seen: Observation, action: Create | Update) -> AbstractContextManager[None]:
    """What is sent inside creates or updates this thing."""
    fields = action.fields if isinstance(action, Update) else ()
    thing = _thing(resource, "update" if isinstance(action, Update) else "create", fields)
    return changing(Change(thing, _before(seen), digest_of(resource.value())))


def removing(resource: Resource[Any], seen: Observation) -> AbstractContextManager[None]:
    """What is sent inside removes this thing."""
    return changing(Change(_thing(resource, "delete"), _before(seen), None))


def _thing(resource: Resource[Any], action: Any, fields: tuple[str, ...] = ()) -> AuditedThing:
    return AuditedThing(kind=type(resource).__name__, key=resource.key, action=action, fields=fields)


def _before(seen: Observation) -> str | None:
    """Of all that the look has told: values where they are kept (DNS), otherwise owner, facts and what differs."""
    if not seen.exists and not seen.preimage:
        return None
    told = {
        "owner": seen.owner,
        "drift": list(seen.drift),
        "facts": dict(seen.facts),
        "preimage": seen.preimage,
        "external_id": seen.external_id,
    }
    return digest_of(told)
