"""A record that is to stop, while what runs for it cannot be stopped, ends all the same: others get their turn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life

SECOND = timedelta(seconds=1)
JENKINS_IS_AWAY = ExternalServiceError("jenkins: 503", service="jenkins")
ALWAYS = 10**6


async def at_build(life: Life, name: str, **spec: Any) -> None:
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record(name, **spec)
    for _ in range(4):
        verdict = await life.turn(name)
        life.out.clock.advance(verdict.after or SECOND)
    assert life.status(name)["step"] == "build"


async def at_sync(life: Life, name: str) -> None:
    life.out.argocd.sync_time = timedelta(minutes=10)
    life.record(name)
    while not life.out.argocd.syncs:
        verdict = await life.turn(name)
        life.out.clock.advance(verdict.after or SECOND)


def ready() -> Life:
    life = Life()
    life.project()
    life.set_up()
    return life


def cancel(life: Life, name: str) -> None:
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"spec": {"cancel": True}})


def message(life: Life, name: str, type: str) -> str:
    found = life.condition(name, type)
    assert found is not None
    return str(found["message"])


async def test_a_cancelled_record_ends_though_jenkins_is_away_and_says_what_could_not_be_stopped() -> None:
    life = ready()
    await at_build(life, "one")
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=ALWAYS)
    cancel(life, "one")
    began = life.out.clock.now()
    await life.turn("one")
    assert message(life, "one", "Ready") == "being stopped: build: jenkins: 503"
    assert life.reason("one", "Reconciling") == "True/ProgressingWithRetry"
    await life.live("one")
    limit = life.out.world.settings.cleanup_timeout
    assert limit - SECOND < life.out.clock.now() - began < limit + 2 * SECOND  # what is saved has whole seconds
    text = "cancelled on request; not stopped within 300 s: build: jenkins: 503"
    assert (life.reason("one"), message(life, "one", "Finished")) == ("True/Cancelled", text)
    assert [told["result"] for told in life.told("one") if told["terminal"]] == ["Cancelled"]


async def test_what_could_not_be_stopped_is_stopped_when_the_record_goes() -> None:
    life = ready()
    await at_build(life, "one")
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=ALWAYS)
    cancel(life, "one")
    await life.live("one")
    assert life.out.jenkins.running() != []
    life.out.line.faults.clear()
    await life.delete("one")
    assert life.out.jenkins.running() == []


async def test_a_jenkins_that_returns_in_time_is_asked_to_stop_the_build() -> None:
    life = ready()
    await at_build(life, "one")
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=3)
    cancel(life, "one")
    await life.live("one")
    assert life.out.jenkins.running() == []
    assert message(life, "one", "Finished") == "cancelled on request"


async def test_a_rollback_overtakes_a_build_that_cannot_be_stopped() -> None:
    life = ready()
    for name in ("good", "better"):
        life.record(name)
        await life.live(name)
        life.out.clock.advance(5 * SECOND)
    await at_build(life, "bad")
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=ALWAYS)
    life.out.clock.advance(5 * SECOND)
    life.record("back", rollbackTo="lastHealthy", concurrencyPolicy="Replace")
    await life.live("bad")
    await life.live("back")
    assert (life.reason("bad"), life.reason("back")) == ("True/Superseded", "True/Succeeded")


@pytest.mark.parametrize(
    "error", [CredentialsError("argocd: 401", status=401), ExternalServiceError("argocd: 503", service="argocd")]
)
async def test_a_sync_that_cannot_be_stopped_is_a_condition_and_then_an_end(error: Exception) -> None:
    life = ready()
    await at_sync(life, "one")
    life.out.line.fail("argocd.*", error, times=ALWAYS)
    cancel(life, "one")
    verdict = await life.turn("one")
    assert verdict.after == life.out.world.settings.retry_external_delay
    assert message(life, "one", "Ready") == f"being stopped: sync: {error}"
    await life.live("one")
    assert message(life, "one", "Finished") == f"cancelled on request; not stopped within 300 s: sync: {error}"


async def test_a_record_that_goes_on_after_all_has_its_whole_time_at_the_next_stop() -> None:
    life = ready()
    await at_build(life, "one")
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=ALWAYS)
    life.out.clock.advance(5 * SECOND)
    life.record("back", concurrencyPolicy="Replace")
    await life.turn("one")
    assert "stoppingSince" in life.status("one")
    await life.delete("back")
    life.out.line.faults.clear()
    for _ in range(20):
        await life.turn("one")
        life.out.clock.advance(20 * SECOND)
    assert life.status("one").get("stoppingSince") is None
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY)
    cancel(life, "one")
    await life.live("one")
    assert life.out.jenkins.running() == []
    assert message(life, "one", "Finished") == "cancelled on request"


# A record that is deleted before it has ended


def counted(life: Life) -> list[str]:
    """The ends of deployments that the host hears of, and counts."""
    news = [item for verdict in life.verdicts for item in verdict.transitions]
    return [item.reason for item in news if (item.type, item.status) == ("Finished", "True")]


async def test_a_record_that_is_deleted_in_the_queue_ends_as_cancelled_and_is_counted_once() -> None:
    life = ready()
    await at_build(life, "one")
    life.record("two")
    await life.turn("two")
    assert message(life, "two", "Ready") == "in the queue behind one"
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "two")
    await life.turn("two")
    assert [life.reason("two", type) for type in ("Finished", "Stalled", "Ready", "Reconciling")] == [
        "True/Cancelled",
        "True/Cancelled",
        "False/Cancelled",
        None,
    ]
    assert message(life, "two", "Ready") == "deleted while it was under way"
    assert (await life.turn("two")).released
    assert counted(life) == ["Cancelled"]


async def test_a_record_that_is_deleted_at_work_is_counted_once_though_its_clean_up_fails_at_first() -> None:
    life = ready()
    await at_build(life, "one")
    life.out.line.fail("kubernetes.get DevOpsProject", ExternalServiceError("503", service="kubernetes"), times=2)
    life.out.line.fail("jenkins.*", JENKINS_IS_AWAY, times=2)
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")
    await life.turn("one")
    assert {life.reason("one", type) for type in ("Finished", "Stalled")} == {"True/Cancelled"}
    assert life.reason("one", "BuildSucceeded") == "False/Cancelled"
    await life.live("one")
    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one") is None
    assert life.out.jenkins.running() == []
    assert {fault.times for fault in life.out.line.faults} == {0}, "each of them was met"
    assert counted(life) == ["Cancelled"]


# A sync that does not end by itself


def uid(life: Life, name: str, value: str) -> None:
    """As the API server gives them."""
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"metadata": {"uid": value}})


async def with_an_endless_sync() -> Life:
    """A deployment whose sync does not end: it waits for a hook."""
    life = ready()
    life.out.argocd.sync_time = timedelta(days=30)
    life.record("one")
    uid(life, "one", "5f0c9c0e-7d0b-4b60-9a55-0d6f3b3c1a11")
    return life


async def deploy_the_next(life: Life) -> None:
    life.out.argocd.sync_time = timedelta(0)
    life.record("two")
    await life.live("two", most=500)


async def test_a_sync_that_does_not_end_is_stopped_with_its_deployment() -> None:
    life = await with_an_endless_sync()
    await life.live("one", most=500)
    assert life.reason("one") == "True/SyncFailed"
    assert message(life, "one", "Finished") == "sync: not done after 900 s: sync of shop: Running"
    assert life.out.argocd.app("shop")["status"]["operationState"]["message"] == "Operation terminated"
    await deploy_the_next(life)
    assert life.reason("two") == "True/Succeeded"


@pytest.mark.parametrize("error", [RuntimeError("oops"), ExternalServiceError("argocd: 503", service="argocd")])
async def test_a_sync_that_could_not_be_stopped_with_its_deployment_is_stopped_by_the_next_one(
    error: Exception,
) -> None:
    life = await with_an_endless_sync()
    life.out.line.fail("argocd.terminate_operation*", error)
    await life.live("one", most=500)
    assert life.reason("one") == "True/SyncFailed"
    assert "; its operation could not be stopped: " in message(life, "one", "Finished")
    assert any(result.error is error for verdict in life.verdicts for result in verdict.results), "it is logged"
    assert life.out.argocd.app("shop").get("operation"), "it runs on"
    await deploy_the_next(life)
    assert life.reason("two") == "True/Succeeded"
    assert life.out.line.count("argocd.terminate_operation*") == 2


async def test_a_deployment_in_the_way_of_which_is_somebody_elses_operation_says_so() -> None:
    life = ready()
    life.record("one")
    await life.live("one")
    life.out.argocd.sync_time = timedelta(days=30)
    await life.out.argocd.sync("shop", life.out.argocd.app("shop")["spec"]["project"], infos={"why": "by hand"})
    life.record("two")
    await life.live("two", most=500)
    assert life.reason("two") == "True/SyncFailed"
    said = message(life, "two", "Finished")
    assert said == "sync: not done after 900 s: another operation is already in progress"
    assert life.out.argocd.app("shop").get("operation"), "it runs on"


@pytest.mark.parametrize("auto_sync", [True, False])
async def test_an_automated_sync_that_does_not_end_does_not_hold_up_the_deployment_with_the_fix(
    auto_sync: bool,
) -> None:
    life = Life()
    life.project(argo={"autoSync": True})
    life.set_up()
    for name, commit in (("good", "a" * 40), ("bad", "b" * 40)):
        life.out.git.commit(GIT_URL, "main", commit)
        life.record(name)
        if name == "bad":
            while commit != life.out.argocd.apps["shop"]["spec"]["source"]["targetRevision"]:
                verdict = await life.turn(name)
                life.out.clock.advance(verdict.after or SECOND)
            life.out.argocd.sync_time = timedelta(days=30)  # Argo CD was faster, and the hook of this commit never ends
            life.out.argocd.sync_by_itself("shop")
        await life.live(name, most=500)
        life.out.clock.advance(5 * SECOND)
    assert message(life, "bad", "Finished") == "sync: not done after 900 s: another operation is already in progress"
    if not auto_sync:
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"autoSync": False}}})
    life.out.git.commit(GIT_URL, "main", "c" * 40)
    await deploy_the_next(life)
    assert life.reason("two") == "True/Succeeded"
    assert life.out.argocd.apps["shop"]["status"]["operationState"]["operation"]["info"], "it is ours"
