"""The circuit breaker: what counts, when it opens, who may probe, and what is old news."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    ValidationError,
    Waiting,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.breaker import PROBE_SHARE, RETURNS_PER_SECOND, Change, CircuitBreaker, State

MINUTE = timedelta(minutes=1)
TURN = timedelta(seconds=1) / RETURNS_PER_SECOND


def ill(text: str = "jenkins: get job: 503") -> ExternalServiceError:
    return ExternalServiceError(text, service="jenkins")


async def works() -> str:
    return "done"


def fails(error: BaseException) -> Callable[[], Awaitable[str]]:
    async def operation() -> str:
        raise error

    return operation


class Desk:
    """A breaker with its clock and the changes that it told of."""

    def __init__(self, threshold: int = 5) -> None:
        self.clock = FakeClock()
        self.changes: list[Change] = []
        self.breaker = CircuitBreaker(
            "jenkins", failure_threshold=threshold, clock=self.clock, on_change=self.changes.append
        )

    @property
    def states(self) -> list[str]:
        assert self.breaker.state in State  # whoever looks finds the last answer judged
        return [change.after.value for change in self.changes]

    async def failing(self, times: int = 1, error: ReconcilerError | None = None) -> None:
        for _ in range(times):
            with pytest.raises(ReconcilerError):
                await self.breaker.call(fails(error or ill()))

    async def refused(self) -> ExternalServiceError:
        """The refusal of a call, which must not run."""
        ran = False

        async def operation() -> None:
            nonlocal ran
            ran = True

        with pytest.raises(ExternalServiceError) as caught:
            await self.breaker.call(operation)
        assert not ran
        assert caught.value.reason is Reason.BREAKER_OPEN
        return caught.value

    async def half_open(self) -> Pending:
        """Opened, its timeout over, and a probe under way."""
        await self.failing(self.breaker.failure_threshold)
        self.clock.advance(self.breaker.timeout)
        return await begin(self.breaker)


class Pending:
    """A call that is under way until the test says how it ends."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(breaker.call(self._wait))

    async def _wait(self) -> str:
        return await self._end

    async def ends(self, error: Exception | None = None) -> None:
        if error is None:
            self._end.set_result("done")
        else:
            self._end.set_exception(error)
        await asyncio.gather(self.task, return_exceptions=True)

    async def cancelled(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def begin(breaker: CircuitBreaker) -> Pending:
    pending = Pending(breaker)
    await asyncio.sleep(0)
    assert not pending.task.done(), "the call was not let through"
    return pending


# What a call gives


async def test_a_call_returns_and_raises_what_the_operation_does() -> None:
    desk = Desk()
    assert await desk.breaker.call(works) == "done"
    error = ill()
    with pytest.raises(ExternalServiceError) as caught:
        await desk.breaker.call(fails(error))
    assert caught.value is error


def test_a_breaker_begins_closed_with_five_failures_and_a_minute() -> None:
    breaker = CircuitBreaker("jenkins")
    assert (breaker.state, breaker.failures, breaker.opened_at) == (State.CLOSED, 0, None)
    assert (breaker.failure_threshold, breaker.timeout) == (5, MINUTE)


@pytest.mark.parametrize("options", [{"failure_threshold": 0}, {"timeout": timedelta(0)}])
def test_a_breaker_that_could_not_work_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a breaker needs"):
        CircuitBreaker("jenkins", **options)  # type: ignore[arg-type]


# What counts


@pytest.mark.parametrize("threshold", [1, 2, 5])
async def test_it_opens_at_exactly_the_threshold(threshold: int) -> None:
    desk = Desk(threshold)
    await desk.failing(threshold - 1)
    assert (desk.breaker.state, desk.breaker.failures) == (State.CLOSED, threshold - 1)
    await desk.failing()
    assert (desk.breaker.state, desk.breaker.failures) == (State.OPEN, threshold)
    assert desk.states == ["OPEN"]


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ill(), True),
        (ExternalServiceError("slow down", service="jenkins", reason=Reason.RATE_LIMITED), False),
        (ValidationError("400", status=400), False),
        (CredentialsError("401", status=401), False),
        (ConflictError("409", status=409), False),
        (Waiting("later", after=MINUTE), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_only_illness_counts_and_any_other_answer_begins_anew(error: ReconcilerError, counts: bool) -> None:
    desk = Desk()
    await desk.failing(4)
    await desk.failing(error=error)
    assert desk.breaker.failures == (5 if counts else 0)
    assert desk.breaker.state is (State.OPEN if counts else State.CLOSED)


async def test_a_success_begins_anew() -> None:
    desk = Desk()
    await desk.failing(4)
    await desk.breaker.call(works)
    await desk.failing(4)
    assert desk.breaker.state is State.CLOSED


@pytest.mark.parametrize("error", [KeyError("a fault of ours"), asyncio.CancelledError()], ids=["bug", "cancelled"])
async def test_what_says_nothing_about_the_service_changes_nothing(error: BaseException) -> None:
    desk = Desk()
    await desk.failing(4)
    with pytest.raises(type(error)):
        await desk.breaker.call(fails(error))
    assert desk.breaker.failures == 4
    await desk.failing()
    assert desk.breaker.state is State.OPEN


async def test_the_refusal_of_another_breaker_is_no_answer_of_this_service() -> None:
    desk, other = Desk(), Desk()
    await desk.failing(4)
    await other.failing(5)
    with pytest.raises(ExternalServiceError):
        await desk.breaker.call(lambda: other.breaker.call(works))
    assert desk.breaker.failures == 4


# OPEN


async def test_while_open_calls_are_refused_with_who_and_since_when() -> None:
    desk = Desk()
    await desk.failing(5)
    desk.clock.advance(timedelta(seconds=18))
    refusal = await desk.refused()
    assert refusal.message == "jenkins has failed since 2026-01-01 00:00:00 UTC; one request tries it every 60 s"
    assert refusal.service == "jenkins"
    assert refusal.maybe_applied is False
    assert refusal.after is not None
    assert timedelta(seconds=42) <= refusal.after <= timedelta(seconds=42) + TURN


async def test_those_who_are_refused_do_not_come_back_together() -> None:
    desk = Desk()
    await desk.failing(5)
    for turn in range(50):
        wait = (await desk.refused()).after
        assert wait is not None
        assert timedelta(0) <= wait - MINUTE - TURN * turn <= TURN


async def test_however_many_are_refused_all_come_back_within_a_timeout() -> None:
    desk = Desk()
    await desk.failing(5)
    waits = [(await desk.refused()).after or timedelta(0) for _ in range(2_000)]
    assert min(waits) >= MINUTE
    assert max(waits) < 2 * MINUTE
    in_a_second = Counter(int(wait.total_seconds()) for wait in waits)
    assert max(in_a_second.values()) - min(in_a_second.values()) <= RETURNS_PER_SECOND


async def test_the_host_is_named_where_a_service_has_several() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker("git", failure_threshold=1, clock=clock, host="git.example.com")
    with pytest.raises(ExternalServiceError):
        await breaker.call(fails(ill()))
    with pytest.raises(ExternalServiceError, match=r"^git at git\.example\.com has failed since "):
        breaker.check()


async def test_it_stays_open_until_the_timeout_is_over_to_the_moment() -> None:
    desk = Desk()
    await desk.failing(5)
    desk.clock.advance(MINUTE - timedelta(milliseconds=1))
    await desk.refused()
    assert desk.breaker.state is State.OPEN
    desk.clock.advance(timedelta(milliseconds=1))
    assert await desk.breaker.call(works) == "done"
    assert desk.states == ["OPEN", "HALF_OPEN", "CLOSED"]


async def test_the_timeout_runs_from_the_failure_and_not_from_the_next_look() -> None:
    desk = Desk(1)
    await desk.failing()
    desk.clock.advance(MINUTE)
    assert await desk.breaker.call(works) == "done"


async def test_opened_at_is_the_begin_of_the_illness() -> None:
    desk = Desk()
    began = desk.clock.now()
    await desk.failing(5)
    desk.clock.advance(MINUTE)
    await desk.failing()
    assert desk.breaker.opened_at == began
    assert desk.breaker.failures == 6
    desk.clock.advance(MINUTE)
    await desk.breaker.call(works)
    assert (desk.breaker.opened_at, desk.breaker.failures) == (None, 0)


# HALF_OPEN


async def test_one_probe_goes_and_the_others_are_refused_meanwhile() -> None:
    desk = Desk()
    await desk.failing(5)
    said = (await desk.refused()).message
    desk.clock.advance(MINUTE)
    probe = await begin(desk.breaker)
    assert desk.breaker.state is State.HALF_OPEN
    refusal = await desk.refused()
    assert refusal.message == said
    assert refusal.after is not None
    assert MINUTE * PROBE_SHARE <= refusal.after <= MINUTE * PROBE_SHARE + TURN
    await probe.ends()
    assert desk.breaker.state is State.CLOSED
    assert await desk.breaker.call(works) == "done"


async def test_a_failed_probe_opens_it_for_a_whole_timeout() -> None:
    desk = Desk()
    probe = await desk.half_open()
    desk.clock.advance(timedelta(seconds=10))
    await probe.ends(ill("still 503"))
    assert desk.breaker.state is State.OPEN
    assert desk.changes[-1].cause == "still 503"
    desk.clock.advance(timedelta(seconds=59))
    await desk.refused()
    desk.clock.advance(timedelta(seconds=1))
    assert await desk.breaker.call(works) == "done"


@pytest.mark.parametrize("error", [CredentialsError("401", status=401), ValidationError("404", status=404)])
async def test_a_probe_that_is_refused_by_the_service_shows_that_it_lives(error: ReconcilerError) -> None:
    desk = Desk()
    probe = await desk.half_open()
    await probe.ends(error)
    assert desk.breaker.state is State.CLOSED


async def test_a_cancelled_probe_frees_its_place_without_a_verdict() -> None:
    desk = Desk()
    probe = await desk.half_open()
    await probe.cancelled()
    assert desk.breaker.state is State.HALF_OPEN
    following = await begin(desk.breaker)
    await desk.refused()
    await following.ends()
    assert desk.breaker.state is State.CLOSED


async def test_an_old_call_that_is_cancelled_does_not_give_the_place_of_the_probe_away() -> None:
    desk = Desk()
    old = await begin(desk.breaker)
    await desk.half_open()
    await old.cancelled()
    await desk.refused()


# Old news


async def test_calls_that_began_before_it_opened_neither_close_it_nor_prolong_it() -> None:
    desk = Desk()
    good, bad = await begin(desk.breaker), await begin(desk.breaker)
    await desk.failing(5)
    await good.ends()
    assert (desk.breaker.state, desk.breaker.failures) == (State.OPEN, 5)
    desk.clock.advance(timedelta(seconds=30))
    await bad.ends(ill())
    assert desk.breaker.failures == 5
    desk.clock.advance(timedelta(seconds=30))
    assert await desk.breaker.call(works) == "done"


async def test_the_failure_of_an_old_call_does_not_decide_for_the_probe() -> None:
    desk = Desk()
    old = await begin(desk.breaker)
    probe = await desk.half_open()
    await old.ends(ill())
    assert desk.breaker.state is State.HALF_OPEN
    await desk.refused()
    await probe.ends()
    assert desk.breaker.state is State.CLOSED


async def test_the_failure_of_a_call_from_before_the_outage_does_not_count_after_it() -> None:
    desk = Desk(1)
    old = await begin(desk.breaker)
    probe = await desk.half_open()
    await probe.ends()
    await old.ends(ill())
    assert (desk.breaker.state, desk.breaker.failures) == (State.CLOSED, 0)


# The reader's verdict


async def test_an_answer_that_its_reader_cannot_use_is_a_failure() -> None:
    desk = Desk()
    for count in range(1, 6):
        await desk.breaker.call(works)
        desk.breaker.reconsider(ill("an HTML page"))
        assert desk.breaker.failures == count
    assert desk.breaker.state is State.OPEN
    assert desk.changes[-1].cause == "an HTML page"


async def test_a_probe_whose_answer_cannot_be_used_never_closes_it() -> None:
    desk = Desk()
    await desk.failing(5)
    desk.clock.advance(MINUTE)
    await desk.breaker.call(works)
    desk.breaker.reconsider(ill("an HTML page"))
    assert desk.breaker.state is State.OPEN
    assert desk.states == ["OPEN", "HALF_OPEN", "OPEN"]


async def test_a_failure_that_its_reader_knows_better_does_not_count() -> None:
    desk = Desk()
    await desk.failing(4)
    await desk.failing()
    desk.breaker.reconsider(None)
    assert (desk.breaker.state, desk.breaker.failures) == (State.CLOSED, 0)
    assert desk.states == []


async def test_without_a_word_of_the_reader_the_verdict_falls_by_itself() -> None:
    desk = Desk(1)
    await desk.failing()
    await asyncio.sleep(0)
    assert [change.after for change in desk.changes] == [State.OPEN]


async def test_the_next_call_of_the_same_task_finds_the_probe_judged() -> None:
    desk = Desk()
    await desk.failing(5)
    desk.clock.advance(MINUTE)
    await desk.breaker.call(works)
    assert await desk.breaker.call(works) == "done"


async def test_a_reader_does_not_judge_the_answer_of_another_task() -> None:
    desk = Desk()
    moment = asyncio.Event()

    async def operation() -> None:
        await moment.wait()
        raise ill()

    async def reader() -> None:
        await moment.wait()
        desk.breaker.reconsider(None)

    call, other = asyncio.ensure_future(desk.breaker.call(operation)), asyncio.ensure_future(reader())
    await asyncio.sleep(0)
    moment.set()  # both go on in the same turn of the loop: the answer is not judged yet when the other one speaks
    failed, _ = await asyncio.gather(call, other, return_exceptions=True)
    assert isinstance(failed, ExternalServiceError)
    assert desk.breaker.failures == 1


async def test_an_illness_that_is_found_late_counts_by_itself_and_only_while_closed() -> None:
    desk = Desk()
    desk.breaker.reconsider(ill())
    assert desk.breaker.failures == 1
    await desk.failing(4)
    desk.breaker.reconsider(ill())
    assert desk.breaker.failures == 5
    desk.clock.advance(MINUTE)
    probe = await begin(desk.breaker)
    desk.breaker.reconsider(ill())
    assert desk.breaker.state is State.HALF_OPEN
    await probe.ends()
    assert desk.breaker.state is State.CLOSED
