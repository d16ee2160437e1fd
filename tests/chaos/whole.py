"""The parts of `make chaos`, one after the other on one ground."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta

from testbed.stage import Ground

from .campaign import Campaign, Choice, every_plan
from .engine import Checked, explore, mutate
from .kept import Kept
from .pauses import replica_plans
from .report import REPOSITORY
from .scenario import Reference, Scenario
from .stories import Told, every_trial, tell_all
from .sweep import Outcome
from .teeth import REMOVALS, Noticed, bite
from .teller import Teller

PARTS = ("stories", "teeth", "sweep", "replicas", "random")
BESIDE = ("model", "mutants")
"""They need no services, and run beside the others."""


class Whole:
    """Runs what the command line asks for, and keeps what came of it."""

    def __init__(self, ground: Ground, given: argparse.Namespace, teller: Teller, kept: Kept, *, full: bool) -> None:
        self.outcomes: list[Outcome] = []
        self.told: list[Told] = []
        self.noticed: list[Noticed] = []
        self.checked: list[Checked] = []
        self._ground = ground
        self._given = given
        self._teller = teller
        self._full = full
        self._kept = kept
        self._references: dict[Scenario, Reference] = {}
        self._only: tuple[str, ...] = tuple(given.only)
        self._variables = {} if given.source is None else {"PYTHONPATH": str(given.source)}

    @property
    def parts(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """By name, in their order."""
        runs = (self._stories, self._teeth, self._sweep, self._replicas, self._random)
        return dict(zip(PARTS, runs, strict=True))

    async def check_engine(self, names: Collection[str]) -> None:
        """Those of BESIDE that are named, one after the other."""
        repository = REPOSITORY if self._given.source is None else self._given.source.parent
        for name, check in zip(BESIDE, (explore, mutate), strict=True):
            if name in names:
                try:
                    found = await check(repository)
                except RuntimeError as error:  # the points beside it are not lost because of it
                    found = Checked(f"The engine by itself, {name}", 0, "not run", [str(error)])
                self.checked.append(found)
                self._teller.checked(self.checked[-1])

    def _campaign(self, prefix: str, replicas: int = 1) -> Campaign:
        given = self._given
        # Pairs need more of the machine, and answer for themselves in terms of a few seconds.
        lanes = max(1, given.lanes - replicas + 1)
        choice = Choice(lanes, replicas, self._only, tuple(given.phase), self._variables, self._kept, self._references)
        return Campaign(self._ground, choice, self._teller.outcome, prefix)

    async def _sweep(self) -> None:
        self.outcomes += await self._campaign("l").run(every_plan(full=self._full))

    async def _replicas(self) -> None:
        calls = itertools.count()
        self.outcomes += await self._campaign("r", replicas=2).run(
            lambda reference: replica_plans(reference, calls, full=self._full)
        )

    async def _random(self) -> None:
        given = self._given
        if given.minutes and not self._only:
            self.outcomes += await self._campaign("w").wander(given.seed, timedelta(minutes=given.minutes))

    async def _stories(self) -> None:
        given = self._given
        trials = [each for each in every_trial(given.seed) if all(word in each.name for word in self._only)]
        self.told += await tell_all(
            self._ground, trials, self._teller.told, lanes=given.lanes, variables=self._variables, kept=self._kept
        )

    async def _teeth(self) -> None:
        given = self._given
        source, trials = given.source or REPOSITORY / "src", list(every_trial(given.seed))
        removals = [each for each in REMOVALS if all(word in each.mechanism for word in self._only)]
        found = await bite(
            self._ground, source, trials, removals, self._teller.noticed, lanes=given.lanes, kept=self._kept
        )
        self.noticed += sorted(found, key=lambda each: each.removal.story)
