"""A zone and its past: the API and each nameserver look at the state of some seconds ago."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from devops_reconciler.runtime.clock import Clock

Body = dict[str, Any]
"""A record as the API gives it: type, name (`@` is the zone itself), data, ttl, and what else it was made with."""

HISTORY = 1000
"""States that are remembered."""


class Zone:
    """The records of one zone, in the order of their making, with their history."""

    def __init__(self, name: str, clock: Clock, nameservers: Sequence[str] = ()) -> None:
        self.name = name.lower()
        self.nameservers = tuple(nameservers)
        self.busy_until = -math.inf
        """The zone is being processed until then (monotonic): writes are refused."""
        self._clock = clock
        first = [{"type": "NS", "name": "@", "data": each, "ttl": 3600} for each in nameservers]
        self._states: list[tuple[float, int, tuple[Body, ...]]] = [(-math.inf, 1, tuple(first))]

    @property
    def records(self) -> list[Body]:
        """All records as they are now, NS included."""
        return [dict(each) for each in self.now]

    @property
    def now(self) -> tuple[Body, ...]:
        """The same, not to be changed: all states share them."""
        return self._states[-1][2]

    @property
    def writes(self) -> int:
        """How many states there have been after the first."""
        return self._states[-1][1] - 1

    def find(self, type: str, name: str) -> list[Body]:
        """The records with this type and relative name, as they are now."""
        return [dict(each) for each in self.now if same(each, type, name)]

    def values(self, type: str, name: str) -> list[str]:
        """Their data."""
        return [each["data"] for each in self.find(type, name)]

    def add(self, type: str, name: str, data: str, ttl: int = 3600, **fields: Any) -> None:
        """Put a record in from behind, as a person does in GoDaddy's own pages: nothing is checked."""
        self.write([*self.now, {"type": type, "name": name, "data": data, "ttl": ttl, **fields}])

    def remove(self, type: str, name: str) -> None:
        """Take a set of records out from behind."""
        self.write([each for each in self.now if not same(each, type, name)])

    def write(self, records: Sequence[Body]) -> None:
        """The next state. The records belong to the zone from then on."""
        serial = self._states[-1][1] + 1
        self._states.append((self._clock.monotonic(), serial, tuple(records)))
        del self._states[:-HISTORY]

    def as_of(self, lag: float) -> tuple[Body, ...]:
        """The records `lag` seconds ago."""
        return self._state(lag)[2]

    def serial(self, lag: float) -> int:
        """The number of the state `lag` seconds ago."""
        return self._state(lag)[1]

    def _state(self, lag: float) -> tuple[float, int, tuple[Body, ...]]:
        moment = self._clock.monotonic() - lag
        for state in reversed(self._states):
            if state[0] <= moment:
                return state
        return self._states[0]


def same(record: Body, type: str, name: str) -> bool:
    return bool(record["type"] == type and record["name"].lower() == name.lower())
