"""The circuit breaker: an ill service is left alone for a while, then asked once, and so on until it is well.

```
            failures in a row reach the threshold
  CLOSED ───────────────────────────────────────────▶ OPEN ◀──────────┐
    ▲                                                   │ first call  │ the probe failed:
    │                                                   │ after the   │ the timeout begins anew
    │            the probe was answered                 ▼ timeout     │
    └──────────────────────────────────────────────── HALF_OPEN ──────┘
```
Failures count in a row: any answer in between, a refusal like 404 or 401 too, shows that the service lives and begins
the count anew. Only ExternalServiceError counts (time-out, 5xx, no connection, an answer that makes no sense), and of
these not RateLimited: a service that says 429 is well, and its request budget slows us down.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from ..api.conditions import Reason
from ..api.errors import ExternalServiceError, ReconcilerError
from ..runtime.clock import Clock, SystemClock

T = TypeVar("T")

PROBE_SHARE = 0.1
"""What share of the timeout those wait who come while the probe is out: its outcome will be known by then."""
RETURNS_PER_SECOND = 10
"""Those who are refused come back one after the other, at this rate, but all within a timeout after the next try: the
looks of many who wait for one service must not hold up what others do."""


class State(StrEnum):
    """CLOSED lets all calls through, OPEN none, HALF_OPEN one at a time."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True)
class Change:
    """A change of state. `cause` is the message of the failure that opened it, else empty."""

    breaker: CircuitBreaker
    before: State
    after: State
    cause: str = ""


@dataclass(eq=False)
class _Call:
    """One call that was let through. `period` is the number of the state that it began in."""

    period: int
    task: asyncio.Task[object] | None
    illness: str | None = None
    at: float = 0.0
    when: datetime | None = None


class CircuitBreaker:
    """Guards the calls to one service under one credential; `host` tells those of a service with several apart.

    `failures` counts failures in a row, those of probes too. `opened_at` is when it last left CLOSED (UTC), None while
    CLOSED. Not for use by several threads.
    """

    def __init__(
        self,
        name: str,
        *,
        failure_threshold: int = 5,
        timeout: timedelta = timedelta(seconds=60),
        clock: Clock | None = None,
        on_change: Callable[[Change], None] | None = None,
        host: str = "",
    ) -> None:
        if failure_threshold < 1 or timeout <= timedelta(0):
            raise ValueError("a breaker needs a threshold of at least 1 and a timeout above zero")
        self.name = name
        self.host = host
        self.failure_threshold = failure_threshold
        self.timeout = timeout
        self._clock = clock or SystemClock()
        self._on_change = on_change
        self._state = State.CLOSED
        self._failures = 0
        self._opened_at: datetime | None = None
        self._period = 0
        self._retry_at = 0.0
        self._refused = 0
        """How often a call was refused in this period: the place in the line of who is refused next."""
        self._asked_at = self._clock.monotonic()
        self._probe: _Call | None = None
        self._answered: _Call | None = None

    @property
    def state(self) -> State:
        self._settle()
        return self._state

    @property
    def failures(self) -> int:
        self._settle()
        return self._failures

    @property
    def opened_at(self) -> datetime | None:
        self._settle()
        return self._opened_at

    @property
    def idle(self) -> timedelta:
        """For how long nobody has asked, who could have: while OPEN it begins when the timeout is over."""
        self._settle()
        since = max(self._asked_at, self._retry_at)
        return timedelta(seconds=max(0.0, self._clock.monotonic() - since))

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation` and judge the service by its outcome; what it returns or raises is passed on.

        Raises ExternalServiceError with reason BreakerOpen, without running it, while the service is left alone; its
        `after` says when to come back. A call that is cancelled, or ends with an error that is none of the product's,
        says nothing about the service.

        The verdict falls when the caller gives way to other tasks or uses the breaker again: until then it may
        `reconsider`, because only who reads an answer sees whether it is one.
        """
        call = self._admit()
        try:
            result = await operation()
        except ReconcilerError as error:
            if error.reason is Reason.BREAKER_OPEN:
                self._release(call)
            else:
                self._answer(call, error.message if is_illness(error) else None)
            raise
        except BaseException:
            self._release(call)
            raise
        self._answer(call, None)
        return result

    def reconsider(self, error: ExternalServiceError | None) -> None:
        """What the caller makes of the answer that it has just got: an illness of the service, or (None) none.

        An illness that is found later is a failure by itself. It counts only while CLOSED: OPEN has its verdict, and
        in HALF_OPEN it is the probe that decides.
        """
        answered = self._answered
        if answered is not None and answered.task is asyncio.current_task():
            answered.illness = error.message if error is not None else None
        elif error is not None and self.state is State.CLOSED:
            found = _Call(self._period, None, error.message, self._clock.monotonic(), self._clock.now())
            self._judge(found)

    def overlook(self) -> None:
        """What the caller has just got says nothing about the service: it neither counts nor ends the count."""
        answered = self._answered
        if answered is not None and answered.task is asyncio.current_task():
            self._answered = None
            self._release(answered)

    def check(self) -> None:
        """Raise what `call` would raise now. For what is done before a call and would be in vain."""
        self._asked_at = self._clock.monotonic()
        self._settle()
        waiting = self._state is State.OPEN and self._clock.monotonic() < self._retry_at
        if waiting or self._probe is not None:
            raise self._refusal()

    def _admit(self) -> _Call:
        self.check()
        if self._state is State.OPEN:
            self._become(State.HALF_OPEN)
        call = _Call(self._period, asyncio.current_task())
        if self._state is State.HALF_OPEN:
            self._probe = call
        return call

    def _refusal(self) -> ExternalServiceError:
        who = f"{self.name} at {self.host}" if self.host else self.name
        left = timedelta(seconds=self._retry_at - self._clock.monotonic())
        wait = left if self._state is State.OPEN else self.timeout * PROBE_SHARE
        # Everyone who waits saves these words, and an unchanged status costs no write: so nothing in them changes as
        # long as the illness lasts, neither a count of failures nor the time of the next try.
        since = f"{self._opened_at:%Y-%m-%d %H:%M:%S} UTC"
        return ExternalServiceError(
            f"{who} has failed since {since}; one request tries it every {self.timeout.total_seconds():g} s",
            service=self.name,
            after=wait + self._turn(),
            reason=Reason.BREAKER_OPEN,
            maybe_applied=False,
        )

    def _turn(self) -> timedelta:
        """How long after the next try who is refused now may come back."""
        turn = timedelta(seconds=(self._refused + random.random()) / RETURNS_PER_SECOND)
        self._refused += 1
        return turn % self.timeout

    def _release(self, call: _Call) -> None:
        """No verdict: the place of the probe is free for the next one."""
        if self._probe is call:
            self._probe = None

    def _answer(self, call: _Call, illness: str | None) -> None:
        self._settle()
        call.illness, call.at, call.when = illness, self._clock.monotonic(), self._clock.now()
        self._answered = call
        asyncio.get_running_loop().call_soon(self._settle, call)

    def _settle(self, only: _Call | None = None) -> None:
        answered = self._answered
        if answered is not None and only in (None, answered):
            self._answered = None
            self._judge(answered)

    def _judge(self, call: _Call) -> None:
        """A call that began before the last change of state is old news."""
        if call.period != self._period:
            return
        self._release(call)
        if call.illness is None:
            self._failures = 0
            if self._state is not State.CLOSED:
                self._opened_at = None
                self._become(State.CLOSED)
            return
        self._failures += 1
        if self._failures >= self.failure_threshold:  # as it is in HALF_OPEN: only a success begins anew
            self._retry_at = call.at + self.timeout.total_seconds()
            self._opened_at = self._opened_at or call.when
            self._become(State.OPEN, call.illness)

    def _become(self, state: State, cause: str = "") -> None:
        before, self._state = self._state, state
        self._period += 1
        self._refused = 0
        if self._on_change is not None:
            self._on_change(Change(self, before, state, cause))


def is_illness(error: ReconcilerError) -> bool:
    """Whether an error says that the service is ill, not that it was asked the wrong thing or too often."""
    return isinstance(error, ExternalServiceError) and error.reason is not Reason.RATE_LIMITED
