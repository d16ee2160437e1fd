"""What must answer before the operator can begin: the API server. That it is down, or slow, is normal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from ..api.errors import ExternalServiceError
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.waiting import first_of

T = TypeVar("T")
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=15)

_log = get_logger(__name__)


class StoppedEarly(Exception):  # no error: somebody wants us to end before we began
    """The signal to end came while the start still waited."""


class Start:
    """Tries again what fails with ExternalServiceError, and is the health check `start` meanwhile."""

    def __init__(self, clock: Clock, stop: asyncio.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._waits_for: str | None = "the operator has only just begun"

    async def check(self) -> str:
        """Raises RuntimeError, naming what is waited for, until `done`."""
        if self._waits_for is not None:
            raise RuntimeError(self._waits_for)
        return "done"

    def done(self) -> None:
        """All that was needed has answered."""
        self._waits_for = None

    async def reach(self, operation: Callable[[], Awaitable[T]]) -> T:
        """What the operation returns as soon as the service answers; pauses grow from 1 s to 15 s.

        Raises StoppedEarly, and what else the operation raises: a login that is refused stops the start.
        """
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                return await operation()
            except ExternalServiceError as error:
                self._waits_for = f"waits for a service that it cannot start without: {error.message}"
                _log.warning("the start waits", error=error.message, next_try_in=pause.total_seconds())
            await first_of(self._clock.sleep(pause), self._stop.wait())
            pause = min(pause * 2, LONGEST_PAUSE)
        raise StoppedEarly
