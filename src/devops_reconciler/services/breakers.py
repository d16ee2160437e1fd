"""All breakers of the process: made in one place, told to metrics and log, shown by service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from ..runtime.clock import Clock, SystemClock
from ..runtime.logs import get_logger
from .breaker import Change, CircuitBreaker, State

SERVICES = ("jenkins", "argocd", "dockerhub", "registry", "godaddy", "git")
"""One breaker per service and credential. Each service has one credential; Git has many: there it is one per host."""

KEPT = 256
"""How many hosts of a service are remembered; where there are more, only those that somebody asks."""

_SEVERITY = (State.CLOSED, State.HALF_OPEN, State.OPEN)
_log = get_logger(__name__)


class Breakers:
    """The breakers by service and host. `show` is given, for each service, what tells its state: that of its worst
    breaker.

    One that nobody has asked for `forget_after` (since its timeout was over) counts no longer, until it is asked again:
    only a call closes a breaker, and no project may want that host any more. To those who ask it stays as it is.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        failure_threshold: int = 5,
        timeout: timedelta = timedelta(seconds=60),
        forget_after: timedelta = timedelta(minutes=15),
        show: Callable[[str, Callable[[], str]], None] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._failure_threshold = failure_threshold
        self._timeout = timeout
        self._forget_after = forget_after
        self._all: dict[str, dict[str, CircuitBreaker]] = {service: {} for service in SERVICES}
        self._concealed: set[str] = set()
        if show is not None:
            for service in SERVICES:
                show(service, partial(self._shown, service))

    def of(self, service: str, host: str = "") -> CircuitBreaker:
        """The breaker of a service (at a host), the same one as long as it is asked.

        Raises KeyError for a service without.
        """
        breakers = self._all[service]
        if host not in breakers:
            if len(breakers) >= KEPT:
                for idle in [name for name, each in breakers.items() if not self._counts(each)]:
                    del breakers[idle]
            breakers[host] = CircuitBreaker(
                service,
                failure_threshold=self._failure_threshold,
                timeout=self._timeout,
                clock=self._clock,
                on_change=self._changed,
                host=host,
            )
        return breakers[host]

    def report(self) -> dict[str, dict[str, Any]]:
        """By service: `state`, `failures` and `opened_at` (ISO 8601, or None) of its worst breaker."""
        return {service: _entry(self._worst(service)) for service in self._all}

    def _worst(self, service: str) -> CircuitBreaker | None:
        found = filter(self._counts, self._all[service].values())
        return max(found, key=lambda each: (_SEVERITY.index(each.state), each.failures), default=None)

    def _counts(self, breaker: CircuitBreaker) -> bool:
        return breaker.idle < self._forget_after

    def conceal(self) -> None:
        """Show all as closed until one changes: who calls nobody any more does not learn that a service is back."""
        self._concealed.update(self._all)

    def _shown(self, service: str) -> State:
        worst = None if service in self._concealed else self._worst(service)
        return State.CLOSED if worst is None else worst.state

    def _changed(self, change: Change) -> None:
        breaker = change.breaker
        said = {"service": breaker.name, "failures": breaker.failures}
        if breaker.host:
            said["host"] = breaker.host
        if change.after is State.OPEN:
            seconds = breaker.timeout.total_seconds()
            _log.warning("a breaker is open", **said, error=change.cause, next_try_in_seconds=seconds)
        elif change.after is State.HALF_OPEN:
            _log.info("a breaker is half open: one request tries the service", **said)
        else:
            _log.info("a breaker is closed: the service answers again", **said)
        self._concealed.discard(breaker.name)


def _entry(breaker: CircuitBreaker | None) -> dict[str, Any]:
    if breaker is None:
        return {"state": State.CLOSED.value, "failures": 0, "opened_at": None}
    opened_at = breaker.opened_at
    shown = opened_at.isoformat(timespec="seconds").replace("+00:00", "Z") if opened_at is not None else None
    return {"state": breaker.state.value, "failures": breaker.failures, "opened_at": shown}
