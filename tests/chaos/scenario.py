"""The workloads, each run undisturbed first: what it asks of whom, what it makes, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from standins.controls import Call

from .checks import heartbeat_faults
from .effects import Effect
from .lane import Lane
from .project import Project
from .state import Facts, differences, facts_of
from .writes import Asked, in_order

QUIET_SECONDS = 1.5


@dataclass(frozen=True)
class Scenario:
    """A phase in the life of a project, after others that run undisturbed."""

    phase: str
    after: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("set-up"),
    Scenario("deployment", ("set-up",)),
    Scenario("preview", ("set-up",)),
    Scenario("deletion", ("set-up", "deployment")),
)


@dataclass
class Reference:
    """What the undisturbed runs of a phase had in common."""

    scenario: Scenario
    asked: list[Asked]
    """The calls that every run made, in the order of the first."""
    facts: Facts
    masked: frozenset[str]
    effects: Counter[Effect]
    beats: int
    """Heartbeats of its deployment, ticks left out."""
    left: Facts = field(default_factory=dict)
    """What is there after the project was deleted."""


@dataclass
class Run:
    """One undisturbed run of a phase."""

    asked: list[Asked]
    facts: Facts
    effects: Counter[Effect]
    beats: int
    left: Facts = field(default_factory=dict)


async def prepare(projects: Sequence[Project], scenario: Scenario) -> None:
    """The phases before, of all projects side by side."""

    async def one(project: Project) -> None:
        for phase in scenario.after:
            await project.phases[phase]()

    await asyncio.gather(*(one(project) for project in projects))
    await quiet(projects)


async def quiet(projects: Sequence[Project]) -> None:
    """Until nothing about them has been made or removed for a while."""
    before: list[Counter[Effect]] = []
    while (now := [project.effects for project in projects]) != before:
        before = now
        await asyncio.sleep(QUIET_SECONDS)


async def learn(lane: Lane, scenario: Scenario, names: Sequence[str]) -> Reference:
    """Run the phase undisturbed for each of these names, one after the other, and keep what the runs share."""
    projects = [Project(lane, name) for name in names]
    await prepare(projects, scenario)
    runs = [await _undisturbed(project, scenario) for project in projects]
    if scenario.phase != "deletion":
        await asyncio.gather(*(project.delete() for project in projects))
    await quiet(projects)
    for project, run in zip(projects, runs, strict=True):
        run.left = await facts_of(lane.stage, project.name)
    return _shared(scenario, runs)


async def _undisturbed(project: Project, scenario: Scenario) -> Run:
    lane, before = project.lane, project.effects
    marks = {service: len(controls.calls) for service, controls in lane.controls.items()}
    await project.phases[scenario.phase]()
    await quiet([project])
    calls: dict[str, list[Call]] = {name: each.calls[marks[name] :] for name, each in lane.controls.items()}
    faults = heartbeat_faults(lane.stage.heartbeats, project.events)
    if faults:
        raise AssertionError(f"undisturbed {scenario.phase} of {project.name}: {'; '.join(faults)}")
    heard = {beat.message_id for event in project.events for beat in lane.stage.heartbeats.of_event(event)}
    return Run(
        [each for service, made in calls.items() for each in in_order(service, made, project.name)],
        await facts_of(lane.stage, project.name),
        project.effects - before,
        len(heard) if scenario.phase != "deletion" else 0,
    )


def _shared(scenario: Scenario, runs: Sequence[Run]) -> Reference:
    first, others = runs[0], runs[1:]
    masked = {path.split(": ")[0] for run in others for path in differences(first.facts, run.facts)}
    for run in others:
        if run.effects != first.effects:
            raise AssertionError(f"two undisturbed runs differ in effect: {said(first.effects, run.effects)}")
        if run.left != first.left:
            raise AssertionError(f"two undisturbed runs leave different things: {differences(first.left, run.left)}")
    always = [each for each in first.asked if all(each in run.asked for run in others)]
    return Reference(scenario, always, first.facts, frozenset(masked), first.effects, first.beats, first.left)


def said(expected: Counter[Effect], found: Counter[Effect]) -> str:
    """Where two counts of effects differ, in words."""
    return "; ".join(
        f"{effect}: {found[effect]} times instead of {expected[effect]}"
        for effect in sorted(expected.keys() | found.keys())
        if expected[effect] != found[effect]
    )
