"""Reads that several callers share: Argo CD lists all its repositories for each look at one.

Whoever writes has what was read before thrown away; where a write says little of the rest, see `rounds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from ..runtime.clock import Clock
from ..runtime.slots import step_aside

T = TypeVar("T")


@dataclass
class _Read(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0
    arrived: float | None = None


class SharedReads(Generic[T]):
    """One read per key at a time; who asks meanwhile, or within `lifetime` after its arrival, gets the same result.

    Failures are told to all who wait and are not kept. A read that nobody waits for any more is cancelled.
    Who waits for what another one reads gives its slot to others.
    """

    def __init__(self, clock: Clock, lifetime: timedelta) -> None:
        self._clock = clock
        self._lifetime = lifetime.total_seconds()
        self._reads: dict[str, _Read[T]] = {}

    async def get(self, key: str, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The shared result of `read` under `key`."""
        entry = self._reads.get(key)
        if entry is None or self._spent(entry):
            entry = _Read(asyncio.create_task(read()))
            self._reads[key] = entry
        elif not entry.task.done():
            step_aside()  # a read of somebody else: while it takes its time, others may work
        entry.waiting += 1
        try:
            result = await asyncio.shield(entry.task)
        finally:
            entry.waiting -= 1
            if entry.waiting == 0 and not entry.task.done():
                entry.task.cancel()
                self._forget(key, entry)
        if entry.arrived is None:
            entry.arrived = self._clock.monotonic()
        return result

    def drop(self, key: str) -> None:
        """Whoever asks from now on reads afresh: something was written."""
        self._reads.pop(key, None)

    @contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """What is written inside is in what is read afterwards. A read that runs beside it may show either state."""
        self.drop(key)
        try:
            yield
        finally:
            self.drop(key)

    def _spent(self, entry: _Read[T]) -> bool:
        if not entry.task.done():
            return False
        if entry.task.cancelled() or entry.task.exception() is not None or entry.arrived is None:
            return True
        return self._clock.monotonic() - entry.arrived >= self._lifetime

    def _forget(self, key: str, entry: _Read[T]) -> None:
        if self._reads.get(key) is entry:
            del self._reads[key]
