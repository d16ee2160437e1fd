"""All plans over all lanes: learn the workloads, then take batch after batch until none is left."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from testbed.stage import Ground

from .faults import fault_plans, lag_plans, stale_plans
from .kept import Kept
from .lane import Lane
from .neighbours import neighbour_plans
from .plans import Plan, crash_plans, heartbeat_plans
from .scenario import SCENARIOS, Reference, Scenario, learn
from .sweep import Outcome, names, sweep
from .wander import random_plans

BATCH = 6
RUNS = 2
"""Undisturbed runs of each workload: what differs between them is not compared."""


@dataclass(frozen=True)
class Choice:
    """What to run. ``only`` are parts of the names of plans, all of which must occur."""

    lanes: int = 2
    replicas: int = 1
    only: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    kept: Kept = field(default_factory=lambda: Kept(None, ""))
    references: dict[Scenario, Reference] = field(default_factory=dict)
    """What is known of undisturbed runs, and what will be: an earlier campaign has learned it for the next."""


class Campaign:
    """Lanes on one ground."""

    def __init__(self, ground: Ground, choice: Choice, tell: Callable[[Outcome], None], prefix: str = "l") -> None:
        self._ground = ground
        self._choice = choice
        self._tell = tell
        self._prefix = prefix
        self._name = names("p")
        self.references = choice.references
        self._before: list[Outcome] = []
        """What a run that was interrupted had survived."""

    async def run(self, plans_of: Callable[[Reference], Iterator[Plan]]) -> list[Outcome]:
        """Learn, and run what ``plans_of`` makes of each workload."""

        async def work(lanes: Sequence[Lane]) -> list[list[Outcome]]:
            batches = deque(self._batches(plans_of))
            return await asyncio.gather(*(self._work(lane, batches) for lane in lanes))

        return await self._learned(work) + self._before

    async def wander(self, seed: int, time: timedelta) -> list[Outcome]:
        """Learn, and run random plans until the time is over."""
        give_up = monotonic() + time.total_seconds()

        async def work(lanes: Sequence[Lane]) -> list[list[Outcome]]:
            chances = [random.Random(f"{seed}/{number}") for number in range(len(lanes))]
            pairs = zip(lanes, chances, strict=True)
            return await asyncio.gather(*(self._wander(lane, chance, give_up) for lane, chance in pairs))

        return await self._learned(work)

    @property
    def _wanted(self) -> list[Scenario]:
        return [each for each in SCENARIOS if not self._choice.phases or each.phase in self._choice.phases]

    async def _learned(self, work: Callable[[Sequence[Lane]], Awaitable[list[list[Outcome]]]]) -> list[Outcome]:
        choice = self._choice
        async with AsyncExitStack() as stack:
            lanes = [
                Lane(self._ground, f"{self._prefix}{number}", replicas=choice.replicas, variables=choice.variables)
                for number in range(choice.lanes)
            ]
            await asyncio.gather(*(stack.enter_async_context(lane) for lane in lanes))
            unknown = deque(each for each in self._wanted if each not in self.references)
            await asyncio.gather(*(self._learn(lane, unknown) for lane in lanes))
            done = await work(lanes)
        return list(itertools.chain.from_iterable(done))

    async def _wander(self, lane: Lane, chance: random.Random, give_up: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while monotonic() < give_up:
            scenario = chance.choice(sorted(self._wanted, key=lambda each: each.phase))
            reference = self.references[scenario]
            plans = list(itertools.islice(random_plans(reference, chance), BATCH))
            outcomes += await self._one(lane, reference, plans)
        return outcomes

    async def _learn(self, lane: Lane, wanted: deque[Scenario]) -> None:
        while wanted:
            scenario = wanted.popleft()
            self.references[scenario] = await learn(lane, scenario, [self._name() for _ in range(RUNS)])

    def _batches(self, plans_of: Callable[[Reference], Iterator[Plan]]) -> Iterator[tuple[Reference, list[Plan]]]:
        left: list[tuple[Reference, list[Plan]]] = []
        for reference in (self.references[scenario] for scenario in self._wanted):
            plans = [each for each in plans_of(reference) if all(word in str(each) for word in self._choice.only)]
            left.append((reference, [each for each in plans if not self._was_survived(each)]))
        ahead = sum(len(plans) for _, plans in left)
        for reference, plans in left:
            while plans:
                batch, plans = plans[: (size := size_of_batch(ahead, self._choice.lanes))], plans[size:]
                ahead -= len(batch)
                yield reference, batch

    def _was_survived(self, plan: Plan) -> bool:
        reached = self._choice.kept.reached(str(plan))
        if reached is not None:
            self._before.append(Outcome(plan, reached))
        return reached is not None

    async def _work(self, lane: Lane, batches: deque[tuple[Reference, list[Plan]]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while batches:
            reference, plans = batches.popleft()
            outcomes += await self._one(lane, reference, plans)
        return outcomes

    async def _one(self, lane: Lane, reference: Reference, plans: Sequence[Plan]) -> list[Outcome]:
        """A batch. What breaks the lane itself is a fault of each of its plans, and the lane goes on."""
        try:
            outcomes = await sweep(lane, reference, plans, self._name)
        except (AssertionError, TimeoutError, RuntimeError) as error:
            outcomes = [Outcome(plan, reached=True, faults=[f"the batch broke: {error}"]) for plan in plans]
            lane.calm()
        for outcome in outcomes:
            self._tell(outcome)
            if not outcome.faults:
                self._choice.kept.add(str(outcome.plan), reached=outcome.reached)
        return outcomes


def size_of_batch(ahead: int, lanes: int) -> int:
    """Smaller towards the end, so that no lane waits long for the last one."""
    return max(1, min(BATCH, ahead // (2 * lanes)))


def every_plan(*, full: bool) -> Callable[[Reference], Iterator[Plan]]:
    """The whole sweep."""
    calls, ways = itertools.count(), itertools.count()

    def plans_of(reference: Reference) -> Iterator[Plan]:
        yield from crash_plans(reference)
        yield from heartbeat_plans(reference)
        yield from fault_plans(reference, calls, full=full)
        yield from neighbour_plans(reference)
        yield from lag_plans(reference)
        yield from stale_plans(reference, ways, full=full)

    return plans_of
