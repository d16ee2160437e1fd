"""One disturbance each: of which phase, where, and what happens there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from standins.controls import Moment
from testbed.stage_heartbeats import Heartbeat

from .project import Project
from .scenario import Reference, Scenario
from .writes import Asked, matcher

Happened = Callable[[], bool]
"""Whether the run came to the point of the disturbance."""


@dataclass(frozen=True)
class Plan:
    """A disturbance of one phase in the life of one project. ``arm`` sets it up just before the phase begins."""

    scenario: Scenario
    perturbation: str
    at: str
    """Where, in words."""
    arm: Callable[[Project], Happened]
    asked: Asked | None = None
    """The call that it is about, if it is about one."""
    check: Callable[[Project], list[str]] | None = None
    """What must hold besides, in words where it does not."""

    def __str__(self) -> str:
        return f"{self.scenario.phase}: {self.perturbation}: {self.at}"


KILLS: Mapping[Moment, str] = {
    "before": "killed before a write",
    "after_effect": "killed after the effect of a write, its reply withheld",
    "after_reply": "killed after the reply to a write",
}


def crash_plans(reference: Reference) -> Iterator[Plan]:
    """A kill at each moment of each write."""
    for write in reference.asked:
        if write.is_write:
            for moment in KILLS:
                yield Plan(reference.scenario, KILLS[moment], str(write), _kill_at(write, moment), write)


def _kill_at(write: Asked, moment: Moment) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        lane = project.lane
        act = lane.kill_soon if moment == "after_reply" else lane.kill
        trap = lane.controls[write.service].trap(moment, matcher(write, project.name), act, write.nth)
        return lambda: trap.sprung

    return arm


def heartbeat_plans(reference: Reference) -> Iterator[Plan]:
    """A kill when the n-th heartbeat has reached its listeners: its confirmation is perhaps lost."""
    for number in range(1, reference.beats + 1):
        name = "killed when a heartbeat has arrived"
        yield Plan(reference.scenario, name, f"heartbeat {number}", _kill_at_heartbeat(number))


def _kill_at_heartbeat(number: int) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        killed: list[int] = []

        def heard(beat: Heartbeat) -> None:
            mine = beat.payload["project"] == project.name and not beat.is_tick
            if mine and beat.sequence == number and not killed:
                killed.append(number)
                for replica in project.lane.replicas:
                    replica.kill()

        project.stage.heartbeats.listeners.append(heard)
        return lambda: bool(killed)

    return arm
