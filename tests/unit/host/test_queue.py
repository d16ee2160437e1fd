"""The work queue: never a key twice at once, nothing lost, and no more at a time than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from devops_reconciler.host.queue import Key, WorkQueue
from devops_reconciler.runtime.event_loop import UrgentFirstLoop
from devops_reconciler.runtime.urgency import NOBODY, Tenant, Urgency, current_tenant

LONG = timedelta(hours=1)
DEADLINE = 10.0
ONE = Key("DevOpsProject", "team-a", "one")
TWO = Key("DevOpsProject", "team-a", "two")


class Passes:
    """Passes that the test holds back or lets go. `gives` is what a pass asks for: when to come back."""

    def __init__(self) -> None:
        self.begun: list[Key] = []
        self.ended: list[Key] = []
        self.at_once = 0
        self.most = 0
        self.held: dict[Key, asyncio.Event] = {}
        self.gives: Callable[[Key], timedelta | None] = lambda key: None
        self._changed = asyncio.Condition()

    async def run(self, key: Key) -> timedelta | None:
        assert self.begun.count(key) == self.ended.count(key), f"{key} runs twice at once"
        self.begun.append(key)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self._tell()
            if key in self.held:
                await self.held[key].wait()
            return self.gives(key)
        finally:
            self.at_once -= 1
            self.ended.append(key)
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(what)


@asynccontextmanager
async def opened(concurrency: int = 4) -> AsyncIterator[tuple[WorkQueue, Passes]]:
    passes = Passes()
    queue = WorkQueue(passes.run, concurrency)
    queue.open()
    try:
        yield queue, passes
    finally:
        await queue.close(within=timedelta(0))


async def test_a_key_runs_when_it_is_woken_and_not_again() -> None:
    async with opened() as (queue, passes):
        queue.wake(ONE)
        await passes.until(lambda: passes.ended == [ONE])
        await settle(queue)
        assert queue.planned == 0


async def settle(queue: WorkQueue) -> None:
    """Let every task that is ready run to its next wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_wake_during_a_pass_makes_it_run_once_more() -> None:
    async with opened() as (queue, passes):
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        await passes.until(lambda: passes.begun == [ONE])
        for _ in range(3):
            queue.wake(ONE)
        passes.held.pop(ONE).set()
        await passes.until(lambda: passes.ended == [ONE, ONE])
        await settle(queue)
        assert queue.planned == 0


async def test_wakes_while_a_key_waits_for_its_turn_are_one() -> None:
    async with opened(concurrency=1) as (queue, passes):
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        await passes.until(lambda: passes.begun == [ONE])
        for _ in range(3):
            queue.wake(TWO)
        passes.held.pop(ONE).set()
        await passes.until(lambda: passes.ended == [ONE, TWO])
        await settle(queue)
        assert passes.begun == [ONE, TWO]


async def test_no_more_passes_run_at_once_than_allowed_and_all_run() -> None:
    async with opened(concurrency=3) as (queue, passes):
        keys, gate = [Key("DevOpsProject", "team-a", str(n)) for n in range(20)], asyncio.Event()
        passes.held = dict.fromkeys(keys, gate)
        for key in keys:
            queue.wake(key)
        await passes.until(lambda: len(passes.begun) == 3)
        await settle(queue)
        gate.set()
        await passes.until(lambda: len(passes.ended) == 20)
        assert passes.most == 3
        assert passes.begun == keys


@pytest.mark.parametrize("waits", [(timedelta(milliseconds=1), LONG), (LONG, timedelta(milliseconds=1))])
async def test_the_earlier_of_two_wakes_counts_in_either_order(waits: tuple[timedelta, timedelta]) -> None:
    async with opened() as (queue, passes):
        for after in waits:
            queue.wake(ONE, after)
        assert queue.planned == 1
        await passes.until(lambda: passes.ended == [ONE])


async def test_a_wake_now_makes_the_planned_one_needless() -> None:
    async with opened() as (queue, passes):
        queue.wake(ONE, LONG)
        queue.wake(ONE)
        await passes.until(lambda: passes.ended == [ONE])
        await settle(queue)
        assert queue.planned == 0


async def test_a_pass_comes_back_when_it_asked_to() -> None:
    async with opened() as (queue, passes):
        passes.gives = lambda key: timedelta(milliseconds=1) if len(passes.begun) < 3 else None
        queue.wake(ONE)
        await passes.until(lambda: len(passes.ended) == 3)


async def test_coming_back_at_once_is_no_endless_loop_in_one_turn() -> None:
    async with opened() as (queue, passes):
        passes.gives = lambda key: timedelta(0) if len(passes.begun) < 5 else None
        queue.wake(ONE)
        queue.wake(TWO)
        await passes.until(lambda: len(passes.ended) >= 6)
        assert TWO in passes.begun[:3]


async def test_an_earlier_wake_goes_before_what_a_pass_asked_for() -> None:
    async with opened() as (queue, passes):
        passes.gives = lambda key: LONG
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        await passes.until(lambda: passes.begun == [ONE])
        queue.wake(ONE, timedelta(milliseconds=1))
        passes.held.pop(ONE).set()
        await passes.until(lambda: len(passes.ended) == 2)


async def test_a_forgotten_key_is_not_planned_any_more() -> None:
    async with opened() as (queue, passes):
        queue.wake(ONE, LONG)
        queue.forget(ONE)
        assert queue.planned == 0
        passes.held[TWO] = asyncio.Event()
        queue.wake(TWO)
        await passes.until(lambda: passes.begun == [TWO])
        queue.wake(TWO)
        queue.forget(TWO)
        passes.held.pop(TWO).set()
        await passes.until(lambda: passes.ended == [TWO])
        await settle(queue)
        assert passes.begun == [TWO]


async def test_closing_lets_what_runs_finish_and_begins_nothing_more() -> None:
    async with opened(concurrency=1) as (queue, passes):
        passes.gives = lambda key: timedelta(0)
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        queue.wake(TWO)
        await passes.until(lambda: passes.begun == [ONE])
        queue.wake(ONE)
        closing = asyncio.create_task(queue.close(within=timedelta(seconds=DEADLINE)))
        await settle(queue)
        passes.held.pop(ONE).set()
        await closing
        assert (passes.begun, passes.ended) == ([ONE], [ONE])
        queue.wake(ONE)
        queue.wake(TWO, timedelta(milliseconds=1))
        assert queue.planned == 0


async def test_closing_cancels_what_takes_too_long() -> None:
    async with opened() as (queue, passes):
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        await passes.until(lambda: passes.begun == [ONE])
        await queue.close(within=timedelta(milliseconds=1))
        assert passes.ended == [ONE]
        assert queue.planned == 0


async def test_a_closed_queue_forgets_and_an_opened_one_begins_anew() -> None:
    passes = Passes()
    queue = WorkQueue(passes.run, 4)
    queue.wake(ONE)
    queue.wake(TWO, timedelta(milliseconds=1))
    assert queue.planned == 0
    queue.open()
    queue.wake(TWO)
    await passes.until(lambda: passes.ended == [TWO])
    await queue.close(within=timedelta(0))
    queue.open()
    queue.wake(ONE)
    await passes.until(lambda: passes.ended == [TWO, ONE])
    await queue.close(within=timedelta(0))


async def test_what_somebody_waits_for_goes_before_what_was_woken_earlier() -> None:
    passes = Passes()
    urgent, calm = (Urgency.DEPLOYMENT, NOBODY), (Urgency.CHANGE, NOBODY)
    queue = WorkQueue(passes.run, 1, work_of=lambda key: urgent if key == TWO else calm)
    queue.open()
    first = Key("DevOpsProject", "team-a", "first")
    passes.held[first] = asyncio.Event()
    queue.wake(first)
    await passes.until(lambda: passes.begun == [first])
    queue.wake(ONE)
    queue.wake(TWO)
    passes.held[first].set()
    await passes.until(lambda: len(passes.ended) == 3)
    assert passes.begun == [first, TWO, ONE]
    await queue.close(LONG)


async def test_two_objects_of_one_namespace_do_not_wait_for_the_two_thousand_of_another() -> None:
    async with opened(concurrency=1) as (queue, passes):
        many = [Key("JenkinsSettings", "noisy", f"broken-{number}") for number in range(2_000)]
        few = [Key("JenkinsSettings", "quiet", name) for name in ("a", "b")]
        passes.held[ONE] = asyncio.Event()
        queue.wake(ONE)
        await passes.until(lambda: passes.begun == [ONE])
        for key in (*many, *few):
            queue.wake(key)
        await settle(queue)
        passes.held.pop(ONE).set()
        await passes.until(lambda: set(few) <= set(passes.ended))
        assert passes.begun[:5] == [ONE, many[0], few[0], many[1], few[1]]


async def test_a_pass_knows_for_whom_it_is() -> None:
    seen, ended = list[Tenant](), asyncio.Event()

    async def run(key: Key) -> None:
        seen.append(current_tenant())
        ended.set()

    queue = WorkQueue(run, 1, work_of=lambda key: (Urgency.CHECK, (key.namespace, "shop")))
    queue.open()
    queue.wake(ONE)
    async with asyncio.timeout(DEADLINE):
        await ended.wait()
    await queue.close(LONG)
    assert seen == [("team-a", "shop")]


def test_a_pass_over_what_has_just_come_in_begins_before_hundreds_that_were_woken_earlier() -> None:
    begun: list[Key] = []
    all_have, many = asyncio.Event(), 500

    async def run(key: Key) -> None:
        begun.append(key)
        if len(begun) > many:
            all_have.set()

    async def woken() -> None:
        arrival, change = (Urgency.ARRIVAL, NOBODY), (Urgency.CHANGE, NOBODY)
        queue = WorkQueue(run, 1000, work_of=lambda key: arrival if key == TWO else change)
        queue.open()
        for number in range(many):
            queue.wake(Key("JenkinsSettings", "team-a", str(number)))
        queue.wake(TWO)
        async with asyncio.timeout(DEADLINE):
            await all_have.wait()
        await queue.close(LONG)

    with asyncio.Runner(loop_factory=UrgentFirstLoop) as runner:
        runner.run(woken())
    assert begun.index(TWO) < 100


def test_a_key_reads_like_an_object() -> None:
    assert str(ONE) == "DevOpsProject team-a/one"
