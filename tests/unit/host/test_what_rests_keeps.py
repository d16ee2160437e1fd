"""What is kept in memory for an object at rest: as little as can be, since there are thousands of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar
from datetime import timedelta

from tests.unit.host.test_queue import LONG, ONE, opened, settle

_handling: ContextVar[Whole | None] = ContextVar("handling", default=None)


class Whole:
    """Stands for what Kopf holds while it handles an event: the object as told, and as it was before."""


async def test_a_key_that_rests_keeps_nothing_of_who_woke_it() -> None:
    """Kopf's handlers run in a context that has the whole object, and a pass plans the next one."""
    async with opened() as (queue, passes):
        seen: list[Whole | None] = []

        async def handle(after: timedelta) -> weakref.ref[Whole]:
            _handling.set(whole := Whole())
            queue.wake(ONE, after)
            return weakref.ref(whole)

        def gives(_: object) -> timedelta:
            seen.append(_handling.get())
            return LONG

        passes.gives = gives
        told = await asyncio.create_task(handle(timedelta(0)))
        await passes.until(lambda: passes.ended == [ONE])
        await settle(queue)
        gc.collect()
        assert queue.planned == 1
        assert (told(), seen) == (None, [None])
        queue.forget(ONE)
        later = await asyncio.create_task(handle(LONG))
        await settle(queue)
        gc.collect()
        assert queue.planned == 1
        assert later() is None
