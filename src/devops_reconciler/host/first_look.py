"""The order in which a replica that begins to act looks at what is there: work in flight first, the rest spread out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..engine.conditions import SUSPENDED
from ..kinds import KINDS
from ..kinds.reconcile import RETIRED_STATES, is_paused, pause_of
from ..resources.child import REQUESTED_ANNOTATION
from ..runtime.clock import moment
from ..services.kubernetes import DEPLOYMENT_RECORD
from ..services.kubernetes_kinds import Kind
from .queue import Key

FIRST_LOOK: tuple[Kind, ...] = (
    DEPLOYMENT_RECORD,
    *(what.kind for what in KINDS.values() if what.kind != DEPLOYMENT_RECORD),
)
"""All kinds, the deployments first: somebody waits for them."""
STEP = timedelta(milliseconds=50)
"""Between two looks at objects without work, unless there are too many: a few dozen need no minute."""


class Met(NamedTuple):
    """What a replica that begins to act keeps of an object that is there."""

    key: Key
    version: str
    uid: str
    work: bool
    over: bool


def met(key: Key, obj: dict[str, Any], now: datetime) -> Met:
    """Of an object as it was listed."""
    metadata = obj["metadata"]
    return Met(key, str(metadata["resourceVersion"]), str(metadata["uid"]), has_work(obj, now), is_over(obj))


def has_work(obj: dict[str, Any], now: datetime) -> bool:
    """Whether something is under way or due: an expiry, or what `is_at_work` has."""
    status = obj.get("status") or {}
    if is_at_work(obj):
        return True
    expires = status.get("expiresAt")
    if expires is None or _conditions(status).get("CleanupVerified") == "True":
        return False
    return moment(expires) <= now


def is_at_work(obj: dict[str, Any]) -> bool:
    """Whether something is under way: a deletion, a new spec, a look that was asked for, a deployment, news to send."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if _rests(obj):
        return False
    if metadata.get("deletionTimestamp") or status.get("observedGeneration") != metadata.get("generation"):
        return True
    requested = (metadata.get("annotations") or {}).get(REQUESTED_ANNOTATION)
    if requested is not None and requested != status.get("lastHandledReconcileAt"):
        return True
    conditions = _conditions(status)
    if obj.get("kind") != DEPLOYMENT_RECORD.kind:
        return conditions.get("Ready") != "True"
    return conditions.get("Finished") != "True" or bool((status.get("heartbeat") or {}).get("outbox"))


def is_over(obj: dict[str, Any]) -> bool:
    """Whether it is a deployment that nothing is left to do for: a pass over it would leave it as it is.

    These become many, and what they tell of themselves is in the watch. Something new wakes them.
    """
    status = obj.get("status") or {}
    conditions = _conditions(status)
    if obj.get("kind") != DEPLOYMENT_RECORD.kind or is_at_work(obj) or conditions.get("Finished") != "True":
        return False
    if is_paused(obj) or SUSPENDED in conditions:
        return False
    if conditions.get("CleanupVerified") == "True":
        return True
    return status.get("expiresAt") is None and not any(
        entry.get("shared") and entry.get("state") in RETIRED_STATES for entry in status.get("applied") or ()
    )


def _rests(obj: dict[str, Any]) -> bool:
    """Whether it is paused, and says so of what it is now. Its observedGeneration stays behind: nothing was applied."""
    metadata = obj["metadata"]
    paused = pause_of(obj) == "all" if metadata.get("deletionTimestamp") else is_paused(obj)
    said = (c for c in (obj.get("status") or {}).get("conditions") or () if c["type"] == SUSPENDED)
    return paused and any(
        c.get("status") == "True" and c.get("observedGeneration") == metadata.get("generation") for c in said
    )


def _conditions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c.get("status", "") for c in status.get("conditions") or ()}


def spread(keys: Sequence[Key], over: timedelta) -> Iterator[tuple[Key, timedelta]]:
    """Each key with its wait: in random order, evenly over at most `over`. Never zero: those with work go first."""
    mixed = random.sample(keys, len(keys))
    step = min(STEP, over / max(1, len(keys)))
    for number, key in enumerate(mixed, start=1):
        yield key, step * number
