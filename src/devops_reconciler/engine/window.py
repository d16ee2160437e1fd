"""Intents are saved before they are acted on, and acted on only while the save is fresh."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from ..api.errors import ExternalServiceError
from ..runtime.clock import Clock, Instant

ACT_WITHIN = 5.0
"""Seconds after a save within which its intents may be acted on (else they are saved again)."""

SAVES = 3
"""How often intents are saved at most before one is acted on: an API server so slow is left alone for this pass."""

Save = Callable[[], Awaitable[None]]
"""Saves the ledger (and the rest of the status) under a resourceVersion precondition; raises when that fails."""


class SavesTooSlow(ExternalServiceError):
    """Saving takes so long that an intent is too old to act on as soon as it is saved."""

    def __init__(self) -> None:
        super().__init__(
            f"Kubernetes took longer than {ACT_WITHIN:g} s to save the status, so nothing was done; "
            "it is tried again when the API server answers faster",
            service="kubernetes",
            maybe_applied=False,
        )


class Window:
    """The time after a save within which its intents may be acted on, counted from before the save, by either clock."""

    def __init__(self, clock: Clock, save: Save) -> None:
        self._clock = clock
        self._save = save
        self._since: Instant | None = None

    async def open(self, intend: Callable[[], None]) -> None:
        """Save anew (`intend` dates the intents) unless the last save is recent enough to act now.

        Raises SavesTooSlow when it never is, and what the save raises.
        """
        for _ in range(SAVES):
            if self._is_fresh():
                return
            self._since = Instant.of(self._clock)
            intend()
            await self._save()
        if not self._is_fresh():
            raise SavesTooSlow

    def _is_fresh(self) -> bool:
        return self._since is not None and self._since.passed(self._clock) <= timedelta(seconds=ACT_WITHIN)
