"""What has just come in has the right of way: while it is on its way, all else begins no request.

All runs in one thread: each step of what is on its way stands behind the steps of all that is under way, and each of
its requests behind theirs at the service. A moment's pause of the others spares it both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

LONGEST = timedelta(milliseconds=250)
"""The others pause no longer than this before each request, whatever comes in: they never stand still."""


class RightOfWay:
    """Who has it, and who gives way: each time for no longer than `longest`."""

    def __init__(self, longest: timedelta = LONGEST) -> None:
        self._longest = longest.total_seconds()
        self._on_the_way = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The others give way as long as the body runs."""
        self._on_the_way += 1
        try:
            yield
        finally:
            self._on_the_way -= 1
            if not self._on_the_way:
                for each in self._waiting:
                    if not each.done():
                        each.set_result(None)

    async def give(self) -> None:
        """Wait until nobody has it, but not too long."""
        if not self._on_the_way:
            return
        free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(free)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest):
                    await free
        finally:
            self._waiting.discard(free)
