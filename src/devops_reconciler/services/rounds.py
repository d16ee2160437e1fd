"""Reads in rounds: whoever asks while one is on its way waits for the next one, which serves all who wait by then.

Unlike `SharedReads`, nobody gets what was read for an earlier moment than is right for him: what he did before he asked
is in the answer, however long the read before it hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from ..api.errors import ExternalServiceError, Refused
from ..runtime.clock import Clock
from ..runtime.slots import step_aside

T = TypeVar("T")
FRESH = timedelta(0)


@dataclass(eq=False)
class _Round(Generic[T]):
    before: _Round[T] | None
    """The one to wait for; None once this one has begun."""
    task: asyncio.Task[T] = field(init=False)
    begun: float | None = None
    waiting: int = 0


class Rounds(Generic[T]):
    """One read per key at a time, and one more that begins when it has ended.

    Failures are told to all who wait and are not kept. A read that nobody waits for any more is cancelled.
    Who waits for what another one reads gives its slot to others: a service that hangs holds up one pass, not all.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, _Round[T]] = {}

    async def get(self, key: str, read: Callable[[], Coroutine[Any, Any, T]], max_age: timedelta = FRESH) -> T:
        """The result of a `read` that began after this call, or at most `max_age` before it."""
        last = self._last.get(key)
        if last is not None and not last.task.done():
            step_aside()  # a read of somebody else comes first: while it takes its time, others may work
        if last is None or not self._serves(last, max_age):
            last = _Round(last)
            last.task = asyncio.create_task(self._run(last, read))
            self._last[key] = last
        last.waiting += 1
        try:
            return await asyncio.shield(last.task)
        finally:
            last.waiting -= 1
            if last.waiting == 0 and not last.task.done():
                last.task.cancel()
                self._forget(key, last)

    async def _run(self, this: _Round[T], read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if this.before is not None and not this.before.task.done():
            await asyncio.wait([this.before.task])  # how it ended concerns only those who wait for it
        this.before, this.begun = None, self._clock.monotonic()
        return await read()

    def _serves(self, last: _Round[T], max_age: timedelta) -> bool:
        if last.begun is None:
            return True
        if last.task.done() and (last.task.cancelled() or last.task.exception() is not None):
            return False
        return self._clock.monotonic() - last.begun < max_age.total_seconds()

    def _forget(self, key: str, this: _Round[T]) -> None:
        """What comes next must still wait for the one that is on its way."""
        if self._last.get(key) is not this:
            return
        if this.before is not None:
            self._last[key] = this.before
        else:
            del self._last[key]


@dataclass
class InTurn(Generic[T]):
    """As `Rounds`, of one thing, whose last result is kept: one of those who ask reads, and needs no task for it.

    A failure is told to those who wait by then where it is the service's, or its refusal. Any other concerns only who
    has met it, such as a look at what rests, which may not read all: the next one reads for itself.
    """

    clock: Clock
    last: T | None = None
    """What was read last without failing; None where nothing was."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _begun: int = 0
    """How many reads have begun."""
    _told: int = 0
    """Which one has told something last: `last`, or an error."""
    _error: ExternalServiceError | Refused | None = None
    _at: float = 0
    """When the one that gave `last` began (monotonic)."""

    async def get(self, read: Callable[[], Awaitable[T]], max_age: timedelta = FRESH) -> T:
        """The result of a `read` that began after this call, or less than `max_age` ago."""
        asked = self._begun
        if self._turn.locked():
            step_aside()  # a read of somebody else comes first: while it takes its time, others may work
        async with self._turn:
            if not self._serves(asked, max_age):
                await self._read(read)
            if self._error is not None:
                raise self._error
            assert self.last is not None
            return self.last

    def _serves(self, asked: int, max_age: timedelta) -> bool:
        """Whether the last read began after that many had begun, or has given something not longer ago than that."""
        good = self.last is not None and self._error is None
        return self._told > asked or (good and self.clock.monotonic() - self._at < max_age.total_seconds())

    async def _read(self, read: Callable[[], Awaitable[T]]) -> None:
        self._begun, at = self._begun + 1, self.clock.monotonic()
        try:
            found = await read()
        except (ExternalServiceError, Refused) as error:
            self._error = error
        else:
            self.last, self._error, self._at = found, None, at
        self._told = self._begun
