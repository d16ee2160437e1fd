"""Whose work goes first where not all can go at once, and what is left to the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, ContextVar
from enum import IntEnum

from .ambient import ambient

FAIR_SHARE = 4
"""Each so-manieth turn is for who has waited longest, however urgent others are: nobody waits for ever."""


class Urgency(IntEnum):
    """How much depends on it that a piece of work is done soon; the lowest goes first."""

    ARRIVAL = 0
    """Something has just come in, and who sent it has not been told that it is here."""
    DEPLOYMENT = 1
    """A deployment under way: somebody looks on."""
    CHANGE = 2
    """Something is to be set up, changed, mended or removed."""
    CHECK = 3
    """A look whether all is still as it should be."""


Tenant = tuple[str, str]
"""For whom work is done: namespace and project. Of one urgency namespaces have turns, and in each its projects."""
NOBODY: Tenant = ("", "")

_urgency: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.CHANGE)
_tenant: ContextVar[Tenant] = ContextVar("tenant", default=NOBODY)


def current_urgency() -> Urgency:
    """How urgent the work is that we are part of."""
    return _urgency.get()


def current_tenant() -> Tenant:
    """For whom the work is that we are part of."""
    return _tenant.get()


def urgency_in(context: Context) -> Urgency:
    """How urgent the work is to which this context belongs."""
    return context.get(_urgency, Urgency.CHANGE)


def urgency(of: Urgency) -> AbstractContextManager[None]:
    """The work inside, and the tasks that it starts, are as urgent as this."""
    return ambient(_urgency, of)


@contextmanager
def work(of: Urgency, tenant: Tenant) -> Iterator[None]:
    """The work inside, and the tasks that it starts, are as urgent as this, and for this tenant."""
    with ambient(_urgency, of), ambient(_tenant, tenant):
        yield


def context_of(of: Urgency, tenant: Tenant) -> Context:
    """For a task that is as urgent as this from its first step, for this tenant, and knows nothing of who began it."""
    context = Context()
    context.run(_urgency.set, of)
    context.run(_tenant.set, tenant)
    return context
