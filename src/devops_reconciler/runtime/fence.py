"""The fence: until when this replica may change anything outside, and inside of which block it may change nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .ambient import ambient
from .clock import Clock


class OnlyReading:
    """A block in which every fence is closed, and whether anything was stopped by that."""

    def __init__(self) -> None:
        self.lasts = True
        self.stopped = False


_reading: ContextVar[OnlyReading | None] = ContextVar("only_reading", default=None)


@contextmanager
def only_reading() -> Iterator[OnlyReading]:
    """For who is inside, fences are closed. A task that was begun inside and outlives the block is free again."""
    block = OnlyReading()
    try:
        with ambient(_reading, block):
            yield block
    finally:
        block.lasts = False


class Fence:
    """Open until a moment of the monotonic clock, which each renewal of the Lease moves on; closed at first.

    It closes by time alone. A replica that was stopped and goes on finds it closed before it has noticed anything else.
    Asked before each request that changes something, it leaves only the request that was under way.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = -math.inf

    @property
    def is_open(self) -> bool:
        block = _reading.get()
        if block is not None and block.lasts:
            block.stopped = True
            return False
        return self._clock.monotonic() < self._until

    def open_until(self, moment: float) -> None:
        """Open, or stay open, until this moment (of `Clock.monotonic`). Never shortens."""
        self._until = max(self._until, moment)

    def close(self) -> None:
        """At once: the Lease is another's, or is about to be given up."""
        self._until = -math.inf
