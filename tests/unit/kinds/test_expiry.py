"""The end of a preview: when it comes, what it takes along, and what it leaves to others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.resources.environment import find
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, NAMESPACE
from tests.unit.world import TEAM

from .life import Life
from .test_stopping import at_build


async def preview(**spec: str) -> Life:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", **spec)
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    return life


async def test_a_service_that_is_down_delays_the_clean_up_and_loses_nothing() -> None:
    life = await preview(ttl="1h")
    down = ExternalServiceError("godaddy: time-out", service="godaddy")
    life.out.line.fail("godaddy.*", down, times=5)
    await life.expire("one")
    assert [r for r in life.out.godaddy.zones["example.com"] if "pr-7" in r.name] == []
    assert life.holder("pr-7") is None


@pytest.mark.parametrize("service", ["godaddy", "argocd", "kubernetes", "dockerhub", "registry", "dns", "jenkins"])
@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_fault_at_any_call_of_the_clean_up_leaves_nothing_behind(service: str, after_effect: bool) -> None:
    for skip in range(12):
        life = await preview(ttl="1h")
        calls = 0

        def fault(name: str, life: Life = life, skip: int = skip) -> None:
            nonlocal calls
            if name.startswith(f"{service}.") and "status" not in name:
                calls += 1
                if calls == skip + 1:
                    error = ExternalServiceError(f"{service}: time-out", service=service)
                    life.out.line.fail(name, error, after_effect=after_effect)

        life.out.line.before = fault
        await _expire_with_errors(life)
        assert "shop-pr-7" not in life.out.argocd.apps
        assert life.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is None
        assert [r for r in life.out.godaddy.zones["example.com"] if "pr-7" in r.name] == []
        assert life.out.hub.held["acme/shop"].tags == {}
        assert life.holder("pr-7") is None


async def _expire_with_errors(life: Life) -> None:
    life.out.clock.advance(timedelta(days=2))
    for _ in range(60):
        try:
            verdict = await life.turn("one")
        except ExternalServiceError:
            life.out.clock.advance(timedelta(seconds=30))
            continue
        if life.reason("one", "CleanupVerified") == "True/CleanupVerified":
            return
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    raise AssertionError(f"not cleaned up: {life.status('one')}")


async def test_an_image_that_production_runs_by_rollback_is_kept() -> None:
    life = await preview(ttl="1h")
    image = life.status("one")["image"]
    life.record("two", rollbackTo="one")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"
    await life.expire("one")
    assert image.partition("@")[2] in life.out.hub.held["acme/shop"].tags.values()


async def test_the_news_of_the_expiry_continue_the_sequence_after_the_terminal_heartbeat() -> None:
    life = await preview(ttl="1h")
    before = life.told("one")
    await life.expire("one")
    told = life.told("one")
    assert [p["sequence"] for p in told] == list(range(1, len(told) + 1))
    news = told[len(before) :]
    assert news
    assert {(p["step"], p["terminal"], p["result"]) for p in news} == {("expiry", False, None)}


async def test_that_its_time_is_over_is_told_before_any_service_is_asked() -> None:
    life = await preview(ttl="1h")
    await life.turn("one")
    life.out.clock.advance(timedelta(hours=2))
    asked: list[str] = []
    life.out.line.before = asked.append
    await life.turn("one")
    assert [name for name in asked if not name.startswith("kubernetes.")] == []
    assert life.reason("one", "Expired") == "True/Expired"
    assert life.told("one")[-1]["message"] == "expired; being cleaned up"


async def test_waiting_for_what_is_on_its_way_out_writes_nothing() -> None:
    life = await preview(ttl="1h")
    await life.turn("one")  # what was told at its end is cleared
    life.out.kubernetes.slow_namespaces = True
    life.out.clock.advance(timedelta(hours=2))
    await life.turn("one")
    await life.turn("one")
    writes = len(life.out.kubernetes.writes)
    for _ in range(5):
        life.out.clock.advance(timedelta(seconds=1))
        await life.turn("one")
    assert life.out.kubernetes.writes[writes:] == []
    life.out.kubernetes.finish_namespace("shop-pr-7")
    await life.expire("one")
    await life.turn("one")
    assert life.status("one")["heartbeat"].get("outbox") == []


@pytest.mark.parametrize(
    ("spec", "hours"), [({}, 24), ({"ttl": "2h"}, 2), ({"ttl": "2h", "expiresAt": "2026-01-01T06:00:00Z"}, 6)]
)
async def test_the_time_to_live_counts_from_the_end_unless_a_moment_is_named(spec: dict[str, str], hours: int) -> None:
    life = await preview(**spec)
    status = life.status("one")
    expected = "2026-01-01T06:00:00Z" if "expiresAt" in spec else None
    if expected is None:
        finished = _moment(status["finishedAt"])
        assert _moment(status["expiresAt"]) - finished == timedelta(hours=hours)
    else:
        assert status["expiresAt"] == expected


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("moment", ["2026-01-03T00:00:00Z", "2026-01-01T00:30:00Z"])
async def test_the_end_can_be_moved_after_the_deployment_in_both_directions(moment: str) -> None:
    life = await preview(ttl="1h")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"expiresAt": moment}})
    verdict = await life.turn("one")
    assert life.status("one")["expiresAt"] == moment
    assert life.status("one")["observedGeneration"] == 2
    assert verdict.after is not None
    assert verdict.after <= _moment(moment) - life.out.clock.now()
    assert len([p for p in life.told("one") if p["terminal"]]) == 1


def _observed(life: Life) -> set[int]:
    """The generations that the status and each condition are about."""
    status = life.status("one")
    return {status["observedGeneration"], *(each["observedGeneration"] for each in status["conditions"])}


@pytest.mark.parametrize("spec", [{"expiresAt": "2026-01-03T00:00:00Z"}, {"ttl": "5h"}, {"cancel": True}])
async def test_who_waits_for_a_condition_after_a_change_of_an_ended_deployment_has_it(spec: dict[str, Any]) -> None:
    """`kubectl wait` passes over conditions of an older generation."""
    life = await preview(ttl="1h")
    before = {each["type"]: {**each, "observedGeneration": 2} for each in life.status("one")["conditions"]}
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": spec})
    verdict = await life.turn("one")
    assert _observed(life) == {2}
    assert {each["type"]: each for each in life.status("one")["conditions"]} == before
    assert verdict.transitions == []


async def test_who_waits_for_a_condition_after_a_change_of_an_expired_preview_has_it() -> None:
    life = await preview(ttl="1h")
    await life.expire("one")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"ttl": "900h"}})
    verdict = await life.turn("one")
    assert _observed(life) == {2}
    assert verdict.transitions == []


async def test_what_a_deployment_had_come_to_before_it_was_cancelled_is_of_its_last_generation() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7")
    while life.reason("one", "BuildSucceeded") != "True/Succeeded":
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(0))
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"cancel": True}})
    await life.live("one")
    assert life.reason("one", "BuildSucceeded") == "True/Succeeded"
    assert _observed(life) == {2}


async def test_a_record_that_no_longer_holds_the_environment_takes_nothing_shared_down() -> None:
    life = await preview(ttl="1h")
    life.record("two", environment="pr-7", ttl="900h")
    await life.live("two")
    assert life.holder("pr-7") == "two"
    life.out.clock.advance(timedelta(hours=2))
    for _ in range(10):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(0))
    assert life.reason("one", "CleanupVerified") == "True/CleanupVerified"
    assert "shop-pr-7" in life.out.argocd.apps
    assert life.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is not None
    assert life.holder("pr-7") == "two"
    assert [r for r in life.out.godaddy.zones["example.com"] if "pr-7" in r.name]
    assert len(life.out.hub.held["acme/shop"].tags) == 1


async def test_the_project_says_when_a_preview_goes_away() -> None:
    life = await preview(ttl="1h")
    await life.turn("one")
    held = find(life.see("shop", "DevOpsProject"), "pr-7")
    assert held is not None
    assert held["expiresAt"] == life.status("one")["expiresAt"]
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"expiresAt": "2026-02-01T00:00:00Z"}})
    await life.turn("one")
    held = find(life.see("shop", "DevOpsProject"), "pr-7")
    assert held is not None
    assert held["expiresAt"] == "2026-02-01T00:00:00Z"


async def test_a_project_that_changes_while_the_expiry_is_announced_is_looked_at_again_soon() -> None:
    life = await preview(ttl="1h")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"expiresAt": "2026-02-01T00:00:00Z"}})

    def touch(name: str) -> None:
        if name == "kubernetes.patch_status DevOpsProject":
            life.out.line.before = None
            life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"metadata": {"labels": {"touched": "x"}}})

    life.out.line.before = touch
    verdict = await life.turn("one")
    assert verdict.after is not None
    assert verdict.after <= timedelta(seconds=5)
    await life.turn("one")
    held = find(life.see("shop", "DevOpsProject"), "pr-7")
    assert held is not None
    assert held["expiresAt"] == "2026-02-01T00:00:00Z"


async def test_announcing_the_expiry_never_takes_the_environment_back_from_its_new_holder() -> None:
    life = await preview(ttl="1h")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"expiresAt": "2026-02-01T00:00:00Z"}})
    reads = 0

    def take(name: str) -> None:
        nonlocal reads
        reads += name == "kubernetes.get DevOpsProject"
        if reads == 2:
            life.out.line.before = None
            theirs = {"name": "pr-7", "holder": "two"}
            life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"environments": [theirs]}})

    life.out.line.before = take
    await life.turn("one")
    assert life.holder("pr-7") == "two"


async def test_a_preview_whose_project_has_lost_its_memory_of_it_is_removed_all_the_same() -> None:
    life = await live_preview()
    before = life.see("shop", "DevOpsProject")
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, {**before, "status": {"observedGeneration": -1}})
    await life.expire("one")
    nothing_is_left(life)


async def test_nor_does_a_project_that_was_made_anew_keep_what_is_left_of_the_one_before() -> None:
    life = await live_preview()
    before = life.see("shop", "DevOpsProject")
    anew = {**before, "metadata": {**before["metadata"], "uid": "uid-of-another"}}
    entry = {"name": "pr-7", "holder": "one-of-another"}
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, {**anew, "status": {"environments": [entry]}})
    await life.expire("one")
    nothing_is_left(life)


async def test_what_a_later_deployment_has_put_there_stays_where_the_project_has_lost_its_memory() -> None:
    life = await live_preview()
    life.out.clock.advance(timedelta(seconds=5))
    life.record("two", environment="pr-7", ttl="5000h")
    await life.live("two")
    before = life.see("shop", "DevOpsProject")
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, {**before, "status": {"observedGeneration": -1}})
    life.out.clock.advance(timedelta(hours=2))
    for _ in range(20):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    assert life.reason("one", "CleanupVerified") == "True/CleanupVerified"
    assert "shop-pr-7" in life.out.argocd.apps


async def live_preview() -> Life:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", ttl="1h")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    return life


def nothing_is_left(life: Life) -> None:
    assert "shop-pr-7" not in life.out.argocd.apps
    assert not [record for record in life.out.godaddy.zones["example.com"] if "pr-7" in record.name]


@pytest.mark.parametrize("change", [{"previews": {"ttl": "9999d"}}, {"deletionPolicy": "OfTomorrow"}])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_deployment_ends_also_where_its_project_cannot_be_read(change: dict[str, Any], cancelled: bool) -> None:
    life = Life()
    life.project(previews={"ttl": "2h"})
    life.set_up()
    await at_build(life, "one", environment="pr-7")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": change})
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"cancel": cancelled}})
    await life.live("one")
    assert life.reason("one") == ("True/Cancelled" if cancelled else "True/InvalidSpec")
    assert [payload["terminal"] for payload in life.told("one")].count(True) == 1
    status = life.status("one")
    lives = datetime.fromisoformat(status["expiresAt"]) - datetime.fromisoformat(status["finishedAt"])
    assert lives == timedelta(hours=24 if "previews" in change else 2), "what can be read of it counts"


async def test_a_record_that_cannot_be_read_ends_and_holds_up_no_other() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", ttl="9999d")
    life.out.clock.advance(timedelta(seconds=2))
    life.record("two", environment="pr-7", ttl="1h")
    await life.turn("one")
    await life.turn("one")
    assert (life.reason("one"), life.reason("one", "Stalled")) == ("True/InvalidSpec", "True/InvalidSpec")
    told = [(payload["terminal"], payload["result"], payload["reason"]) for payload in life.told("one")]
    assert told == [(True, "Failed", "InvalidSpec")]
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"


async def test_a_record_that_cannot_be_read_any_more_is_no_failure_once_it_has_begun() -> None:
    life = Life()
    life.project()
    life.set_up()
    await at_build(life, "one", environment="pr-7", ttl="1h")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"ttl": "9999d"}})
    await life.turn("one")
    assert (life.reason("one"), life.reason("one", "Stalled")) == (None, "True/InvalidSpec")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"ttl": "2h"}})
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


async def test_a_record_that_has_begun_and_cannot_be_read_any_more_can_be_cancelled() -> None:
    life = Life()
    life.project()
    life.set_up()
    await at_build(life, "one", environment="pr-7", ttl="1h")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"ttl": "9999d", "cancel": True}})
    await life.live("one")
    assert life.reason("one") == "True/Cancelled"
    assert life.out.jenkins.running() == []


async def test_a_paused_record_that_cannot_be_read_is_kept_for_its_correction() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", ttl="9999d")
    life.out.kubernetes.change(
        DEPLOYMENT_RECORD, TEAM, "one", {"metadata": {"annotations": {"freeleaps.com/paused": "true"}}}
    )
    await life.turn("one")
    assert life.reason("one") is None
