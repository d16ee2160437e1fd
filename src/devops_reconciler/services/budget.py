"""Request budgets: how many requests a minute a service allows us, shared by everything that calls it."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

from ..runtime.clock import Clock
from ..runtime.lines import Lines, Waiter
from ..runtime.slots import step_aside

DEFAULT_PAUSE = timedelta(seconds=30)
"""How long a 429 without Retry-After stops an endpoint: GoDaddy's quota answer may lack it (external-dns#4866)."""


class Paused(Exception):
    """The service has said 429: nothing goes out for as long as is `left`."""

    def __init__(self, left: timedelta) -> None:
        super().__init__(f"nothing goes out for another {left.total_seconds():g} s")
        self.left = left


@dataclass(eq=False)
class _Waiter(Waiter):
    """Somebody in the line."""

    turn: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Line:
    """Those who wait for one key. The guard sleeps until the next request may go out, and lets the first one go."""

    next: float = -math.inf
    paused_until: float = -math.inf
    """By a 429. Nobody waits for the end of that: it may be far, and the next 429 may come then."""
    waiting: Lines[_Waiter] = field(default_factory=Lines)
    guard: _Waiter | None = None

    def pass_on(self) -> None:
        """Whose turn it is becomes the guard."""
        self.guard = self.waiting.first()
        if self.guard is not None:
            self.guard.turn.set()


class RequestBudget:
    """A token bucket per key (for GoDaddy: per endpoint). `take` waits its turn, by `Lines`.

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

    async def take(self, key: str = "") -> None:
        """Wait until one request may go out under `key`. Raises Paused after a 429, also to who waits already."""
        line = self._lines[key]
        self._check_pause(line)
        if not line.waiting and not self._left(line):
            self._spend(line)
            return
        step_aside()
        me = _Waiter()
        line.waiting.join(me)
        if line.guard is None:
            line.pass_on()
        had_its_turn = False
        try:
            await self._turn(line, me)
            self._spend(line)
            had_its_turn = True
        finally:
            (line.waiting.serve if had_its_turn else line.waiting.leave)(me)
            if line.guard is me:
                line.pass_on()

    async def _turn(self, line: _Line, me: _Waiter) -> None:
        """Until we are the first, and a request may go out."""
        while True:
            await me.turn.wait()  # now we are the guard
            self._check_pause(line)
            left = self._left(line)
            if left:
                await self._clock.sleep(timedelta(seconds=left))
            elif line.waiting.first() is me:
                return
            else:
                me.turn.clear()
                line.pass_on()

    def slow_down(self, key: str, after: timedelta | None) -> None:
        """The service said 429: nothing more goes out under `key` until then, and one after the other at first."""
        pause = (after if after is not None else DEFAULT_PAUSE).total_seconds()
        line, now = self._lines[key], self._clock.monotonic()
        line.paused_until = max(line.paused_until, now + pause)
        line.next = max(line.next, now + max(pause, self._interval))

    def _check_pause(self, line: _Line) -> None:
        left = line.paused_until - self._clock.monotonic()
        if left > 1e-6:
            raise Paused(timedelta(seconds=left))

    def _left(self, line: _Line) -> float:
        """Seconds until a request may go out; zero where one may. Sums of fractions are not exact."""
        left = line.next - self._clock.monotonic()
        return left if left > 1e-6 else 0.0

    def _spend(self, line: _Line) -> None:
        """One request goes out: what was not used for long is not saved beyond the burst."""
        slack = self._interval * (self._burst - 1)
        line.next = max(line.next, self._clock.monotonic() - slack) + self._interval
