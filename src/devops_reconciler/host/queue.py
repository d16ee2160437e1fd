"""One loop per object, without a task per object: keys that are woken, run one at a time each, and sleep in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import timedelta
from typing import NamedTuple

from ..runtime.slots import Slots
from ..runtime.urgency import Tenant, Urgency, context_of


class Key(NamedTuple):
    """An object: kind, namespace, name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


WorkOf = Callable[[Key], tuple[Urgency, Tenant]]
"""How urgent a pass over an object is, and for whom it is."""


def _change(key: Key) -> tuple[Urgency, Tenant]:
    return Urgency.CHANGE, (key.namespace, key.name)


Run = Callable[[Key], Awaitable[timedelta | None]]
"""One pass over an object. Gives when to come back, or None for never. Must not raise."""


class WorkQueue:
    """Wakes keys now or later. The same key never runs twice at once; a wake during its pass makes it run again.

    At most `concurrency` passes run at a time; those that wait go by urgency, then namespaces and their projects have
    turns. A pass that waits for the budget of a service does not count: one busy service holds up nobody else's work.
    It begins closed; what is woken while it is closed is given to who opens it.
    """

    def __init__(self, run: Run, concurrency: int, *, work_of: WorkOf = _change) -> None:
        """`work_of` is asked when a pass is due; it holds for the pass here and at the budgets of the services."""
        self._run = run
        self._work_of = work_of
        self._slots = Slots(concurrency)
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._nobodys = Context()
        """For timers: they would keep the context of who woke the key, and Kopf's holds the whole object, twice."""
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._waiting: dict[Key, float] = {}
        """Since when keys wait for their pass to begin (monotonic seconds), the oldest first."""
        self._again: set[Key] = set()
        self._closed = True
        self._missed: set[Key] = set()

    def wake(self, key: Key, after: timedelta = timedelta(0)) -> None:
        """Run `key` after this time, or at its earlier time if it has one."""
        if self._closed:
            self._missed.add(key)
            return
        if after <= timedelta(0):
            self._start(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + after.total_seconds()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= when:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._start, key, context=self._nobodys)

    def _start(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if self._closed:
            return
        if key in self._running:
            self._again.add(key)
            return
        self._waiting[key] = time.monotonic()
        loop = asyncio.get_running_loop()
        context = context_of(*self._work_of(key))
        self._running[key] = loop.create_task(self._pass(key), name=f"pass {key}", context=context)

    async def _pass(self, key: Key) -> None:
        after: timedelta | None = None
        try:
            after = await self._in_its_turn(key)
        finally:
            self._waiting.pop(key, None)
            self._running.pop(key, None)
            if key in self._again:
                self._again.discard(key)
                self.wake(key)
            elif after is not None:
                self.wake(key, max(after, timedelta(microseconds=1)))

    async def _in_its_turn(self, key: Key) -> timedelta | None:
        async with self._slots.slot():
            self._waiting.pop(key, None)
            self._again.discard(key)
            return None if self._closed else await self._run(key)

    def forget(self, key: Key) -> None:
        """The object is gone: no more passes are planned."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._again.discard(key)
        self._missed.discard(key)

    @property
    def is_open(self) -> bool:
        """Whether passes may begin."""
        return not self._closed

    @property
    def planned(self) -> int:
        """Keys that run, or will."""
        return len(self._timers) + len(self._running)

    def oldest(self) -> float:
        """For how many seconds the key has waited that waits longest for its pass to begin; 0 where none waits."""
        return time.monotonic() - next(iter(self._waiting.values())) if self._waiting else 0.0

    def open(self) -> set[Key]:
        """Let passes begin. Gives what was woken meanwhile, which is not planned: it may be everything."""
        self._closed = False
        missed, self._missed = self._missed, set()
        return missed

    async def close(self, within: timedelta) -> None:
        """Start nothing more; let what runs finish within this time, then cancel it."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=within.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._running.clear()
        self._again.clear()
