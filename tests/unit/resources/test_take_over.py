"""A replica takes over from one whose clock differs: what that one has sent may still arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from devops_reconciler.api.base import DriftPolicy
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.resource import digest_of
from devops_reconciler.resources.hub_repository import HubRepository
from devops_reconciler.runtime.clock import Instant
from devops_reconciler.runtime.fence import Fence

from .hand import Hand, policy
from .jenkins_shop import with_job
from .test_jenkins_build import BUILD

ARRIVES = timedelta(seconds=45)
"""From a trigger until its build shows, at the longest, as the tests are set up."""


def takes_over(hand: Hand) -> None:
    """Another replica, which has the Lease from now on."""
    clock = hand.out.clock
    fence = Fence(clock)
    fence.open_for(timedelta(days=1), Instant.of(clock))
    hand.out = replace(hand.out, world=replace(hand.out.world, fence=fence))


@pytest.mark.parametrize("clock", [timedelta(minutes=-1), timedelta(minutes=10)])
async def test_a_trigger_that_another_replica_sent_makes_no_second_build(clock: timedelta) -> None:
    hand = await with_job()
    assert BUILD.arrives_in(hand.out.world) == ARRIVES
    hand.out.line.fail("jenkins.trigger", ExternalServiceError("time-out", service="jenkins"), after_effect=False)
    hand.out.clock.step(clock)
    await hand.once(BUILD)
    hand.out.clock.step(-clock)
    takes_over(hand)
    hand.out.clock.advance(ARRIVES - timedelta(seconds=1))
    assert not (await hand.once(BUILD)).acted, "it may still arrive"
    await hand.out.jenkins.trigger(("shop", "shop"), {"DEPLOYMENT_UID": BUILD.uid})
    await hand.bring(BUILD, most=200)
    assert len(hand.out.jenkins.triggers) == 1


@pytest.mark.parametrize("clock", [timedelta(minutes=-1), timedelta(minutes=10)])
async def test_a_removal_waits_for_it_and_no_longer_than_it_may_take(clock: timedelta) -> None:
    hand = await with_job()
    hand.out.line.fail("jenkins.trigger", ExternalServiceError("time-out", service="jenkins"), after_effect=False)
    hand.out.clock.step(clock)
    await hand.once(BUILD)
    hand.out.clock.step(-clock)
    takes_over(hand)
    begun = hand.out.clock.monotonic()
    await hand.remove(most=100)
    spent = timedelta(seconds=hand.out.clock.monotonic() - begun)
    assert ARRIVES <= spent <= ARRIVES + timedelta(seconds=5)


async def test_a_repository_that_somebody_made_public_stays_so_when_a_version_knows_its_user() -> None:
    hand, leave = Hand(), policy(drift=DriftPolicy.REPORT)
    wanted = HubRepository(namespace="acme", repository="shop", private=True, user="team/shop")
    await hand.bring(wanted, leave)
    (entry,) = hand.ledger.dump()
    del entry["value"]["user"]
    hand.ledger = Ledger.load([{**entry, "digest": digest_of(entry["value"])}])
    await hand.out.hub.update_repository("acme", "shop", private=False)
    outcome = await hand.once(wanted, leave)
    assert (outcome.acted, outcome.results[0].drifted) == (False, ("private",))
