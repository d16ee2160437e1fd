"""The fence: until when this replica may change anything outside, and inside of which block it may change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from .ambient import ambient
from .clock import Clock, Instant


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


def is_only_reading() -> bool:
    """Whether this is done inside of such a block, for what is read less often there."""
    return _block() is not None


def _block() -> OnlyReading | None:
    """The one that we are in, and that lasts."""
    block = _reading.get()
    return block if block is not None and block.lasts else None


class Fence:
    """Open for a time, which begins anew with each renewal of the Lease; closed at first.

    It closes by time alone, when either clock says so. A replica that was stopped and goes on, or its machine, finds it
    closed before it has noticed anything else. Asked before each request that changes something, it leaves only the
    request that was under way.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: Instant | None = None
        self._lasts = timedelta(0)
        self.opened: Instant | None = None
        """Since when it has been open without a break; where it is closed, the last time it was. What other replicas
        have sent, they had sent before."""

    @property
    def is_open(self) -> bool:
        block = _block()
        if block is not None:
            block.stopped = True
            return False
        return self._in_time

    @property
    def _in_time(self) -> bool:
        return self._since is not None and self._since.passed(self._clock) < self._lasts

    def open_for(self, lasts: timedelta, since: Instant) -> None:
        """Open, or stay open, for so long after `since`. Never shortens."""
        was_open = self._in_time
        if self._since is None or _end(since, lasts) >= _end(self._since, self._lasts):
            self._since, self._lasts = since, lasts
        if not was_open and self._in_time:
            self.opened = Instant.of(self._clock)

    def close(self) -> None:
        """At once: the Lease is another's, or is about to be given up."""
        self._since = None


def _end(since: Instant, lasts: timedelta) -> float:
    return since.monotonic + lasts.total_seconds()
