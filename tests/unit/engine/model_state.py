"""What the model is about: an object with its services and operators, and what may still happen to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from devops_reconciler.engine.ledger import Ledger

from .model_pass import Plan
from .model_world import Key, World
from .things import Spec

LONGEST = 2
"""Ticks that a request lasts at most: the time-out."""

Hand = Callable[[World], World | None]
"""Something that somebody else does; None where it cannot be done."""


@dataclass(frozen=True)
class Scenario:
    """One object, what it wants, and what may go wrong."""

    name: str
    at_least: int
    """States that it has: it must not shrink unseen."""
    steps: Plan
    specs: tuple[Spec, ...]
    """The first one, then what users change it to."""
    at_end: Callable[[World, Spec | None, Ledger], None]
    """Asserts what holds where nothing is left to do; no spec: after the deletion."""
    foreign: tuple[tuple[Key, Any], ...] = ()
    """What others have, and must be there at every moment."""
    hands: tuple[tuple[str, Hand], ...] = ()
    operators: int = 2
    troubles: int = 1
    """Deaths and faults on the way, at most."""
    lags: bool = False
    gap: bool = False
    again: bool = False
    """A name is refused twice, so that the same may be asked for twice."""


@dataclass
class Exploration:
    """What was explored."""

    states: int = 0
    """Different states of object, services and operators; not counting what may still happen to them."""
    passes: int = 0
    """Points within passes at which the real engine waited for an answer, by all that it had been told."""
    complete: bool = True
    """Nothing reachable was left out."""

    def __add__(self, other: Exploration) -> Exploration:
        return Exploration(self.states + other.states, self.passes + other.passes, self.complete and other.complete)


class Operator(NamedTuple):
    """One process: idle (node 0), or a pass that waits for an answer."""

    node: int = 0
    waited: int = 0
    """Ticks since the request."""
    fresh: bool = True
    """The object is as this pass has loaded or saved it."""
    late: int = 0
    """The answer that is on its way, as a number; 0: the request has not had its effect yet."""


IDLE = Operator()


class System(NamedTuple):
    """Object, services and operators, each part by its number."""

    stored: int
    """0: gone."""
    world: int
    operators: tuple[Operator, ...]


class Left(NamedTuple):
    """What may still happen."""

    troubles: int
    edits: int
    deletions: int
    hands: int


State = tuple[System, Left]


class Numbers:
    """Numbers for values, so that states are small and compared at once."""

    def __init__(self) -> None:
        self.values: list[Any] = [None]
        self._numbers: dict[Any, int] = {}

    def of(self, item: Any) -> int:
        number = self._numbers.get(item)
        if number is None:
            number = self._numbers[item] = len(self.values)
            self.values.append(item)
        return number
