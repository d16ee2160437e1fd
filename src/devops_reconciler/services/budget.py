"""Request budgets: how many requests a minute a service allows us, shared by everything that calls it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

from ..runtime.clock import Clock
from ..runtime.slots import step_aside
from ..runtime.urgency import FAIR_SHARE, Urgency, current_urgency

DEFAULT_PAUSE = timedelta(seconds=30)
"""How long a 429 without Retry-After stops an endpoint: GoDaddy's quota answer may lack it (external-dns#4866)."""


@dataclass(order=True)
class _Waiter:
    """Somebody in the line. What is more urgent goes first, then who came first."""

    urgency: Urgency
    number: int
    turn: asyncio.Event = field(compare=False, default_factory=asyncio.Event)


@dataclass
class _Line:
    """Those who wait for one key. The guard sleeps until the next request may go out, and lets the first one go."""

    next: float = -math.inf
    waiting: list[_Waiter] = field(default_factory=list)
    guard: _Waiter | None = None
    served: int = 0

    def first(self) -> _Waiter:
        """Whose turn it is."""
        if self.served % FAIR_SHARE == FAIR_SHARE - 1:
            return min(self.waiting, key=lambda waiter: waiter.number)
        return self.waiting[0]

    def leave(self, waiter: _Waiter) -> None:
        """It goes, or has given up; if it was the guard, the first of the others becomes it."""
        self.waiting.remove(waiter)
        heapq.heapify(self.waiting)
        if self.guard is waiter:
            self.pass_on()

    def pass_on(self) -> None:
        """The first in the line becomes the guard."""
        self.guard = self.first() if self.waiting else None
        if self.guard is not None:
            self.guard.turn.set()


class RequestBudget:
    """A token bucket per key (for GoDaddy: per endpoint). `take` waits its turn: by urgency, then by arrival.

    The bucket holds `burst` requests and refills evenly, so that in any window of a minute at most `per_minute` go out:
    burst and refill together never exceed it.
    """

    def __init__(self, clock: Clock, per_minute: int, *, burst: int | None = None) -> None:
        if per_minute < 1:
            raise ValueError("a request budget is at least 1 per minute")
        self._clock = clock
        self._burst = burst if burst is not None else max(1, per_minute // 4)
        if not 1 <= self._burst <= per_minute:
            raise ValueError("the burst of a request budget is between 1 and its requests per minute")
        self._interval = 60.0 / max(1, per_minute - self._burst)
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)
        self._numbers = itertools.count()

    async def take(self, key: str = "") -> None:
        """Wait until one request may go out under `key`."""
        line = self._lines[key]
        if not line.waiting and not self._left(line):
            self._spend(line)
            return
        step_aside()
        me = _Waiter(current_urgency(), next(self._numbers))
        heapq.heappush(line.waiting, me)
        if line.guard is None:
            line.pass_on()
        try:
            await self._turn(line, me)
            self._spend(line)
            line.served += 1
        finally:
            line.leave(me)

    async def _turn(self, line: _Line, me: _Waiter) -> None:
        """Until we are the first, and a request may go out."""
        while True:
            await me.turn.wait()  # now we are the guard
            left = self._left(line)
            if left:
                await self._clock.sleep(timedelta(seconds=left))
            elif line.first() is me:
                return
            else:
                me.turn.clear()
                line.pass_on()

    def slow_down(self, key: str, after: timedelta | None) -> None:
        """The service said 429: nothing more goes out under `key` until then, nor what waits its turn already."""
        pause = (after if after is not None else DEFAULT_PAUSE).total_seconds()
        line = self._lines[key]
        line.next = max(line.next, self._clock.monotonic() + max(pause, self._interval))

    def _left(self, line: _Line) -> float:
        """Seconds until a request may go out; zero where one may. Sums of fractions are not exact."""
        left = line.next - self._clock.monotonic()
        return left if left > 1e-6 else 0.0

    def _spend(self, line: _Line) -> None:
        """One request goes out: what was not used for long is not saved beyond the burst."""
        slack = self._interval * (self._burst - 1)
        line.next = max(line.next, self._clock.monotonic() - slack) + self._interval
