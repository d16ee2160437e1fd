"""The one way to the outside of the in-memory world: counts every call and save, and hurts the ones it is told to.

Nothing here needs an event loop. `pause` yields to whoever drives the coroutine: `run` goes straight on, and the tests
of races step several coroutines in turn.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock

T = TypeVar("T")

LATENCY = timedelta(milliseconds=50)
REQUEST_TIMEOUT = timedelta(seconds=10)


class Crash(BaseException):
    """The process dies here. No error of the engine's: nothing may catch it."""


class Fault(Enum):
    """What happens to one call or save."""

    CRASH_BEFORE = "the process dies before the effect"
    CRASH_AFTER = "the process dies after the effect, before the reply"
    TIMEOUT_BEFORE = "no effect, no reply"
    TIMEOUT_AFTER = "the effect, but no reply"
    ERROR_500 = "no effect, 500"
    ERROR_500_AFTER = "the effect, and 500"
    CONFLICT_409 = "no effect, 409"
    THROTTLED_429 = "no effect, surely: 429"
    BUG = "no effect, an error of our own"


CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
ERRORS = tuple(fault for fault in Fault if fault not in CRASHES)
AFTER = (Fault.CRASH_AFTER, Fault.TIMEOUT_AFTER, Fault.ERROR_500_AFTER)
TIMEOUTS = (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER)


@dataclass(frozen=True)
class Op:
    """One call or save, as the line saw it."""

    number: int
    name: str
    writes: bool
    at: float = 0
    """Seconds on the monotonic clock when it was sent."""


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Another process may run here."""
    yield


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end without an event loop and without a break."""
    while True:
        try:
            work.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result


@dataclass
class Line:
    """All calls and saves of one world, numbered from 0."""

    clock: FakeClock
    faults: dict[int, Fault] = field(default_factory=dict)
    named: dict[tuple[str, int], Fault] = field(default_factory=dict)
    """Faults by the name of the call and how many of that name came before."""
    down: Callable[[str, bool], bool] = lambda name, writes: False
    """Calls (by name and whether they write) that are answered with 500 as long as it says so."""
    takes: Callable[[str], timedelta] = lambda name: LATENCY
    """How long a call of this name takes from its effect to its reply."""
    hooks: dict[int, Callable[[], None]] = field(default_factory=dict)
    """What other people do just before the op of this number."""
    ops: list[Op] = field(default_factory=list)

    async def call(self, name: str, act: Callable[[], T], *, writes: bool = False) -> T:
        """One round trip: `act` is the effect at the service."""
        number = len(self.ops)
        earlier = sum(1 for op in self.ops if op.name == name) if self.named else 0
        self.ops.append(Op(number, name, writes, self.clock.monotonic()))
        if number in self.hooks:
            self.hooks.pop(number)()
        await pause()
        fault = self.faults.get(number, self.named.get((name, earlier)))
        if fault is None and self.down(name, writes):
            fault = Fault.ERROR_500
        if fault is not None and fault not in AFTER:
            self._hurt(fault, name)
        result = act()
        self.clock.advance(self.takes(name))
        await pause()
        if fault is not None:
            self._hurt(fault, name)
        return result

    def _hurt(self, fault: Fault, name: str) -> None:
        if fault in TIMEOUTS:
            self.clock.advance(REQUEST_TIMEOUT)
        match fault:
            case Fault.CRASH_BEFORE | Fault.CRASH_AFTER:
                raise Crash(f"{fault.value}: {name}")
            case Fault.CONFLICT_409:
                raise ConflictError(f"{name}: 409")
            case Fault.THROTTLED_429:
                raise ExternalServiceError(
                    f"{name}: 429", service=name, after=timedelta(seconds=7), maybe_applied=False
                )
            case Fault.BUG:
                raise RuntimeError(f"{name}: a bug")
            case _:
                raise ExternalServiceError(f"{name}: {fault.value}", service=name)
