"""Who waits for something that not all can have at once, and whose turn it is."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .urgency import FAIR_SHARE, Tenant, Urgency, current_tenant, current_urgency


@dataclass(eq=False)
class Waiter:
    """Somebody who waits, as urgent and for whom the work is that we are part of."""

    urgency: Urgency = field(default_factory=current_urgency)
    tenant: Tenant = field(default_factory=current_tenant)
    number: int = 0
    """The lowest has waited longest."""


W = TypeVar("W", bound=Waiter)


class _Line(Generic[W]):
    """Those of one urgency: namespaces in turn, in each its projects in turn, of each who came first."""

    def __init__(self) -> None:
        self._parts: OrderedDict[str, _Line[W]] = OrderedDict()
        """Whose turn it is stands first."""
        self._here: deque[W] = deque()

    def __bool__(self) -> bool:
        return bool(self._here or self._parts)

    @property
    def first(self) -> W:
        return self._here[0] if self._here else next(iter(self._parts.values())).first

    def join(self, waiter: W, where: Sequence[str]) -> None:
        if where:
            self._parts.setdefault(where[0], _Line()).join(waiter, where[1:])
        else:
            self._here.append(waiter)

    def leave(self, waiter: W, where: Sequence[str]) -> None:
        """It has had its turn, and then it is that of others; or it gives up."""
        if not where:
            self._here.remove(waiter)
            return
        had_its_turn = self.first is waiter
        part = self._parts[where[0]]
        part.leave(waiter, where[1:])
        if not part:
            del self._parts[where[0]]
        elif had_its_turn:
            self._parts.move_to_end(where[0])


class Lines(Generic[W]):
    """By urgency, and in one urgency by tenant. Each fourth turn is for the line in which somebody waits longest."""

    def __init__(self) -> None:
        self._lines: dict[Urgency, _Line[W]] = {each: _Line() for each in Urgency}
        self._arrived: dict[Urgency, OrderedDict[W, None]] = {each: OrderedDict() for each in Urgency}
        """Who waits in each of them, by arrival."""
        self._numbers = itertools.count()
        self._served = 0

    def __bool__(self) -> bool:
        return any(self._arrived.values())

    def join(self, waiter: W) -> None:
        """To the end of its line."""
        waiter.number = next(self._numbers)
        self._arrived[waiter.urgency][waiter] = None
        self._lines[waiter.urgency].join(waiter, waiter.tenant)

    def first(self, may: Callable[[Urgency], bool] = lambda _: True) -> W | None:
        """Whose turn it is, of those that are urgent enough; None where none of them waits."""
        urgencies = [urgency for urgency, line in self._lines.items() if line and may(urgency)]
        if not urgencies:
            return None
        fair = self._served % FAIR_SHARE == FAIR_SHARE - 1
        return self._lines[min(urgencies, key=self._longest) if fair else urgencies[0]].first

    def _longest(self, urgency: Urgency) -> int:
        """The number of who has waited longest."""
        return next(iter(self._arrived[urgency])).number

    def serve(self, waiter: W) -> None:
        """It has had its turn."""
        self.leave(waiter)
        self._served += 1

    def pass_by(self) -> None:
        """Somebody has had a turn without waiting: nobody else did."""
        self._served += 1

    def leave(self, waiter: W) -> None:
        """It gives up."""
        del self._arrived[waiter.urgency][waiter]
        self._lines[waiter.urgency].leave(waiter, waiter.tenant)
