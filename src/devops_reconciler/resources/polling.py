"""How long to wait between two looks at something that runs: short at first, longer the longer it takes."""

from __future__ import annotations

from datetime import timedelta

SHORTEST = timedelta(milliseconds=100)
LOOK_AGAIN = timedelta(seconds=1)
"""For what comes or goes within seconds and does not say when."""
SHARE = 0.1
"""A look costs at most about a tenth of the time that has passed, and comes at most that much late."""


def pause(spent: timedelta, longest: timedelta) -> timedelta:
    """A tenth of what has passed, between 0.1 s and `longest`."""
    return max(SHORTEST, min(longest, spent * SHARE))
