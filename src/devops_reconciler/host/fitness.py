"""Whether this replica is fit to take the Lease from one that acts: it has been ready for some seconds.

A rollout stops at a new version that does not become ready, and keeps the old one. So must the Lease.
"""

from __future__ import annotations

from datetime import timedelta

from ..runtime.clock import Clock
from ..runtime.health import HealthChecker

STEADY = timedelta(seconds=3)
"""For how long: a process that comes up and dies at once, again and again, is not fit."""
LAPSE = timedelta(seconds=10)
"""What was seen longer ago than this says nothing of the time between."""


class Fitness:
    """Looks at the essential checks when it is asked. None of them waits for a term: a standby is ready."""

    def __init__(self, health: HealthChecker, clock: Clock, *, but: str) -> None:
        """`but` is the check of the Lease itself."""
        self._health = health
        self._clock = clock
        self._but = but
        self._since: float | None = None
        self._looked = 0.0

    async def lacks(self) -> str:
        """What keeps this replica from being fit, without secrets; empty where nothing does."""
        results = await self._health.essentials()
        failing = [f"{name}: {each.detail}" for name, each in results.items() if name != self._but and not each.ok]
        now = self._clock.monotonic()
        if failing:
            self._since = None
            return "; ".join(failing)
        if self._since is None or now - self._looked > LAPSE.total_seconds():
            self._since = now
        self._looked = now
        if now - self._since < STEADY.total_seconds():
            return f"it is to be ready for {STEADY.total_seconds():g} s first"
        return ""
