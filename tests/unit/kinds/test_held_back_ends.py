"""While a project is paused, or only plans, none of its previews is torn down, nothing replaced removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life

PAUSED = "freeleaps.com/paused"
HOLDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "suspend": ({"spec": {"suspend": True}}, {"spec": {"suspend": False}}, "True/Paused"),
    "Plan": ({"spec": {"mode": "Plan"}}, {"spec": {"mode": "Apply"}}, "True/Planned"),
    "all": (
        {"metadata": {"annotations": {PAUSED: "all"}}},
        {"metadata": {"annotations": {PAUSED: None}}},
        "True/Paused",
    ),
}


async def preview() -> Life:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-1", ttl="1h")
    await life.live("one")
    return life


def change(life: Life, patch: dict[str, Any]) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", patch)


async def passes(life: Life, name: str, times: int) -> None:
    for _ in range(times):
        verdict = await life.turn(name)
        life.out.clock.advance(verdict.after or timedelta(seconds=1))


@pytest.mark.parametrize("how", HOLDS)
async def test_no_preview_expires_while_its_project_holds_it_back_and_it_goes_when_that_is_over(how: str) -> None:
    pause, resume, said = HOLDS[how]
    life = await preview()
    change(life, pause)
    life.out.clock.advance(timedelta(days=2))
    verdict = await life.turn("one")
    assert verdict.after == life.out.world.settings.poll_interval
    assert life.reason("one", "Suspended") == said
    before, mark = life.see("one")["metadata"]["resourceVersion"], len(life.out.line.calls)
    await passes(life, "one", 3)
    assert life.see("one")["metadata"]["resourceVersion"] == before
    assert {call.partition(".")[0] for call in life.out.line.since(mark)} == {"kubernetes"}
    assert life.condition("one", "Expired") is None
    assert "shop-pr-1" in life.out.argocd.apps
    change(life, resume)
    await life.expire("one")
    assert life.condition("one", "Suspended") is None
    assert "shop-pr-1" not in life.out.argocd.apps


async def test_a_clean_up_that_has_begun_stops_where_it_is() -> None:
    life = await preview()
    life.out.clock.advance(timedelta(days=2))
    await life.turn("one")
    assert life.reason("one", "Expired") == "True/Expired"
    change(life, HOLDS["suspend"][0])
    await passes(life, "one", 3)
    assert "shop-pr-1" in life.out.argocd.apps
    change(life, HOLDS["suspend"][1])
    await life.expire("one")
    assert "shop-pr-1" not in life.out.argocd.apps


@pytest.mark.parametrize("what", ["record", "project"])
async def test_a_deletion_goes_on_while_the_project_is_suspended(what: str) -> None:
    life = await preview()
    change(life, HOLDS["suspend"][0])
    if what == "record":
        await life.delete("one")
    else:
        life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
        await life.expire("one")
    assert "shop-pr-1" not in life.out.argocd.apps


async def test_no_preview_expires_while_the_deletion_of_its_project_is_paused() -> None:
    life = await preview()
    change(life, HOLDS["all"][0])
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    life.out.clock.advance(timedelta(days=2))
    await passes(life, "one", 3)
    assert "shop-pr-1" in life.out.argocd.apps


async def test_a_component_that_is_paused_holds_back_no_expiry() -> None:
    life = await preview()
    change(life, {"spec": {"components": {"dns": {"managementPolicies": []}}}})
    await life.expire("one")
    assert "shop-pr-1" not in life.out.argocd.apps


@pytest.mark.parametrize("how", HOLDS)
@pytest.mark.parametrize("readable", [True, False])
async def test_nothing_that_was_replaced_is_removed_while_the_project_holds_it_back(how: str, readable: bool) -> None:
    pause, resume, said = HOLDS[how]
    life = await preview()
    change(life, {"spec": {"previews": {"host": "{name}.preview.example.com"}}})
    life.out.clock.advance(timedelta(seconds=2))
    life.record("two", environment="pr-1", ttl="9h")
    await life.live("two")
    change(life, pause)
    change(life, {"spec": {"previews": {"max": 5 if readable else "many"}}})
    await life.turn("two")
    assert life.reason("two", "Suspended") == said
    assert [each for each in life.out.godaddy.zones["example.com"] if each.name == "shop-pr-1"] != []
    before = life.see("two")["metadata"]["resourceVersion"]
    await passes(life, "two", 3)
    assert life.see("two")["metadata"]["resourceVersion"] == before
    change(life, resume)
    await passes(life, "two", 20)
    assert [each for each in life.out.godaddy.zones["example.com"] if each.name == "shop-pr-1"] == []
    assert life.condition("two", "Suspended") is None
