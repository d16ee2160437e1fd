"""How far a deployment is: steps for the status, percent, time left, and what of it is news for the heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..api.deployment_record import StepState, StepStatus
from ..api.errors import fault_of
from ..api.faults import Fault
from ..engine.conditions import shorten
from ..engine.ledger import Ledger
from ..engine.outcome import Outcome, StepResult

WEIGHTS = {"build": 60, "image": 3, "sync": 10, "health": 12, "published": 5, "address": 5}
"""Share of each step in the whole; a step that is not named counts 1."""
PERCENT_STEP = 10
"""Progress inside a step is news when it has passed the next ten percent."""
FAILING = (StepState.WAITING, StepState.FAILED)


@dataclass(frozen=True)
class News:
    """One change that a heartbeat tells."""

    step: str
    state: StepState
    percent: int
    eta_seconds: int | None
    message: str
    reason: str | None
    fault: Fault | None
    url: str | None


def step_statuses(outcome: Outcome, ledger: Ledger, before: Sequence[StepStatus], now: datetime) -> list[StepStatus]:
    """The steps as the status shows them."""
    known = {step.name: step for step in before}
    return [_step(result, ledger, known.get(result.step), now) for result in outcome.results]


def _step(result: StepResult, ledger: Ledger, before: StepStatus | None, now: datetime) -> StepStatus:
    entry = ledger.current(result.step)
    done = result.done or result.state is StepState.FAILED
    started = before.started_at if before is not None else None
    if started is None and result.state not in (StepState.PENDING, StepState.SKIPPED):
        started = now
    finished = (before.finished_at if before is not None else None) or now if done else None
    retry = now + result.after if result.state is StepState.WAITING and result.after is not None else None
    return StepStatus(
        name=result.step,
        state=result.state,
        attempts=entry.attempts if entry is not None else 0,
        started_at=started,
        finished_at=finished,
        external_id=entry.external_id if entry is not None else None,
        url=(entry.url if entry is not None else None) or (result.seen.url if result.seen is not None else None),
        reason=result.reason.value if result.state in FAILING else None,
        fault=fault_of(result.error) if result.state in FAILING else None,
        message=shorten(result.message) if (result.message and not done) or result.state is StepState.FAILED else None,
        next_retry_at=retry,
    )


def fault_in(steps: Sequence[StepStatus]) -> Fault | None:
    """Whose failure holds the deployment up: that of the first step with one."""
    return next((step.fault for step in steps if step.fault is not None), None)


def percent_done(outcome: Outcome) -> int:
    """0 to 100 over the whole deployment; 100 only when all steps are done."""
    total = sum(WEIGHTS.get(r.step, 1) for r in outcome.results) or 1
    done = 0.0
    for result in outcome.results:
        weight = WEIGHTS.get(result.step, 1)
        if result.done:
            done += weight
        elif result.seen is not None and result.seen.percent is not None:
            done += weight * result.seen.percent / 100
    return 100 if outcome.ready else min(99, int(100 * done / total))


def time_left(outcome: Outcome, stable_for: timedelta) -> int | None:
    """Expected seconds to the end, where the running step knows its own."""
    blocking = outcome.blocking
    if blocking is None:
        return 0
    if blocking.seen is None or blocking.seen.eta is None:
        return None
    rest = timedelta(0)
    if any(r.step == "health" and not r.done for r in outcome.results):
        rest = stable_for
    return int((blocking.seen.eta + rest).total_seconds())


def news_of(
    before: Sequence[StepStatus],
    after: Sequence[StepStatus],
    percent: int,
    percent_before: int | None,
    eta_seconds: int | None,
) -> list[News]:
    """What has changed: each step that took another state, and the running step when it has moved on visibly."""
    known = {step.name: step for step in before}
    found = []
    for step in after:
        was = known.get(step.name)
        if step.state is StepState.PENDING or (was is not None and _same(was, step, percent, percent_before)):
            continue
        if was is None and step.state is StepState.SKIPPED:
            continue
        found.append(
            News(step.name, step.state, percent, eta_seconds, step.message or "", step.reason, step.fault, step.url)
        )
    return found


def _same(was: StepStatus, step: StepStatus, percent: int, percent_before: int | None) -> bool:
    if (was.state, was.reason) != (step.state, step.reason):
        return False
    if step.state is not StepState.RUNNING:
        return True
    moved = percent // PERCENT_STEP != (percent_before or 0) // PERCENT_STEP
    return was.message == step.message and not moved
