"""Several records of one environment: their turns, the quota of previews, and the way back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from tests.unit.world import TEAM

from .life import COMMIT, Life

SECOND = timedelta(seconds=1)


def ready(**changes: Any) -> Life:
    life = Life(**changes)
    life.project()
    life.set_up()
    return life


def cancel(life: Life, name: str) -> None:
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"spec": {"cancel": True}})


def terminal(life: Life, name: str) -> list[str]:
    told = life.told(name)
    assert [p["sequence"] for p in told] == list(range(1, len(told) + 1))
    return [p["result"] for p in told if p["terminal"]]


# Turns


async def test_a_queued_record_waits_for_the_one_before_it() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=1)
    life.record("one")
    life.out.clock.advance(SECOND)
    life.record("two")
    await life.turn("one")
    await life.turn("two")
    assert life.reason("two", "Ready") == "Unknown/Progressing"
    assert len(life.out.jenkins.triggers) == 1
    await life.live("one")
    await life.live("two")
    assert (terminal(life, "one"), terminal(life, "two")) == (["Succeeded"], ["Succeeded"])
    assert life.holder() == "two"


async def test_a_replacing_record_supersedes_the_older_one_and_its_build_is_stopped() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=1)
    life.record("one")
    for _ in range(3):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    assert len(life.out.jenkins.running()) == 1
    life.record("two", concurrencyPolicy="Replace")
    await life.live("one")
    assert life.reason("one") == "True/Superseded"
    assert terminal(life, "one") == ["Superseded"]
    assert life.out.jenkins.stopped == [1]
    await life.live("two")
    assert life.holder() == "two"


async def test_a_forbidding_record_fails_and_leaves_the_other_alone() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=1)
    life.record("one")
    await life.turn("one")
    life.out.clock.advance(SECOND)
    life.record("two", concurrencyPolicy="Forbid")
    await life.live("two")
    assert life.reason("two") == "True/ConcurrencyForbidden"
    assert terminal(life, "two") == ["Failed"]
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_previews_beyond_the_quota_fail_and_evict_nobody() -> None:
    life = Life()
    life.project(previews={"max": 1})
    life.set_up()
    life.record("one", environment="a")
    await life.live("one")
    life.out.clock.advance(SECOND)
    life.record("two", environment="b")
    await life.live("two")
    assert life.reason("two") == "True/QuotaExceeded"
    assert life.holder("a") == "one"
    assert len(life.out.jenkins.triggers) == 1
    life.record("three", environment="a")
    await life.live("three")
    assert life.reason("three") == "True/Succeeded"


# Roll back


async def test_last_healthy_after_a_bad_release_is_the_one_that_was_healthy_before_it() -> None:
    life = ready()
    life.record("good")
    await life.live("good")
    good = life.status("good")["image"]
    life.out.clock.advance(SECOND)
    life.out.argocd.health = "Degraded"
    life.out.git.commit("https://git.example.com/shop.git", "main", "f" * 40)
    life.record("bad")
    await life.live("bad", most=2000)
    assert life.reason("bad") == "True/HealthTimeout"
    assert life.holder() == "bad"
    life.out.argocd.health = "Healthy"
    life.out.clock.advance(SECOND)
    life.record("back", rollbackTo="lastHealthy")
    await life.live("back")
    assert life.reason("back") == "True/Succeeded"
    assert life.status("back")["image"] == good
    assert life.status("back")["commit"] == COMMIT


async def test_last_healthy_after_a_good_release_is_the_one_before_it() -> None:
    life = ready()
    life.record("first")
    await life.live("first")
    life.out.clock.advance(SECOND)
    life.out.git.commit("https://git.example.com/shop.git", "main", "f" * 40)
    life.record("second")
    await life.live("second")
    life.out.clock.advance(SECOND)
    life.record("back", rollbackTo="lastHealthy")
    await life.live("back")
    assert life.status("back")["image"] == life.status("first")["image"]
    assert len(life.out.jenkins.triggers) == 2


async def test_a_rollback_without_an_earlier_deployment_says_so() -> None:
    life = ready()
    life.record("back", rollbackTo="lastHealthy")
    await life.live("back")
    assert life.reason("back") == "True/InvalidSpec"
    assert terminal(life, "back") == ["Failed"]
