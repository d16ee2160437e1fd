"""A representative part of `make chaos`: some points of every workload and of every perturbation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from testbed.launcher import Launcher
from testbed.stage import Ground

from .faults import fault_plans, lag_plans, stale_plans
from .lane import Lane
from .neighbours import neighbour_plans
from .plans import KILLS, Plan, crash_plans, heartbeat_plans
from .scenario import SCENARIOS, Reference, Scenario, learn
from .sweep import names, sweep

pytestmark = pytest.mark.asyncio(loop_scope="session")
TURNS = itertools.count()
RARE = 12
LANES = 3
"""Previews wait for their end most of the time."""


def representative(reference: Reference) -> Iterator[Plan]:
    """The window that makes duplicates, once for each service, and every twelfth of the rest."""
    services: set[str] = set()
    for plan in crash_plans(reference):
        assert plan.asked is not None
        if plan.perturbation == KILLS["after_effect"] and plan.asked.service not in services:
            services.add(plan.asked.service)
            yield plan
    for plans in (heartbeat_plans, neighbour_plans):
        yield from itertools.islice(plans(reference), 1, None, RARE)
    for others in (fault_plans(reference, TURNS), stale_plans(reference, TURNS), lag_plans(reference)):
        yield from itertools.islice(others, 0, None, RARE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lanes() -> AsyncIterator[list[Lane]]:
    """Some operators, each with a world of its own, that take nothing from the tests after these."""
    async with Ground(Launcher()) as ground, AsyncExitStack() as stack:
        made = [Lane(ground, f"t{number}") for number in range(LANES)]
        await asyncio.gather(*(stack.enter_async_context(lane) for lane in made))
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.phase for scenario in SCENARIOS])
async def test_a_disturbed_run_ends_as_an_undisturbed_one(lanes: list[Lane], scenario: Scenario) -> None:
    name = names("t")
    reference = await learn(lanes[0], scenario, [name(), name()])
    plans = list(representative(reference))
    shares = [plans[number :: len(lanes)] for number in range(len(lanes))]
    done = await asyncio.gather(
        *(sweep(lane, reference, share, name) for lane, share in zip(lanes, shares, strict=True))
    )
    reached = [outcome for outcome in itertools.chain(*done) if outcome.reached]
    lost = [f"{each.plan}: {'; '.join(each.faults)}\n{each.log}" for each in reached if not each.survived]

    assert reached, "the runs came to none of their points"
    assert not lost, "\n".join(lost)
