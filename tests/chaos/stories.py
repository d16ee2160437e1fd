"""Ten stories of how operators like this one have failed, and which points prove that this one does not."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from testbed.stage import Ground

from .kept import Kept
from .lane import Lane
from .neighbours import PERTURBATION
from .plans import KILLS, Plan
from .sweep import names
from .trial import Trial, play
from .trials_argo import argo_trials
from .trials_builds import build_trials
from .trials_deletions import deletion_trials
from .trials_dns import dns_trials
from .trials_herd import herd_trials
from .trials_leaks import leak_trials
from .trials_lies import lie_trials
from .trials_messages import message_trials
from .writes import triggers_a_build


@dataclass(frozen=True)
class Story:
    """``told_by`` says which points of the sweep belong to it, besides its own trials."""

    number: int
    title: str
    told_by: Callable[[Plan], bool]


def _is(plan: Plan, service: str, *methods: str) -> bool:
    return plan.asked is not None and plan.asked.service == service and plan.asked.method in methods


def _builds(plan: Plan) -> bool:
    return plan.asked is not None and triggers_a_build(plan.asked)


def _reads_a_build(plan: Plan) -> bool:
    return plan.scenario.phase in ("deployment", "preview") and _is(plan, "jenkins", "GET")


def _removes(plan: Plan) -> bool:
    return plan.scenario.phase == "deletion" and plan.asked is not None and plan.asked.method == "DELETE"


def _makes(plan: Plan) -> bool:
    made = plan.asked is not None and plan.asked.method in ("POST", "PUT", "PATCH")
    return made and plan.perturbation.endswith(KILLS["after_effect"])


def _unreadable(plan: Plan) -> bool:
    read = plan.asked is not None and plan.asked.method == "GET"
    return read and plan.perturbation in ("HTML page with status 200", "body cut short, after the effect")


STORIES = (
    Story(1, "A lost reply makes a second build", _builds),
    Story(2, "A slow or failing Jenkins makes a running build disappear", _reads_a_build),
    Story(3, "A dead vendor, or a thing removed by hand, makes an object undeletable", _removes),
    Story(4, "What was made just before a crash is forgotten and left behind", _makes),
    Story(5, "A DNS name of somebody else is taken over or removed", lambda plan: plan.perturbation == PERTURBATION),
    Story(6, "An empty or strange answer is taken for absence, and all is removed", _unreadable),
    Story(7, "The health of the old version is taken for that of the new", lambda plan: False),
    Story(8, "A wait never ends, and nobody says for what", lambda plan: False),
    Story(9, "Messages are lost, doubled, or silently not taken", lambda plan: "heartbeat" in plan.perturbation),
    Story(10, "A restart of many, or a 429, floods the vendors", lambda plan: plan.perturbation.startswith("429")),
)


@dataclass(frozen=True)
class Told:
    """What came of a trial."""

    trial: Trial
    faults: list[str]
    log: str = ""

    @property
    def survived(self) -> bool:
        return not self.faults


def every_trial(seed: int) -> Iterator[Trial]:
    """All trials of all stories."""
    yield from build_trials()
    yield from deletion_trials()
    yield from leak_trials()
    yield from lie_trials()
    yield from argo_trials()
    yield from dns_trials(seed)
    yield from message_trials()
    yield from herd_trials()


async def tell_all(
    ground: Ground,
    trials: Sequence[Trial],
    tell: Callable[[Told], None],
    *,
    lanes: int,
    variables: dict[str, str],
    kept: Kept,
) -> list[Told]:
    """Play the trials, ``lanes`` side by side; those with the same environment go one after the other in one lane."""
    told = [Told(trial, []) for trial in trials if kept.reached(str(trial))]
    # The trials among many take longest: they come first, so that nobody waits for them at the end.
    left = sorted(
        (each for each in trials if not kept.reached(str(each))), key=lambda each: (each.story != 10, *key(each))
    )
    waiting, name, number = deque(left), names("s"), itertools.count()

    async def one(lane: Lane, trial: Trial) -> None:
        faults = await play(lane, trial, name())
        told.append(Told(trial, faults, lane.logs() if faults else ""))
        tell(told[-1])
        if not faults:
            kept.add(str(trial), reached=True)

    async def work() -> None:
        while waiting:
            same = waiting[0].variables
            async with Lane(ground, f"s{next(number)}", variables={**variables, **same}) as lane:
                while waiting and waiting[0].variables == same:
                    await one(lane, waiting.popleft())

    await asyncio.gather(*(work() for _ in range(lanes)))
    return told


def key(trial: Trial) -> tuple[str, ...]:
    """The same for the same environment."""
    return tuple(f"{name}={value}" for name, value in sorted(trial.variables.items()))
