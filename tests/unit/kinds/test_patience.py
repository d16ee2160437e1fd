"""A login that is refused for a moment, and one that stays refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.kinds.patience import ASK_AGAIN, PATIENCE
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, SECRET
from tests.unit.world import TEAM

from .life import Life


def refusing(status: int, times: int) -> Life:
    """A project that is set up, and a Jenkins that will refuse the trigger of a build so often."""
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    life.out.line.fail("jenkins.trigger", CredentialsError(f"jenkins: trigger: {status}", status=status), times=times)
    return life


async def test_a_login_that_is_refused_for_a_moment_ends_no_deployment_and_makes_one_build() -> None:
    life = refusing(401, times=2)
    for _ in range(200):
        verdict = await life.turn("one")
        said = life.condition("one", "VendorDegraded")
        if said is not None:
            break
        life.out.clock.advance(verdict.after or timedelta(0))
    assert said is not None
    assert said["reason"] == "CredentialsInvalid"
    assert "401" in said["message"]

    await life.live("one")

    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "VendorDegraded") is None
    assert len(life.out.jenkins.triggers) == 1


async def test_a_login_that_stays_refused_ends_the_deployment_after_a_minute() -> None:
    life = refusing(401, times=1000)
    before = life.out.clock.now()

    await life.live("one")

    assert life.reason("one") == "True/CredentialsInvalid"
    assert PATIENCE <= life.out.clock.now() - before < PATIENCE * 2
    assert [payload["result"] for payload in life.told("one") if payload["terminal"]] == ["Failed"]


async def test_a_missing_permission_ends_the_deployment_at_once() -> None:
    life = refusing(403, times=1000)
    before = life.out.clock.now()

    await life.live("one")

    assert life.reason("one") == "True/CredentialsInvalid"
    assert life.out.clock.now() - before < PATIENCE


UNREAD = CredentialsError("kubernetes: get jenkinssettings: 401", status=401)


def without_inputs() -> Life:
    """A deployment whose inputs are refused when they are next read."""
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    life.out.line.fail("kubernetes.get JenkinsSettings", UNREAD)
    return life


async def test_a_refusal_while_the_inputs_are_read_ends_no_deployment_either() -> None:
    life = without_inputs()

    verdict = await life.turn("one")

    said = life.condition("one", "VendorDegraded")
    assert said is not None
    assert (said["reason"], said["message"]) == ("CredentialsInvalid", "inputs: kubernetes: get jenkinssettings: 401")
    assert verdict.after is not None

    await life.live("one")

    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


def failing(life: Life, operation: str, status: int, times: int = 1) -> None:
    error = (
        CredentialsError(f"{operation}: 401", status=401)
        if status == 401
        else ExternalServiceError(f"{operation}: {status}", service=operation.partition(".")[0])
    )
    life.out.line.fail(operation, error, times=times)


async def live_for(life: Life, time: timedelta) -> None:
    """Passes until so much time has gone, and no longer than the record lives."""
    until = life.out.clock.now() + time
    while life.reason("one") is None and life.out.clock.now() < until:
        verdict = await life.turn("one")
        life.out.clock.advance(min(verdict.after or timedelta(seconds=1), timedelta(seconds=5)))


@pytest.mark.parametrize(("ill", "refuses"), [("jenkins.*", "jenkins.*"), ("godaddy.*", "argocd.*")])
async def test_a_login_that_is_refused_once_after_an_outage_ends_no_deployment(ill: str, refuses: str) -> None:
    life = Life()
    life.project()
    life.set_up()
    life.out.jenkins.build_time = timedelta(minutes=3)
    life.out.argocd.sync_time = timedelta(minutes=3)
    life.record("one", environment="pr-1")
    await at(life, "build" if ill == refuses else "sync")
    failing(life, ill, 503, times=10_000)
    await live_for(life, PATIENCE * 2)
    assert life.reason("one", "VendorDegraded") == "True/ExternalServiceError"
    life.out.line.faults.clear()
    failing(life, refuses, 401)
    await live_for(life, ASK_AGAIN)
    assert life.out.line.faults[0].times == 0
    await live_for(life, timedelta(hours=1))
    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "CredentialsReady") is None


@pytest.mark.parametrize("between", [None, "godaddy.*", "kubernetes.get Namespace", "kubernetes.get JenkinsSettings"])
async def test_a_login_that_stays_refused_ends_the_deployment_also_while_others_come_and_go(
    between: str | None,
) -> None:
    life = Life()
    life.project()
    life.set_up()
    life.out.argocd.sync_time = timedelta(minutes=30)
    life.record("one", environment="pr-1")
    await at(life, "sync")
    before = life.out.clock.now()
    for turn in range(100):
        if life.reason("one") is not None:
            break
        life.out.line.faults.clear()
        if between is not None and turn % 2:
            failing(life, between, 503, times=10_000)
        failing(life, "argocd.*", 401, times=10_000)
        await live_for(life, timedelta(seconds=15))
    assert life.reason("one") == "True/CredentialsInvalid"
    assert PATIENCE <= life.out.clock.now() - before < PATIENCE * 2
    assert life.reason("one", "CredentialsReady") == "False/CredentialsInvalid"


def with_pull_secret() -> Life:
    life = Life()
    pull_secret(life)
    life.project(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    life.out.jenkins.build_time = timedelta(minutes=20)
    life.record("one")
    return life


def pull_secret(life: Life, **changes: Any) -> None:
    life.out.secret("pull", {".dockerconfigjson": "{}"}, **{"type": "kubernetes.io/dockerconfigjson", **changes})


async def at(life: Life, step: str) -> None:
    for _ in range(2000):
        if life.status("one").get("step") == step:
            return
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    raise AssertionError(f"{step} is not reached: {life.status('one')}")


@pytest.mark.parametrize("step", ["build", "sync"])
async def test_a_secret_that_is_absent_for_a_moment_ends_no_deployment(step: str) -> None:
    life = with_pull_secret()
    life.out.argocd.sync_time = timedelta(minutes=1)
    await at(life, step)
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    await life.turn("one")
    pull_secret(life)
    life.out.clock.advance(ASK_AGAIN)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "CredentialsReady") is None


async def test_a_secret_that_stays_absent_ends_the_deployment_a_minute_after_its_step_is_reached() -> None:
    life = with_pull_secret()
    await at(life, "build")
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    await at(life, "secret-pull")
    assert life.status("one")["build"]["number"] == 1
    said = life.condition("one", "CredentialsReady")
    assert said is not None
    assert (said["status"], said["reason"]) == ("False", "SecretNotFound")
    await life.live("one")
    assert life.reason("one") == "True/SecretNotFound"
    assert PATIENCE <= life.out.clock.now() - datetime.fromisoformat(said["lastTransitionTime"]) < PATIENCE * 2


NEW = [
    pytest.param({}, id="production"),
    pytest.param({"environment": "pr-7"}, id="preview"),
    pytest.param({"rollbackTo": "zero"}, id="rollback"),
]


UNUSABLE: list[dict[str, Any]] = [{"labels": {}}, {"type": "Opaque"}]


async def not_begun(spec: dict[str, Any], unusable: dict[str, Any] | None = None) -> Life:
    """A record that has only just arrived; the Secret that it needs is absent, or `unusable` by this."""
    life = with_pull_secret()
    life.out.kubernetes.remove(DEPLOYMENT_RECORD, TEAM, "one")
    if "rollbackTo" in spec:
        life.record("zero")
        await life.live("zero", most=2000)
        life.out.clock.advance(timedelta(seconds=2))
    life.record("one", **spec)
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    if unusable is not None:
        pull_secret(life, **unusable)
    return life


@pytest.mark.parametrize("unusable", [None, *UNUSABLE], ids=["absent", "unlabelled", "of another type"])
@pytest.mark.parametrize("spec", NEW)
async def test_one_that_has_begun_nothing_does_not_begin_without_a_secret(
    spec: dict[str, Any], unusable: dict[str, Any] | None
) -> None:
    life = await not_begun(spec, unusable)
    before, builds = life.out.clock.now(), len(life.out.jenkins.triggers)
    holder = life.holder(spec.get("environment", "production"))
    await life.turn("one")
    said = life.condition("one", "CredentialsReady")
    assert said is not None
    assert (said["status"], said["reason"]) == ("False", "SecretNotFound")
    assert "secret-pull: Secret team-a/pull " in said["message"]
    assert life.reason("one", "Ready") == "Unknown/SecretNotFound"
    assert life.told("one")[-1]["state"] == "Waiting"
    await life.live("one")
    assert life.reason("one") == "True/SecretNotFound"
    assert PATIENCE <= life.out.clock.now() - before < PATIENCE * 2
    assert len(life.out.jenkins.triggers) == builds
    assert life.holder(spec.get("environment", "production")) == holder
    assert life.status("one").get("applied", []) == []
    assert [payload["result"] for payload in life.told("one") if payload["terminal"]] == ["Failed"]
    assert sum(payload["state"] == "Waiting" for payload in life.told("one")) == 1


@pytest.mark.parametrize("spec", NEW)
async def test_one_that_has_begun_nothing_begins_when_the_secret_comes(spec: dict[str, Any]) -> None:
    life = await not_begun(spec)
    await life.turn("one")
    life.out.clock.advance(PATIENCE - ASK_AGAIN)
    pull_secret(life)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "CredentialsReady") is None


async def test_the_time_of_a_pause_is_none_of_that_minute() -> None:
    life = await not_begun({})
    await life.turn("one")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Plan"}})
    await life.turn("one")
    life.out.clock.advance(timedelta(hours=1))
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Apply"}})
    await life.turn("one")
    assert life.reason("one", "CredentialsReady") == "False/SecretNotFound"
    pull_secret(life)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


def jenkins_is_set_up(life: Life, status: str) -> None:
    conditions = life.status("shop", "DevOpsProject")["conditions"]
    for each in conditions:
        if each["type"] == "JenkinsReady":
            each.update(status=status, lastTransitionTime=life.out.clock.now().isoformat())
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": conditions}})


async def test_the_wait_for_the_projects_parts_is_none_of_that_minute() -> None:
    life = await not_begun({})
    await life.turn("one")
    jenkins_is_set_up(life, "False")
    pull_secret(life)
    await life.turn("one")
    assert life.condition("one", "CredentialsReady") is None
    life.out.clock.advance(timedelta(minutes=5))
    jenkins_is_set_up(life, "True")
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    await life.turn("one")
    assert life.reason("one", "CredentialsReady") == "False/SecretNotFound"
    pull_secret(life)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


async def test_nor_is_it_of_the_minute_for_a_refused_login() -> None:
    life = without_inputs()
    await life.turn("one")
    assert life.reason("one", "VendorDegraded") == "True/CredentialsInvalid"
    jenkins_is_set_up(life, "False")
    await life.turn("one")
    assert life.condition("one", "VendorDegraded") is None
    life.out.clock.advance(timedelta(minutes=5))
    jenkins_is_set_up(life, "True")
    life.out.line.fail("kubernetes.get JenkinsSettings", UNREAD)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


async def test_one_that_fails_of_something_else_says_no_more_of_the_secret() -> None:
    life = await not_begun({})
    await life.turn("one")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"git": {"url": "https://elsewhere.org/x.git"}}})
    await life.live("one")
    assert life.reason("one") == "True/InvalidSpec"
    assert life.condition("one", "CredentialsReady") is None


@pytest.mark.parametrize("end", ["Cancelled", "Superseded"])
async def test_what_is_stopped_while_it_waits_for_a_secret_says_no_more_of_it(end: str) -> None:
    life = with_pull_secret()
    await at(life, "build")
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    await at(life, "secret-pull")
    assert life.reason("one", "CredentialsReady") == "False/SecretNotFound"
    if end == "Cancelled":
        life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"cancel": True}})
    else:
        life.out.clock.advance(timedelta(seconds=2))
        life.record("two", concurrencyPolicy="Replace")
    await life.live("one")
    assert life.reason("one") == f"True/{end}"
    assert life.condition("one", "CredentialsReady") is None
