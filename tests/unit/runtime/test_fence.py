"""The fence is open until a moment, and closes by time alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.fence import Fence, only_reading


def test_it_is_closed_at_first_and_from_its_moment_on() -> None:
    clock = FakeClock()
    fence = Fence(clock)
    assert not fence.is_open
    fence.open_until(10)
    assert fence.is_open
    clock.advance(timedelta(seconds=9.9))
    assert fence.is_open
    clock.advance(timedelta(seconds=0.1))
    assert not fence.is_open


def test_an_answer_that_comes_late_does_not_shorten_it() -> None:
    fence = Fence(FakeClock())
    fence.open_until(10)
    fence.open_until(5)
    assert fence.is_open
    fence.close()
    assert not fence.is_open
    fence.open_until(5)
    assert fence.is_open


async def test_it_is_closed_for_who_is_in_a_block_that_only_reads() -> None:
    fence = Fence(FakeClock())
    fence.open_until(10)
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
