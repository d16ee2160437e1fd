"""How long to wait between two looks at something that runs: short at first, longer the longer it takes."""

from __future__ import annotations

from datetime import datetime, timedelta

SHORTEST = timedelta(milliseconds=100)
LOOK_AGAIN = timedelta(seconds=1)
"""For what comes or goes within seconds and does not say when."""
SHARE = 0.1
"""A look costs at most about a tenth of the time that has passed, and comes at most that much late."""


def pause(spent: timedelta, longest: timedelta) -> timedelta:
    """A tenth of what has passed, between 0.1 s and `longest`."""
    return max(SHORTEST, min(longest, spent * SHARE))


def pause_since(now: datetime, longest: timedelta, *begun: datetime | None) -> timedelta:
    """The same for what has passed since the first of these times that is not ahead of `now`.

    A service's clock may be ahead of ours, and so may another replica's. Where all of them are, nobody knows how long
    it has taken: then a look a second does no harm.
    """
    passed = next((now - moment for moment in begun if moment is not None and moment <= now), None)
    return min(LOOK_AGAIN, longest) if passed is None else pause(passed, longest)
