"""Whose work goes first where not all can go at once, and what is left to the others."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from enum import IntEnum

from .ambient import ambient

FAIR_SHARE = 4
"""Each so-manieth turn is for who has waited longest, however urgent others are: nobody waits for ever."""


class Urgency(IntEnum):
    """How much depends on it that a piece of work is done soon; the lowest goes first."""

    DEPLOYMENT = 0
    """A deployment under way: somebody looks on."""
    CHANGE = 1
    """Something is to be set up, changed, mended or removed."""
    CHECK = 2
    """A look whether all is still as it should be."""


_urgency: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.CHANGE)


def current_urgency() -> Urgency:
    """How urgent the work is that we are part of."""
    return _urgency.get()


def urgency(of: Urgency) -> AbstractContextManager[None]:
    """The work inside, and the tasks that it starts, are as urgent as this."""
    return ambient(_urgency, of)
