"""The claim of an environment, which stands in the status of its project."""

from __future__ import annotations

from typing import Any

from devops_reconciler.api.errors import ConflictError
from devops_reconciler.resources.environment import EnvironmentClaim, find
from devops_reconciler.services.kubernetes import (
    DEVOPS_PROJECT,
)
from tests.unit.world import TEAM

from .hand import Hand


def claim(record: str = "one", **fields: Any) -> EnvironmentClaim:
    values = {"commit": "abc", "image": "acme/shop", "image_digest": "sha256:1", "url": "http://shop.example.com/"}
    return EnvironmentClaim(namespace=TEAM, project="shop", environment="pr-7", record=record, **{**values, **fields})


def with_project(hand: Hand, *environments: dict[str, Any]) -> None:
    obj = {"metadata": {"name": "shop", "uid": "uid-of-shop"}, "status": {"environments": list(environments)}}
    hand.out.kubernetes.put(DEVOPS_PROJECT, TEAM, obj)


def held(hand: Hand, environment: str = "pr-7") -> dict[str, Any] | None:
    return find(hand.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop"), environment)


async def test_a_claim_names_the_holder_and_what_it_runs_and_leaves_other_environments_alone() -> None:
    hand = Hand()
    production = {"name": "production", "holder": "zero", "commit": "def"}
    with_project(hand, production)
    assert (await hand.bring(claim())).ready
    assert held(hand) == {
        "name": "pr-7",
        "holder": "one",
        "commit": "abc",
        "digest": "sha256:1",
        "image": "acme/shop",
        "url": "http://shop.example.com/",
    }
    assert held(hand, "production") == production


async def test_a_claim_that_loses_the_race_waits_and_looks_again() -> None:
    hand = Hand()
    with_project(hand)

    def race(name: str) -> None:
        if name == "kubernetes.patch_status DevOpsProject":
            hand.out.line.before = None
            with_project(hand, {"name": "production", "holder": "zero"})

    hand.out.line.before = race
    first = await hand.once(claim())
    assert first.failure is None
    assert held(hand, "production") is not None
    assert held(hand) is None
    assert (await hand.bring(claim())).ready
    assert held(hand, "production") is not None


async def test_a_claim_is_given_up_only_while_it_is_ours() -> None:
    hand = Hand()
    with_project(hand)
    await hand.bring(claim())
    theirs = {"name": "pr-7", "holder": "two"}

    def race(name: str) -> None:
        if name == "kubernetes.get DevOpsProject" and hand.saves > saves:
            hand.out.line.before = None
            with_project(hand, theirs)

    saves = hand.saves
    hand.out.line.before = race
    await hand.remove()
    assert held(hand) == theirs


async def test_what_another_holds_is_not_ours_to_give_up() -> None:
    hand = Hand()
    with_project(hand)
    await hand.bring(claim())
    with_project(hand, {"name": "pr-7", "holder": "two"})
    await hand.remove()
    assert held(hand) == {"name": "pr-7", "holder": "two"}


async def test_a_claim_in_a_project_that_is_gone_counts_as_given_up() -> None:
    hand = Hand()
    with_project(hand)
    await hand.bring(claim())
    hand.out.kubernetes.remove(DEVOPS_PROJECT, TEAM, "shop")
    assert (await hand.remove()).ready


async def test_a_lost_reply_to_a_claim_is_found_out() -> None:
    hand = Hand()
    with_project(hand)
    hand.out.line.fail("kubernetes.patch_status DevOpsProject", ConflictError("changed", status=409), after_effect=True)
    await hand.once(claim())
    assert (await hand.bring(claim())).ready
