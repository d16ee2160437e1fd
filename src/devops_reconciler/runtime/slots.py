"""How many pieces of work run at a time. One that has to wait long for its turn elsewhere lets another one run."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import NamedTuple

from .urgency import FAIR_SHARE, Urgency, current_urgency

ASIDE = 16
"""So many times the number of slots may wait aside: each of them keeps an object in memory."""


class _Turn(NamedTuple):
    """Somebody who waits; the lowest number has waited longest."""

    number: int
    taken: asyncio.Future[None]


class Slots:
    """At most `count` at a time: by urgency, then in the order of arrival. A quarter is kept for deployments."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._kept = count // 4
        self._lines: dict[Urgency, deque[_Turn]] = {each: deque() for each in Urgency}
        self._numbers = itertools.count()
        self._served = 0
        self._aside = 0
        self._most_aside = count * ASIDE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the slots, for the task that we are in and those that it starts."""
        async with _Slot(self):
            yield

    async def take(self) -> None:
        """Wait for a slot."""
        turn = asyncio.get_running_loop().create_future()
        self._lines[current_urgency()].append(_Turn(next(self._numbers), turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._serve()
            else:
                self.give()
            raise

    def give(self) -> None:
        """Give one back."""
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while lines := [line for urgency, line in self._lines.items() if line and self._is_free_for(urgency)]:
            fair = self._served % FAIR_SHARE == FAIR_SHARE - 1
            turn = (min(lines, key=lambda line: line[0].number) if fair else lines[0]).popleft().taken
            if not turn.done():
                turn.set_result(None)
                self._free -= 1
                self._served += 1

    def _is_free_for(self, urgency: Urgency) -> bool:
        return self._free > (0 if urgency is Urgency.DEPLOYMENT else self._kept)

    def step_aside(self) -> bool:
        """Give one back before the work has ended; False where too many have done that."""
        if self._aside >= self._most_aside:
            return False
        self._aside += 1
        self.give()
        return True

    def end_aside(self) -> None:
        """Work that had stepped aside has ended."""
        self._aside -= 1


class _Slot:
    """The slot of one piece of work."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._held = False
        self._stepped_aside = False

    async def __aenter__(self) -> None:
        await self._slots.take()
        self._held = True
        _mine.set(self)

    async def __aexit__(self, *_: object) -> None:
        _mine.set(None)
        if self._held:
            self._held = False
            self._slots.give()
        elif self._stepped_aside:
            self._slots.end_aside()

    def step_aside(self) -> None:
        if self._held and self._slots.step_aside():
            self._held, self._stepped_aside = False, True


_mine: ContextVar[_Slot | None] = ContextVar("slot", default=None)


def step_aside() -> None:
    """Let others run while the work that we are part of waits. It goes on without a slot: it has waited enough."""
    slot = _mine.get()
    if slot is not None:
        slot.step_aside()
