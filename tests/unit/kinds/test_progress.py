"""How far a deployment is, and what of it is news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.deployment_record import StepState, StepStatus
from devops_reconciler.engine.ledger import Entry, Ledger
from devops_reconciler.engine.outcome import Outcome, StepResult
from devops_reconciler.engine.resource import Observation
from devops_reconciler.kinds.deployment_end import result_of
from devops_reconciler.kinds.progress import news_of, percent_done, step_statuses, time_left

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = ("revision", "build", "image", "claim", "release", "sync", "health", "published", "address")
DONE, RUNNING, PENDING = StepState.SUCCEEDED, StepState.RUNNING, StepState.PENDING


def outcome(done: int, percent: int | None = None, eta: timedelta | None = None) -> Outcome:
    """The first `done` steps are done, the next one runs."""
    results = []
    for number, step in enumerate(STEPS):
        state = DONE if number < done else RUNNING if number == done else PENDING
        seen = Observation(exists=True, percent=percent, eta=eta) if state is RUNNING else None
        results.append(StepResult(step, state, seen=seen, message="at work" if state is RUNNING else ""))
    return Outcome(results=results)


def test_the_percentage_grows_with_each_step_and_is_100_at_the_end_only() -> None:
    found = [percent_done(outcome(done)) for done in range(len(STEPS) + 1)]
    assert found[0] == 0
    assert found[-1] == 100
    assert all(earlier <= later < 100 for earlier, later in pairwise(found[:-1]))


@given(done=st.integers(0, len(STEPS) - 1), percent=st.integers(0, 100), more=st.integers(0, 100))
def test_progress_inside_a_step_counts_and_never_reaches_the_next_one(done: int, percent: int, more: int) -> None:
    low, high = sorted((percent, more))
    assert percent_done(outcome(done, low)) <= percent_done(outcome(done, high)) <= percent_done(outcome(done + 1))


def test_most_of_the_time_is_the_build() -> None:
    assert 55 <= percent_done(outcome(2)) - percent_done(outcome(1)) <= 70


def test_the_time_left_is_known_where_the_running_step_knows_its_own() -> None:
    stable = timedelta(seconds=15)
    assert time_left(outcome(1, 10, timedelta(seconds=30)), stable) == 45
    assert time_left(outcome(7, 10, timedelta(seconds=30)), stable) == 30
    assert time_left(outcome(1, 10), stable) is None
    assert time_left(outcome(len(STEPS)), stable) == 0


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        (Reason.SUCCEEDED, "Succeeded"),
        (Reason.CANCELLED, "Cancelled"),
        (Reason.SUPERSEDED, "Superseded"),
        *((reason, "Failed") for reason in (Reason.BUILD_FAILED, Reason.PROJECT_NOT_FOUND, Reason.QUOTA_EXCEEDED)),
    ],
)
def test_the_result_that_a_reason_means(reason: Reason, result: str) -> None:
    assert result_of(reason) == result


# Steps in the status


def test_a_step_keeps_when_it_began_and_when_it_ended() -> None:
    ledger = Ledger([])
    first = step_statuses(outcome(0), ledger, [], NOW)
    assert (first[0].started_at, first[0].finished_at, first[1].started_at) == (NOW, None, None)
    later = NOW + timedelta(seconds=5)
    second = step_statuses(outcome(1), ledger, first, later)
    assert (second[0].started_at, second[0].finished_at, second[1].started_at) == (NOW, later, later)
    third = step_statuses(outcome(2), ledger, second, later + timedelta(seconds=5))
    assert (third[0].started_at, third[0].finished_at) == (NOW, later)


def test_a_step_says_what_it_waits_for_and_nothing_once_it_is_done() -> None:
    retry = StepResult("build", StepState.WAITING, Reason.RATE_LIMITED, "slow down", after=timedelta(seconds=30))
    entry = Entry(step="build", kind="JenkinsBuild", key="k", attempts=2, external_id="7", url="http://j/7/")
    found = step_statuses(Outcome(results=[retry]), Ledger([entry]), [], NOW)[0]
    assert (found.reason, found.message, found.attempts) == ("RateLimited", "slow down", 2)
    assert (found.external_id, found.url) == ("7", "http://j/7/")
    assert found.next_retry_at == NOW + timedelta(seconds=30)
    done = StepResult("build", DONE, Reason.SUCCEEDED, "left over")
    after = step_statuses(Outcome(results=[done]), Ledger([entry]), [found], NOW)[0]
    assert (after.reason, after.message, after.next_retry_at) == (None, None, None)


# News


def step(name: str = "build", state: StepState = RUNNING, message: str = "", reason: str | None = None) -> StepStatus:
    return StepStatus(name=name, state=state, message=message, reason=reason)


@pytest.mark.parametrize(
    ("was", "now", "percents", "told"),
    [
        (None, step(state=PENDING), (0, 0), False),
        (None, step(state=StepState.SKIPPED), (0, 0), False),
        (None, step(), (0, 0), True),
        (None, step(state=DONE), (0, 0), True),
        (step(state=PENDING), step(), (0, 0), True),
        (step(), step(), (11, 19), False),
        (step(), step(), (19, 20), True),
        (step(message="a"), step(message="b"), (11, 11), True),
        (step(), step(state=StepState.WAITING, reason="RateLimited"), (11, 11), True),
        (
            step(state=StepState.WAITING, reason="RateLimited", message="a"),
            step(state=StepState.WAITING, reason="RateLimited", message="b"),
            (11, 11),
            False,
        ),
        (
            step(state=StepState.WAITING, reason="RateLimited"),
            step(state=StepState.WAITING, reason="BreakerOpen"),
            (11, 11),
            True,
        ),
        (step(), step(state=DONE), (11, 60), True),
        (step(state=DONE), step(state=DONE), (60, 90), False),
        (step(), step(state=StepState.FAILED, reason="BuildFailed", message="red"), (11, 11), True),
    ],
)
def test_what_is_news(was: StepStatus | None, now: StepStatus, percents: tuple[int, int], told: bool) -> None:
    found = news_of([was] if was else [], [now], percents[1], percents[0], 5)
    assert bool(found) is told
    if found:
        assert (found[0].step, found[0].state, found[0].percent, found[0].eta_seconds) == (
            "build",
            now.state,
            percents[1],
            5,
        )
