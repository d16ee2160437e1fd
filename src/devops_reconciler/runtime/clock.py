"""Clocks, passed in wherever time matters, so that tests own the time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self


def moment(text: str) -> datetime:
    """A point in time as objects carry it. Raises ValueError where it is none, or does not say its offset from UTC."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"'{text}' has no offset from UTC")
    return found


class Clock(Protocol):
    """What the product needs of time: an absolute UTC time, a monotonic one (seconds), and a way to wait."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, delay: timedelta) -> None: ...


@dataclass(frozen=True)
class Instant:
    """A moment by both clocks. A monotonic one stands still while a hypervisor pauses the machine, the other is set."""

    monotonic: float
    wall: datetime

    @classmethod
    def of(cls, clock: Clock) -> Self:
        return cls(clock.monotonic(), clock.now())

    def passed(self, clock: Clock) -> timedelta:
        """The time since then, by the clock that tells of more: where it counts, nobody relies on the other."""
        now = Instant.of(clock)
        return max(timedelta(seconds=now.monotonic - self.monotonic), now.wall - self.wall)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        # The usual one, by which the timers of the event loop wake, stands still while the machine is suspended.
        boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux alone has it
        return time.monotonic() if boot is None else time.clock_gettime(boot)

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(max(0.0, delay.total_seconds()))


class FakeClock:
    """A clock that stands still until `advance` moves it; sleepers wake in the order of their time."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, delay: timedelta) -> None:
        seconds = delay.total_seconds()
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        await future

    def step(self, delta: timedelta) -> None:
        """Somebody sets the clock on the wall: the monotonic one knows nothing of it."""
        self._start += delta

    @property
    def sleepers(self) -> int:
        """How many sleepers wait now."""
        return sum(1 for _, _, future in self._sleepers if not future.done())

    def advance(self, delta: timedelta) -> None:
        """Move on by `delta` and wake who is due. Without tasks to wake, it is a plain addition."""
        self._elapsed += delta.total_seconds()
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
