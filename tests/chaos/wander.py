"""Several disturbances of one run at once, drawn by chance: what nobody has thought of. A seed gives the same plans."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from .faults import fault_plans, lag_plans, stale_plans
from .plans import Happened, Plan, crash_plans, heartbeat_plans
from .project import Project
from .scenario import Reference

MOST = 3
"""Disturbances of one run."""
PERTURBATION = "at random"


def random_plans(reference: Reference, chance: random.Random) -> Iterator[Plan]:
    """One after the other, without end."""
    ways = itertools.count()
    crashes = [*crash_plans(reference), *heartbeat_plans(reference)]
    others = [
        *fault_plans(reference, itertools.count(), full=True),
        *lag_plans(reference),
        *stale_plans(reference, ways, full=True),
    ]
    while True:
        chosen = [chance.choice(crashes), *chance.sample(others, chance.randint(0, MOST - 1))]
        yield Plan(
            reference.scenario,
            PERTURBATION,
            " + ".join(f"{each.perturbation}: {each.at}" for each in chosen),
            _together([each.arm for each in chosen]),
        )


def _together(arms: list[Callable[[Project], Happened]]) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        happened = [each(project) for each in arms]
        return lambda: any(each() for each in happened)

    return arm
