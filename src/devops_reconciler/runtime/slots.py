"""How many pieces of work run at a time. One that has to wait long for its turn elsewhere lets another one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from .lines import Lines, Waiter
from .urgency import Urgency, current_urgency

ASIDE = 16
"""So many times the number of slots may wait aside: each of them keeps an object in memory."""


@dataclass(eq=False)
class _Turn(Waiter):
    """Somebody who waits for a slot."""

    taken: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slots:
    """At most `count` at a time, in the order of `Lines`.

    A quarter is kept for deployments, and half of that for what has just come in.
    """

    def __init__(self, count: int, *, aside: bool = True, arrivals: int = 0) -> None:
        """`aside`: who has to wait for a `place` here gives its slot elsewhere to others.

        `arrivals`: so many at least are kept for what has just come in, as long as one is left for others.
        """
        kept = min(max(arrivals, count // 8), count - 1)
        self._waits_aside = aside
        self._free = count
        self._kept = {Urgency.ARRIVAL: 0, Urgency.DEPLOYMENT: kept}
        self._kept_of_others = max(kept, count // 4)
        self._lines: Lines[_Turn] = Lines()
        self._aside = 0
        self._most_aside = count * ASIDE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the slots, for the task that we are in and those that it starts."""
        async with _Slot(self):
            yield

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the slots for a part of some work, which may have a slot elsewhere as a whole."""
        if self._waits_aside and (self._lines or not self._is_free_for(current_urgency())):
            step_aside()
        await self.take()
        try:
            yield
        finally:
            self.give()

    async def take(self) -> None:
        """Wait for a slot."""
        if not self._lines and self._is_free_for(current_urgency()):
            self._lines.pass_by()
            self._free -= 1
            return
        turn = _Turn()
        self._lines.join(turn)
        self._serve()
        try:
            await turn.taken
        except asyncio.CancelledError:
            if turn.taken.cancelled():
                self._lines.leave(turn)
                self._serve()
            else:
                self.give()
            raise

    def give(self) -> None:
        """Give one back."""
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while (turn := self._lines.first(self._is_free_for)) is not None:
            if turn.taken.done():
                return  # it gives up, and serves others when it leaves the line
            self._lines.serve(turn)
            turn.taken.set_result(None)
            self._free -= 1

    def _is_free_for(self, urgency: Urgency) -> bool:
        return self._free > self._kept.get(urgency, self._kept_of_others)

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
