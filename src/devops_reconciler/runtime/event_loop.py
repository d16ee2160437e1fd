"""The event loop of the operator: what is most urgent goes first, and many who are ready at once hold up no answer.

asyncio's own loop runs all that is ready before it looks at its sockets again. In a storm of new objects that is tens
of milliseconds each time, and a message that is on its way waits for it at each of its steps.
"""

from __future__ import annotations

import asyncio
from collections import deque

from .urgency import Urgency, urgency_in

LONGEST = 0.002
"""Seconds for which the others may run until sockets are looked at again; a single step may take longer."""
FEWEST, MOST = 1, 64
"""So many of the others run at least, and at most, between two looks."""


class UrgentFirstLoop(asyncio.SelectorEventLoop):
    """Steps of what has just come in (`Urgency.ARRIVAL`) run before all others, of which a few run at a time.

    The others keep their order, and some of them run in each turn, however much is urgent. It stands on three private
    names of asyncio: of the loop `_ready`, the steps that are due, and `_run_once`, which looks at sockets and timers
    and then runs them; of a step its `_context`.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self._later: deque[asyncio.Handle] = deque()
        self._at_a_time = FEWEST

    def _run_once(self) -> None:
        if not self._later and len(self._ready) < 2:
            self._turn()  # it may wait for a socket
            return
        self._choose()
        began = self.time()
        self._turn()
        if self.time() - began > LONGEST:
            self._at_a_time = max(FEWEST, self._at_a_time // 2)
        elif self._later:
            self._at_a_time = min(MOST, self._at_a_time + 1)

    def _turn(self) -> None:
        super()._run_once()  # type: ignore[misc]

    def _choose(self) -> None:
        """Leave in `_ready` what is to run in this turn. Another thread may add to it meanwhile, at its end."""
        for _ in range(len(self._ready)):
            step = self._ready.popleft()
            (self._ready if _is_urgent(step) else self._later).append(step)
        for _ in range(min(self._at_a_time, len(self._later))):
            self._ready.append(self._later.popleft())


def _is_urgent(step: asyncio.Handle) -> bool:
    # Handle.get_context() is there from Python 3.12 on.
    return urgency_in(step._context) is Urgency.ARRIVAL  # type: ignore[attr-defined]
