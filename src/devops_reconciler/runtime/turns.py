"""Turns: at most so many things begin per minute; who comes too early is told when its turn is, and keeps it."""

from __future__ import annotations

import math
from datetime import timedelta

from .clock import Clock

FORGET_AFTER = 60.0
"""Seconds after which a turn that nobody has come for is forgotten."""


class Turns:
    """A few may begin at once (a sixth of a minute's number), the rest evenly. In memory: a restart begins anew."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._interval = 60.0 / per_minute
        self._slack = self._interval * (max(1, per_minute // 6) - 1)
        self._next = -math.inf
        self._given: dict[str, float] = {}

    def wait(self, key: str) -> timedelta:
        """Zero when it is the turn of `key`, which is used up then; else the time until it."""
        now = self._clock.monotonic()
        if key not in self._given:
            self._given = {each: at for each, at in self._given.items() if at > now - FORGET_AFTER}
            self._given[key] = max(self._next, now - self._slack)
            self._next = self._given[key] + self._interval
        if self._given[key] <= now:
            del self._given[key]
            return timedelta(0)
        return timedelta(seconds=self._given[key] - now)

    def waits(self, key: str) -> bool:
        """Whether `key` has been given a turn that is still to come."""
        return self._given.get(key, -math.inf) > self._clock.monotonic()
