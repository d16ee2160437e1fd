"""Who was the first to come for a name, while nothing outside shows it yet."""

from __future__ import annotations

from datetime import timedelta

from .clock import Clock


class Reservations:
    """In memory: one replica acts at a time, and what was made meanwhile shows outside after a restart."""

    def __init__(self, clock: Clock, lifetime: timedelta = timedelta(minutes=5)) -> None:
        """`lifetime`: how long a name stays reserved for one who neither comes again nor is done."""
        self._clock = clock
        self._lifetime = lifetime.total_seconds()
        self._held: dict[str, tuple[str, float]] = {}

    def first(self, name: str, who: str) -> str:
        """Whose the name is: `who`, unless another one came before and is not done."""
        now = self._clock.monotonic()
        self._held = {each: held for each, held in self._held.items() if held[1] > now}
        holder = self._held.get(name, (who, 0.0))[0]
        if holder == who:
            self._held[name] = (who, now + self._lifetime)
        return holder

    def done(self, name: str, who: str) -> None:
        """It shows outside whose the name is."""
        if self._held.get(name, ("", 0.0))[0] == who:
            del self._held[name]
