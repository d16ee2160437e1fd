"""What only the holder of the Lease does: the passes over all objects, the TTL monitor, the heartbeat sender."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ..api.errors import ReconcilerError
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.manager import ReconcilerManager
from ..runtime.waiting import first_of
from .lease import Lease, Term
from .loop import Loop

RETRY = timedelta(seconds=1)
"""Wait after a failed listing of what is there."""
ROUND = timedelta(minutes=1)
"""Between two looks at which watched namespaces let us in."""
TASKS_WITHIN = timedelta(seconds=5)

_log = get_logger(__name__)


class Duties:
    """The supervised task `duties`: does them for each term of the Lease, from its beginning to its end."""

    def __init__(self, lease: Lease, loop: Loop, manager: ReconcilerManager, clock: Clock, patience: timedelta) -> None:
        """`patience` is how long passes in flight may take to end."""
        self._lease = lease
        self._loop = loop
        self._manager = manager
        self._clock = clock
        self._patience = patience
        self._tasks: tuple[str, ...] = ()

    def include(self, *tasks: str) -> None:
        """Tasks of the manager that run only in a term."""
        self._tasks = (*self._tasks, *tasks)

    async def run(self) -> None:
        """Until cancelled. A term that is under way ends in order then."""
        while True:
            term = await self._lease.next_term()
            try:
                await self._begin(term)
                await self._go_round(term)
            finally:
                await self._end()
                term.end()

    async def _begin(self, term: Term) -> None:
        if self._tasks:
            await self._manager.start(*self._tasks)
        while not term.over.is_set():
            try:
                await self._loop.take_over()
                return
            except ReconcilerError as error:
                _log.warning("what is there could not be listed; tried again", error=error.message)
            await first_of(self._clock.sleep(RETRY), term.over.wait())

    async def _go_round(self, term: Term) -> None:
        """Until the term is over; a round that is under way then is given up."""
        rounds = asyncio.create_task(self._rounds())
        await first_of(rounds, term.over.wait())
        if not rounds.cancelled():
            rounds.result()

    async def _rounds(self) -> None:
        while True:
            try:
                await self._loop.look_round()
            except ReconcilerError as error:
                _log.warning("the watched namespaces could not be looked at; tried again", error=error.message)
            await self._clock.sleep(ROUND)

    async def _end(self) -> None:
        await self._loop.stand_down(self._patience)
        if self._tasks:
            await self._manager.stop(*self._tasks, within=TASKS_WITHIN)
