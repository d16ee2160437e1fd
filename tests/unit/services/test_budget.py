"""The request budget: never more a minute than allowed, in order, and quiet after a 429."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.urgency import Urgency, urgency, work
from devops_reconciler.services.budget import DEFAULT_PAUSE, Paused, RequestBudget


class Traffic:
    """Callers of a budget, and when each got through."""

    def __init__(self, per_minute: int, burst: int | None = None) -> None:
        self.clock = FakeClock()
        self.per_minute = per_minute
        self.budget = RequestBudget(self.clock, per_minute, burst=burst)
        self.sent: list[tuple[float, int]] = []
        self.refused: list[tuple[float, float]] = []
        """When somebody heard of a pause, and how much of it was left."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def interval(self) -> float:
        """Seconds between two requests of a full line, by default."""
        return 60.0 / (self.per_minute - max(1, self.per_minute // 4))

    @property
    def times(self) -> list[float]:
        return [moment for moment, _ in self.sent]

    def ask(self, count: int = 1, key: str = "", of: Urgency = Urgency.CHECK) -> None:
        for _ in range(count):
            with urgency(of):
                self._tasks.append(asyncio.create_task(self._one(len(self._tasks), key)))

    async def _one(self, number: int, key: str) -> None:
        try:
            await self.budget.take(key)
        except Paused as pause:
            self.refused.append((self.clock.monotonic(), pause.left.total_seconds()))
            return
        self.sent.append((self.clock.monotonic(), number))

    def give_up(self, number: int) -> None:
        """The caller of this number does not want to go any more."""
        self._tasks[number].cancel()

    async def pass_time(self, seconds: float, step: float = 0.25) -> None:
        for _ in range(round(seconds / step)):
            await settle()
            self.clock.advance(timedelta(seconds=step))
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def busiest_minute(times: list[float]) -> int:
    return max((sum(1 for other in times if start <= other < start + 60) for start in times), default=0)


@pytest.mark.parametrize("per_minute", [1, 2, 5, 60])
async def test_a_crowd_gets_through_at_the_allowed_rate(per_minute: int) -> None:
    traffic = Traffic(per_minute)
    traffic.ask(3 * per_minute)
    await traffic.pass_time(300)
    assert len(traffic.sent) == 3 * per_minute
    assert busiest_minute(traffic.times) <= per_minute


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([0.0, 1.0, 7.0, 30.0]), st.sampled_from(Urgency)),
        min_size=1,
        max_size=8,
    ),
)
def test_no_minute_ever_has_more_than_allowed(per_minute: int, arrivals: list[tuple[int, float, Urgency]]) -> None:
    async def scenario() -> Traffic:
        traffic = Traffic(per_minute)
        for count, gap, of in arrivals:
            traffic.ask(count, of=of)
            await traffic.pass_time(gap, step=1.0)
        await traffic.pass_time(sum(count for count, _, _ in arrivals) * 121 / per_minute + 61, step=5.0)
        return traffic

    traffic = asyncio.run(scenario())
    assert len(traffic.sent) == sum(count for count, _, _ in arrivals)
    assert busiest_minute(traffic.times) <= per_minute


async def test_a_few_requests_do_not_wait() -> None:
    traffic = Traffic(60)
    traffic.ask(15)
    await settle()
    assert traffic.times == [0.0] * 15
    traffic.ask()
    await settle()
    assert len(traffic.sent) == 15


async def test_who_comes_first_goes_first() -> None:
    traffic = Traffic(10)
    traffic.ask(10)
    await traffic.pass_time(20)
    traffic.ask(10)
    await traffic.pass_time(200)
    assert [number for _, number in traffic.sent] == list(range(20))


async def test_what_is_urgent_goes_before_what_waits_already() -> None:
    traffic = Traffic(10)
    traffic.ask(20)
    await settle()
    through = len(traffic.sent)
    traffic.ask(3, of=Urgency.DEPLOYMENT)
    await traffic.pass_time(300)
    numbers = [number for _, number in traffic.sent]
    assert numbers[through : through + 3] == [20, 21, 22]
    assert numbers[:through] + numbers[through + 3 :] == list(range(20))
    assert busiest_minute(traffic.times) <= 10


async def test_a_change_goes_before_checks_and_after_deployments() -> None:
    traffic = Traffic(10, burst=1)
    traffic.ask(1)
    await settle()
    for of in (Urgency.CHECK, Urgency.CHANGE, Urgency.DEPLOYMENT):
        traffic.ask(1, of=of)
    await traffic.pass_time(60)
    assert [number for _, number in traffic.sent] == [0, 3, 2, 1]


async def test_each_fourth_turn_is_for_who_has_waited_longest() -> None:
    traffic = Traffic(10, burst=1)
    traffic.ask(3)
    await settle()
    traffic.ask(9, of=Urgency.DEPLOYMENT)
    await traffic.pass_time(120)
    assert [number for _, number in traffic.sent] == [0, 3, 4, 5, 1, 6, 7, 8, 2, 9, 10, 11]


async def test_who_gives_up_holds_nobody_up_and_costs_nothing() -> None:
    traffic = Traffic(10)
    traffic.ask(10)
    await settle()
    through = len(traffic.sent)
    for number in (through, through + 2, 9):  # the first in the line, who sleeps for all, and two others
        traffic.give_up(number)
    await traffic.pass_time(300)
    assert [number for _, number in traffic.sent] == [n for n in range(10) if n not in (through, through + 2, 9)]
    waits = [moment for moment in traffic.times if moment > 0]
    assert waits[0] == pytest.approx(traffic.interval, abs=0.5)


async def test_urgent_work_that_gives_up_holds_nobody_up() -> None:
    traffic = Traffic(10)
    traffic.ask(5)
    await settle()
    traffic.ask(1, of=Urgency.DEPLOYMENT)
    await settle()
    traffic.give_up(5)
    await traffic.pass_time(120)
    assert [number for _, number in traffic.sent] == [0, 1, 2, 3, 4]


async def test_keys_have_budgets_of_their_own() -> None:
    traffic = Traffic(4)
    traffic.ask(4, "GET /records")
    await settle()
    assert len(traffic.sent) == 1
    traffic.ask(1, "PUT /records")
    await settle()
    assert len(traffic.sent) == 2


@pytest.mark.parametrize(("after", "pause"), [(timedelta(seconds=90), 90.0), (None, DEFAULT_PAUSE.total_seconds())])
async def test_after_a_429_nothing_goes_out_for_the_time_that_was_asked(after: timedelta | None, pause: float) -> None:
    traffic = Traffic(60)
    traffic.budget.slow_down("", after)
    traffic.ask(3)
    await traffic.pass_time(pause - 1)
    traffic.ask(1, "another key")
    traffic.ask()
    await settle()
    assert traffic.refused == [(0.0, pause)] * 3 + [(pause - 1, 1.0)]
    assert traffic.times == [pause - 1]


async def test_those_who_wait_already_when_a_429_comes_hear_of_it_as_soon_as_the_next_one_would_have_gone() -> None:
    traffic = Traffic(60)
    traffic.ask(30)
    await settle()
    through = len(traffic.sent)
    assert 0 < through < 30
    traffic.budget.slow_down("", timedelta(seconds=40))
    traffic.clock.advance(timedelta(seconds=traffic.interval))
    for _ in range(30):  # each of them lets the next one hear of it
        await settle()
    assert len(traffic.sent) == through
    assert len(traffic.refused) == 30 - through
    assert all(moment + left == pytest.approx(40.0) for moment, left in traffic.refused)


async def test_all_who_come_back_when_the_pause_is_over_go_one_after_the_other() -> None:
    traffic = Traffic(60)
    traffic.budget.slow_down("", timedelta(seconds=40))
    await traffic.pass_time(40)
    traffic.ask(30)
    await settle()
    assert len(traffic.sent) == 1
    await traffic.pass_time(100)
    assert len(traffic.sent) == 30
    assert busiest_minute(traffic.times) <= 60


async def test_a_429_on_the_return_does_not_make_anybody_wait_for_two_pauses() -> None:
    traffic = Traffic(60)
    traffic.budget.slow_down("", None)
    await traffic.pass_time(30)
    traffic.ask(10)
    await settle()
    assert len(traffic.sent) == 1
    traffic.budget.slow_down("", None)  # the answer to the one that has gone
    await traffic.pass_time(2)
    assert len(traffic.refused) == 9


async def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    traffic = Traffic(60)
    traffic.budget.slow_down("", timedelta(seconds=90))
    traffic.budget.slow_down("", timedelta(seconds=5))
    await traffic.pass_time(89)
    traffic.ask()
    await traffic.pass_time(1)
    assert traffic.refused == [(89.0, 1.0)]
    traffic.ask()
    await settle()
    assert traffic.times == [90.0]


@pytest.mark.parametrize(("per_minute", "burst"), [(0, None), (-1, None), (5, 6), (5, 0)])
def test_a_budget_that_makes_no_sense_is_refused(per_minute: int, burst: int | None) -> None:
    with pytest.raises(ValueError, match="request budget"):
        RequestBudget(FakeClock(), per_minute, burst=burst)


async def test_tenants_have_turns_at_a_budget() -> None:
    traffic = Traffic(10, burst=1)
    for namespace, count in (("noisy", 5), ("quiet", 2)):
        with work(Urgency.CHANGE, (namespace, "shop")):
            traffic.ask(count, of=Urgency.CHANGE)
    await traffic.pass_time(120)
    assert [number for _, number in traffic.sent] == [0, 1, 5, 2, 6, 3, 4]
