"""The fence is open for a time after each renewal, and closes by time alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from devops_reconciler.runtime.clock import FakeClock, Instant
from devops_reconciler.runtime.fence import Fence, only_reading

HOUR = timedelta(hours=1)
S = timedelta(seconds=1)
LASTS = 10 * S


def test_it_is_closed_at_first_and_when_its_time_is_over() -> None:
    clock = FakeClock()
    fence = Fence(clock)
    assert not fence.is_open
    fence.open_for(LASTS, Instant.of(clock))
    assert fence.is_open
    clock.advance(9.9 * S)
    assert fence.is_open
    clock.advance(0.1 * S)
    assert not fence.is_open


def test_an_answer_that_comes_late_does_not_shorten_it() -> None:
    clock = FakeClock()
    fence, sent = Fence(clock), Instant.of(clock)
    fence.open_for(LASTS, sent)
    fence.open_for(LASTS / 2, sent)
    clock.advance(LASTS / 2)
    assert fence.is_open
    fence.close()
    assert not fence.is_open
    fence.open_for(LASTS, sent)
    assert fence.is_open


def test_it_is_closed_after_a_pause_that_only_the_clock_on_the_wall_has_seen() -> None:
    clock = FakeClock()
    fence, sent = Fence(clock), Instant.of(clock)
    fence.open_for(LASTS, sent)
    clock.advance(S)
    before = Instant.of(clock)
    clock.step(HOUR)
    assert not fence.is_open, "the machine stood still, and its monotonic clock with it"
    fence.open_for(LASTS, before)
    assert not fence.is_open, "the answer to a renewal that was sent before the pause"
    fence.open_for(LASTS, Instant.of(clock))
    assert fence.is_open, "it was renewed since"


def test_a_clock_that_is_set_back_keeps_it_open_no_longer() -> None:
    clock = FakeClock()
    fence = Fence(clock)
    fence.open_for(LASTS, Instant.of(clock))
    clock.step(-HOUR)
    assert fence.is_open
    clock.advance(LASTS)
    assert not fence.is_open


def test_it_knows_since_when_it_has_been_open_without_a_break() -> None:
    clock = FakeClock()
    fence = Fence(clock)
    assert fence.opened is None
    clock.advance(5 * S)
    fence.open_for(LASTS, Instant.of(clock))
    begun = Instant.of(clock)
    clock.advance(5 * S)
    fence.open_for(LASTS, Instant.of(clock))
    assert fence.opened == begun, "it was only renewed"
    fence.close()
    clock.advance(S)
    with only_reading():
        fence.open_for(LASTS, Instant.of(clock))
    assert fence.opened == Instant.of(clock)
    clock.advance(LASTS)
    fence.open_for(LASTS, Instant.of(clock))
    assert fence.opened == Instant.of(clock), "another may have acted, for all it knows"


async def test_it_is_closed_for_who_is_in_a_block_that_only_reads() -> None:
    clock = FakeClock()
    fence = Fence(clock)
    fence.open_for(LASTS, Instant.of(clock))
    goes_on, told = asyncio.Event(), list[bool]()

    async def outlives() -> None:
        told.append(fence.is_open)
        await goes_on.wait()
        told.append(fence.is_open)

    with only_reading() as block:
        assert not block.stopped
        task = asyncio.create_task(outlives())
        await asyncio.sleep(0)
        assert block.stopped
    assert fence.is_open
    goes_on.set()
    await task
    assert told == [False, True]
