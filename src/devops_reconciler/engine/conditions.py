"""From outcomes to conditions, by the rules of kstatus.

Ready is always there: True when all steps are done, Unknown while working, False when somebody must act.
Reconciling and Stalled exist only while True, and never together: kstatus reads the first it finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from ..api.conditions import MESSAGE_LIMIT, Condition, Reason
from ..api.deployment_record import StepState
from ..api.errors import CredentialsError, ExternalServiceError
from ..api.plain_text import one_line
from .outcome import Outcome, StepResult

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SUSPENDED = "Suspended"
DRIFTED = "Drifted"
CONFLICT = "Conflict"
VENDOR_DEGRADED = "VendorDegraded"
FORCE_DELETED = "ForceDeleted"
CLEANUP_VERIFIED = "CleanupVerified"
CREDENTIALS_READY = "CredentialsReady"

Truth = Literal["True", "False", "Unknown"]


class Conditions:
    """A list of conditions under change. `transitions` are those whose status or reason changed: events to post."""

    def __init__(self, before: Iterable[Condition], generation: int, now: datetime) -> None:
        self._all = {item.type: item for item in before}
        self._generation = generation
        self._now = now.replace(microsecond=0)
        self.transitions: list[Condition] = []

    def get(self, kind: str) -> Condition | None:
        return self._all.get(kind)

    def is_true(self, kind: str) -> bool:
        item = self._all.get(kind)
        return item is not None and item.status == "True"

    def put(self, kind: str, status: Truth, reason: Reason, message: str = "") -> None:
        """Set one. `lastTransitionTime` moves only when the status does."""
        before = self._all.get(kind)
        since = before.last_transition_time if before is not None and before.status == status else self._now
        item = Condition(
            type=kind,
            status=status,
            reason=reason.value,
            message=shorten(message),
            last_transition_time=since,
            observed_generation=self._generation,
        )
        if before is None or (before.status, before.reason) != (item.status, item.reason):
            self.transitions.append(item)
        self._all[kind] = item

    def drop(self, kind: str) -> None:
        self._all.pop(kind, None)

    def put_back(self, item: Condition) -> None:
        """Have one again that was dropped, as it was: to say the same of it is no news."""
        self._all[item.type] = item

    def flag(self, kind: str, reason: Reason | None, message: str = "") -> None:
        """An abnormal-true condition: there with this reason, or not there at all."""
        if reason is None:
            self.drop(kind)
        else:
            self.put(kind, "True", reason, message)

    def hold_on(self) -> None:
        """What they say holds for this generation, too: no news, but who waits for one asks of which it is."""
        current = {"observed_generation": self._generation}
        self._all = {kind: item.model_copy(update=current) for kind, item in self._all.items()}

    def list(self) -> list[Condition]:
        return sorted(self._all.values(), key=lambda item: (item.type != READY, item.type))

    def ready(self, message: str = "", reason: Reason = Reason.SUCCEEDED) -> None:
        self.put(READY, "True", reason, message)
        self.drop(RECONCILING)
        self.drop(STALLED)

    def stalled(self, reason: Reason, message: str) -> None:
        """Somebody must act."""
        self.put(READY, "False", reason, message)
        self.put(STALLED, "True", reason, message)
        self.drop(RECONCILING)

    def progressing(self, message: str, cause: Reason, *, retrying: bool) -> None:
        """Under way, or tried again by itself after a failure."""
        status: Truth = "False" if cause is Reason.INTERNAL_ERROR else "Unknown"
        self.put(READY, status, cause, message)
        why = Reason.PROGRESSING_WITH_RETRY if retrying else Reason.PROGRESSING
        self.put(RECONCILING, "True", why, message)
        self.drop(STALLED)


def summarise(conditions: Conditions, outcome: Outcome, generation: int) -> bool:
    """Set the summary conditions from one pass; True when `observedGeneration` may move (Ready or Stalled)."""
    details(conditions, outcome)
    if outcome.ready:
        conditions.ready(_say_ready(outcome))
        return True
    failure = outcome.failure
    if failure is not None:
        conditions.stalled(failure.reason, say(failure))
        return True
    blocking = outcome.blocking
    assert blocking is not None
    if _only_unreachable(conditions, outcome, generation):
        conditions.drop(RECONCILING)
        return True
    retrying = blocking.state is StepState.WAITING
    conditions.progressing(say(blocking), blocking.reason, retrying=retrying)
    return False


def _say_ready(outcome: Outcome) -> str:
    paused = [r.step for r in outcome.results if r.reason is Reason.PAUSED]
    return f"paused: {', '.join(paused)}; all else is as the spec says" if paused else "all is as the spec says"


def details(conditions: Conditions, outcome: Outcome) -> None:
    """Drifted, Conflict and VendorDegraded, as one pass has found it."""
    drifted = [r for r in outcome.results if r.reason is Reason.DRIFTED]
    conditions.flag(DRIFTED, Reason.DRIFTED if drifted else None, "; ".join(say(r) for r in drifted))
    foreign = [r for r in outcome.results if r.reason is Reason.OWNERSHIP_CONFLICT and r.state is StepState.FAILED]
    conditions.flag(CONFLICT, Reason.OWNERSHIP_CONFLICT if foreign else None, "; ".join(say(r) for r in foreign))
    ill = [r for r in outcome.results if isinstance(r.error, ExternalServiceError) or _is_borne(r)]
    conditions.flag(VENDOR_DEGRADED, ill[0].reason if ill else None, "; ".join(say(r) for r in ill))


def say_replaced(conditions: Conditions, outcome: Outcome) -> None:
    """`CleanupVerified` of what an earlier spec had: there until all of it is gone, False where that fails."""
    going = outcome.replaced
    stuck = [r for r in going if r.state in (StepState.FAILED, StepState.WAITING)]
    if not going:
        conditions.drop(CLEANUP_VERIFIED)
    elif stuck:
        text = f"of an earlier spec is left, and tried again: {'; '.join(map(_say_thing, stuck))}"
        conditions.put(CLEANUP_VERIFIED, "False", Reason.CLEANUP_FAILED, text)
    else:
        text = f"of an earlier spec is to be removed: {'; '.join(map(_say_thing, going))}"
        conditions.put(CLEANUP_VERIFIED, "Unknown", Reason.PROGRESSING, text)


def _say_thing(result: StepResult) -> str:
    """Which thing, and what about it: its step is that of its successor, too."""
    thing = f"{result.entry.kind} {result.entry.key}" if result.entry is not None else result.step
    return f"{thing}: {result.message}" if result.message else thing


def _is_borne(result: StepResult) -> bool:
    """A refused login that is tried again for a while (`kinds.patience`)."""
    return result.state is StepState.WAITING and isinstance(result.error, CredentialsError)


def _only_unreachable(conditions: Conditions, outcome: Outcome, generation: int) -> bool:
    """What was Ready for this spec stays Ready while a service cannot be asked: VendorDegraded says so."""
    ready = conditions.get(READY)
    if ready is None or ready.status != "True" or ready.observed_generation != generation or outcome.acted:
        return False
    open_steps = [r for r in outcome.results if not r.done]
    return all(isinstance(r.error, ExternalServiceError) or r.state is StepState.PENDING for r in open_steps)


def say(result: StepResult) -> str:
    """Which step, and what about it."""
    return shorten(f"{result.step}: {result.message}" if result.message else result.step)


def shorten(text: str) -> str:
    """At most what a condition may hold, in one plain line."""
    line = one_line(text)
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"
