"""The fence: until when this replica may change anything outside."""

from __future__ import annotations

import math

from .clock import Clock


class Fence:
    """Open until a moment of the monotonic clock, which each renewal of the Lease moves on; closed at first.

    It closes by time alone. A replica that was stopped and goes on finds it closed before it has noticed anything else.
    Asked before each request that changes something, it leaves only the request that was under way.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = -math.inf

    @property
    def is_open(self) -> bool:
        return self._clock.monotonic() < self._until

    def open_until(self, moment: float) -> None:
        """Open, or stay open, until this moment (of `Clock.monotonic`). Never shortens."""
        self._until = max(self._until, moment)

    def close(self) -> None:
        """At once: the Lease is another's, or is about to be given up."""
        self._until = -math.inf
