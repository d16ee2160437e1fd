"""Two replicas: the one that acts is killed, or stopped beyond its Lease and woken again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from standins.controls import Call

from .faults import fault_plans
from .plans import KILLS, Happened, Plan, crash_plans, heartbeat_plans
from .project import Project
from .scenario import Reference
from .writes import Asked, matcher

PAUSE = timedelta(seconds=5)
"""Longer than the Lease of a lane."""
SOME = 4
"""One heartbeat in so many is the moment of a kill."""


def replica_plans(reference: Reference, rotation: Iterator[int], *, full: bool = False) -> Iterator[Plan]:
    """The replica that acts is killed at one moment of each write, one kind of write fails, both are killed at some
    heartbeats (or at each moment, each call, each heartbeat), and the one that acts is paused in the middle of each
    write.
    """
    plans: list[Plan] = []
    for number, plan in enumerate(crash_plans(reference)):
        # Three plans a write: the moments take turns.
        if full or number % len(KILLS) == number // len(KILLS) % len(KILLS):
            plans.append(plan)
    plans += itertools.islice(heartbeat_plans(reference), 0, None, 1 if full else SOME)
    writes = replace(reference, asked=[each for each in reference.asked if full or each.is_write])
    plans += fault_plans(writes, rotation, full=full)
    for plan in plans:
        yield replace(plan, perturbation=f"two replicas: {plan.perturbation}")
    for write in reference.asked:
        if write.is_write:
            name = "two replicas: stopped beyond its Lease in the middle of a write"
            yield Plan(reference.scenario, name, str(write), _pause_at(write), write)


def _pause_at(write: Asked) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        lane = project.lane

        async def pause(call: Call) -> None:
            await lane.caller(call).pause(PAUSE)

        # The request comes through late, when the other replica has long taken over.
        trap = lane.controls[write.service].trap("late", matcher(write, project.name), pause, write.nth)
        return lambda: trap.sprung

    return arm
