"""Plan after plan in one lane: a batch of projects is prepared together, disturbed one by one, removed together."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from .checks import heartbeat_faults
from .effects import Effect
from .lane import Lane
from .plans import Plan
from .project import Project
from .scenario import Reference, prepare, quiet, said
from .state import differences, facts_of

PAUSE = 0.25


@dataclass
class Outcome:
    """What came of a plan. No faults: it was survived. ``reached`` False: the run never came to its point."""

    plan: Plan
    reached: bool
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log: str = ""

    @property
    def survived(self) -> bool:
        return self.reached and not self.faults


@dataclass
class _Trial:
    plan: Plan
    project: Project
    before: Counter[Effect] = field(default_factory=Counter)
    after: Counter[Effect] = field(default_factory=Counter)
    outcome: Outcome | None = None


def names(prefix: str) -> Callable[[], str]:
    """New names of projects: none contains another."""
    numbers = itertools.count(1)
    run = secrets.token_hex(2)
    return lambda: f"{prefix}{run}x{next(numbers):04d}"


async def sweep(lane: Lane, reference: Reference, plans: Sequence[Plan], name: Callable[[], str]) -> list[Outcome]:
    """One batch of plans, which are all of one scenario. Raises what breaks the preparation."""
    trials = [_Trial(plan, Project(lane, name())) for plan in plans]
    await prepare([trial.project for trial in trials], reference.scenario)
    outcomes = []
    for trial in trials:
        trial.outcome = await _disturb(trial, reference)
        outcomes.append(trial.outcome)
    await _remove(trials, reference)
    for controls in lane.controls.values():
        controls.forget()
    return outcomes


async def _disturb(trial: _Trial, reference: Reference) -> Outcome:
    lane, project, started = trial.project.lane, trial.project, time.monotonic()
    trial.before = project.effects
    happened = trial.plan.arm(project)
    faults: list[str] = []
    try:
        await project.phases[reference.scenario.phase]()
        await lane.alive()
    except (AssertionError, TimeoutError, RuntimeError) as error:
        faults.append(f"it did not end: {error}")
    reached = happened()
    lane.calm()
    project.stage.heartbeats.listeners.clear()
    if not faults:
        faults += await _same_end(trial, reference)
    if trial.plan.check is not None:
        faults += trial.plan.check(project)
    log = lane.logs() if faults else ""
    return Outcome(trial.plan, reached, faults, time.monotonic() - started, log)


async def _same_end(trial: _Trial, reference: Reference) -> list[str]:
    project = trial.project

    async def missing() -> list[str]:
        found = await facts_of(project.stage, project.name)
        differing = differences(reference.facts, found, reference.masked)
        effects = said(reference.effects, project.effects - trial.before)
        return differing + ([effects] if effects else [])

    faults = await until_empty(missing, project.lane.patience)
    trial.after = project.effects
    return faults + heartbeat_faults(project.stage.heartbeats, project.events)


async def until_empty(probe: Callable[[], Awaitable[list[str]]], deadline: timedelta) -> list[str]:
    """The answer of the probe as soon as it is empty; the last one after the deadline."""
    give_up = time.monotonic() + deadline.total_seconds()
    while True:
        found = await probe()
        if not found or time.monotonic() > give_up:
            return found
        await asyncio.sleep(PAUSE)


async def _remove(trials: Sequence[_Trial], reference: Reference) -> None:
    """Delete the projects; what is left must be what an undisturbed project leaves."""

    async def one(trial: _Trial) -> None:
        outcome = trial.outcome
        assert outcome is not None
        if not outcome.faults and (later := said(trial.after, trial.project.effects)):
            outcome.faults.append(f"it did not stay so: {later}")
        try:
            if reference.scenario.phase != "deletion":
                await trial.project.delete()
        except (AssertionError, TimeoutError, RuntimeError) as error:
            outcome.faults.append(f"it could not be deleted: {error}")
            return
        outcome.faults += await until_empty(lambda: _orphans(trial, reference), trial.project.lane.patience)
        if not outcome.survived:
            outcome.log = outcome.log or trial.project.lane.logs()

    await asyncio.gather(*(one(trial) for trial in trials))
    await quiet([])


async def _orphans(trial: _Trial, reference: Reference) -> list[str]:
    found = await facts_of(trial.project.stage, trial.project.name)
    return [f"left over: {each}" for each in differences(reference.left, found)]
