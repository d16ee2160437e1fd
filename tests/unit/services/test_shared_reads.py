"""Reads that are shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta

import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.slots import Slots
from devops_reconciler.services.shared_reads import SharedReads


class Source:
    """Something that is read: each read waits for its turn and gives its number."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    def read(self) -> Coroutine[None, None, int]:
        return self._read()

    async def _read(self) -> int:
        self.started += 1
        number = self.started
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _ask(shared: SharedReads[int], source: Source, key: str = "zone") -> asyncio.Task[int]:
    read: Callable[[], Coroutine[None, None, int]] = source.read
    return asyncio.create_task(shared.get(key, read))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shared(clock: FakeClock) -> SharedReads[int]:
    return SharedReads(clock, timedelta(seconds=2))


async def test_one_who_gives_up_does_not_disturb_the_others(shared: SharedReads[int]) -> None:
    source = Source()
    first, second = _ask(shared, source), _ask(shared, source)
    await _settle()
    first.cancel()
    await _settle()
    source.go.set()
    assert await second == 1
    assert first.cancelled()
    assert (source.started, source.cancelled) == (1, 0)


async def test_a_read_that_nobody_waits_for_is_cancelled(shared: SharedReads[int]) -> None:
    source = Source()
    first, second = _ask(shared, source), _ask(shared, source)
    await _settle()
    first.cancel()
    second.cancel()
    await _settle()
    assert source.cancelled == 1
    source.go.set()
    assert await _ask(shared, source) == 2


async def test_a_failure_reaches_all_who_wait_and_is_not_kept(shared: SharedReads[int]) -> None:
    source = Source()
    source.error = ValueError("broken")
    source.go.set()
    results = await asyncio.gather(_ask(shared, source), _ask(shared, source), return_exceptions=True)
    assert [str(each) for each in results] == ["broken", "broken"]
    source.error = None
    assert await _ask(shared, source) == 2


async def test_who_asks_after_a_drop_does_not_get_what_was_read_before(shared: SharedReads[int]) -> None:
    source = Source()
    before = _ask(shared, source)
    await _settle()
    shared.drop("zone")
    after = _ask(shared, source)
    await _settle()
    source.go.set()
    assert (await before, await after) == (1, 2)
    assert await _ask(shared, source) == 2


async def test_the_lifetime_begins_with_the_arrival(shared: SharedReads[int], clock: FakeClock) -> None:
    source = Source()
    first = _ask(shared, source)
    await _settle()
    clock.advance(timedelta(seconds=60))
    source.go.set()
    assert await first == 1
    clock.advance(timedelta(seconds=1.9))
    assert await _ask(shared, source) == 1
    clock.advance(timedelta(seconds=0.2))
    assert await _ask(shared, source) == 2


async def test_keys_are_apart(shared: SharedReads[int]) -> None:
    source = Source()
    source.go.set()
    assert await _ask(shared, source, "one") == 1
    assert await _ask(shared, source, "two") == 2


async def test_who_waits_for_the_read_of_another_one_holds_up_nobody(shared: SharedReads[int]) -> None:
    source, slots = Source(), Slots(2)

    async def work() -> int:
        async with slots.slot():
            return await shared.get("zone", source.read)

    async def other() -> None:
        async with slots.slot():
            return

    waiting = []
    for _ in range(3):
        waiting.append(asyncio.create_task(work()))
        await _settle()
    await asyncio.wait_for(other(), 1)
    source.go.set()
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    async with slots.slot(), slots.slot():
        pass


async def test_who_gets_what_has_arrived_keeps_his_slot(shared: SharedReads[int]) -> None:
    source, slots = Source(), Slots(1)
    source.go.set()
    assert await shared.get("zone", source.read) == 1
    async with slots.slot():
        assert await shared.get("zone", source.read) == 1
        next_one = asyncio.create_task(slots.take())
        await _settle()
        assert not next_one.done()
    await next_one
