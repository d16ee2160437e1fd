"""Remembers when something was last done for each key, to do it at most once per interval. In memory: a restart does it
again."""

from __future__ import annotations

from datetime import timedelta

from .clock import Clock


class Every:
    """At most once per `interval` and key."""

    def __init__(self, clock: Clock, interval: timedelta) -> None:
        self._clock = clock
        self._interval = interval.total_seconds()
        self._last: dict[str, float] = {}

    def due(self, key: str) -> bool:
        last = self._last.get(key)
        return last is None or self._clock.monotonic() - last >= self._interval

    def done(self, key: str) -> None:
        self._last[key] = self._clock.monotonic()

    def forget(self, prefix: str) -> None:
        """Forget all keys that begin so."""
        for key in [key for key in self._last if key.startswith(prefix)]:
            del self._last[key]
