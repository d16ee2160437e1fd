"""What a pass tells besides the status: log lines and events."""

from __future__ import annotations

from typing import Any

from ..api.conditions import Condition, Reason
from ..api.deployment_record import StepState
from ..api.errors import ReconcilerError
from ..engine.outcome import StepResult
from ..kinds import Verdict
from ..resources.world import World
from ..runtime.logs import get_logger
from .index import key_of
from .queue import Key

NEWS = {
    "Ready",
    "Suspended",
    "Drifted",
    "Conflict",
    "VendorDegraded",
    "Expiring",
    "Expired",
    "CleanupVerified",
    "ForceDeleted",
}
"""Conditions whose transitions become events."""

_log = get_logger(__name__)


async def report(world: World, obj: dict[str, Any], verdict: Verdict) -> None:
    """A log line per failure, an event per condition that has changed. One that cannot be posted stops nothing.

    What a condition was in between is no news any more: a new object that is Ready at once has only just begun.
    """
    for result in verdict.results:
        _log_result(key_of(obj), result, news=bool(verdict.transitions))
    for thing in verdict.left:
        said = {name: thing[name] for name in ("service", "kind", "id", "mark", "error")}
        _log.warning("a forced deletion has let go of a thing", object=str(key_of(obj)), **said)
    last = {item.type: item for item in verdict.transitions if _is_news(item)}
    for item in last.values():
        kind = "Warning" if _is_bad(item) else "Normal"
        try:
            await world.kubernetes.create_event(
                obj, type=kind, reason=item.reason, message=item.message or item.type, at=world.clock.now()
            )
        except ReconcilerError as error:
            _log.warning("an event could not be posted", object=str(key_of(obj)), error=error.message)


def _log_result(key: Key, result: StepResult, *, news: bool) -> None:
    """A failure that somebody must end is told when it shows, not at each look."""
    if result.error is None or result.state is StepState.RUNNING:
        return
    said = {"object": str(key), "step": result.step, "reason": result.reason.value, "error": result.message}
    if result.reason is Reason.INTERNAL_ERROR:
        _log.error("a step failed unexpectedly", **said, exc_info=result.error)
    elif result.state is StepState.FAILED:
        (_log.error if news else _log.debug)("a step failed", **said)
    else:
        _log.warning("a step is tried again", **said)


def _is_news(item: Condition) -> bool:
    """Reconciling comes and goes with each pass, and Ready says what Stalled and Finished say."""
    if item.type == "Ready" and item.reason == Reason.EXPIRED:
        return False  # Expired says it
    if item.type == "CleanupVerified" and item.status == "Unknown":
        return False  # that the clean-up has begun, too
    return item.type in NEWS


def _is_bad(item: Condition) -> bool:
    if item.type == "Ready":
        return item.status == "False"
    if item.type == "CleanupVerified":
        return item.status == "False"
    return item.type not in {"Suspended", "Expired"}
