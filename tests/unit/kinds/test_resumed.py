"""A pause takes no time from a deployment: what is waited for has its deadline anew when it goes on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, SECRET
from tests.unit.world import TEAM

from .life import Life
from .test_patience import at, pull_secret, with_pull_secret

HELD: list[Any] = [
    pytest.param(DEVOPS_PROJECT, {"spec": {"suspend": True}}, {"spec": {"suspend": False}}, id="suspended project"),
    pytest.param(DEVOPS_PROJECT, {"spec": {"mode": "Plan"}}, {"spec": {"mode": "Apply"}}, id="project in mode Plan"),
    pytest.param(
        DEPLOYMENT_RECORD,
        {"metadata": {"annotations": {"freeleaps.com/paused": "true"}}},
        {"metadata": {"annotations": {"freeleaps.com/paused": None}}},
        id="paused record",
    ),
]


async def at_build(**timeouts: timedelta) -> Life:
    life = Life(**timeouts)
    life.project()
    life.set_up()
    life.out.jenkins.build_time = timedelta(hours=2, minutes=10)
    life.record("one")
    for _ in range(100):
        if life.status("one").get("step") == "build" and life.out.jenkins.running():
            return life
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    raise AssertionError(f"no build: {life.status('one')}")


async def held_for(life: Life, kind: Any, hold: dict[str, Any], go_on: dict[str, Any], time: timedelta) -> None:
    name = "shop" if kind is DEVOPS_PROJECT else "one"
    life.out.kubernetes.change(kind, TEAM, name, hold)
    await life.turn("one")
    life.out.clock.advance(time)
    life.out.kubernetes.change(kind, TEAM, name, go_on)


@pytest.mark.parametrize(("kind", "hold", "go_on"), HELD)
async def test_a_build_that_runs_on_through_a_pause_has_its_time_anew(
    kind: Any, hold: dict[str, Any], go_on: dict[str, Any]
) -> None:
    life = await at_build(build_timeout=timedelta(minutes=30))
    await held_for(life, kind, hold, go_on, timedelta(hours=2))
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


@pytest.mark.parametrize(("kind", "hold", "go_on"), HELD)
async def test_a_build_that_has_succeeded_during_the_pause_counts(
    kind: Any, hold: dict[str, Any], go_on: dict[str, Any]
) -> None:
    life = await at_build(build_timeout=timedelta(minutes=30))
    await held_for(life, kind, hold, go_on, timedelta(hours=9))
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


async def test_a_build_that_is_too_slow_after_the_pause_is_so_after_all_of_its_time() -> None:
    life = await at_build(build_timeout=timedelta(minutes=30))
    life.out.jenkins.build_time = timedelta(days=1)
    kind, hold, go_on = HELD[0].values
    await held_for(life, kind, hold, go_on, timedelta(hours=2))
    resumed = life.out.clock.now()
    await life.live("one", most=2000)
    assert life.reason("one") == "True/BuildTimeout"
    assert timedelta(minutes=30) <= life.out.clock.now() - resumed < timedelta(minutes=35)


async def test_what_failed_before_the_pause_has_its_time_anew_too() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.out.line.fail("godaddy.*", ExternalServiceError("godaddy: 503", service="godaddy"), times=10_000)
    life.record("one", environment="pr-7")
    for _ in range(60):
        verdict = await life.turn("one")
        life.out.clock.advance(min(verdict.after or timedelta(seconds=1), timedelta(seconds=1)))
    kind, hold, go_on = HELD[0].values
    await held_for(life, kind, hold, go_on, timedelta(hours=1))
    life.out.line.faults.clear()
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


@pytest.mark.parametrize(("kind", "hold", "go_on"), HELD)
async def test_a_login_that_is_refused_before_and_after_the_pause_has_its_minute_anew(
    kind: Any, hold: dict[str, Any], go_on: dict[str, Any]
) -> None:
    life = await at_build(build_timeout=timedelta(hours=3))
    life.out.line.fail("jenkins.*", CredentialsError("jenkins: 401", status=401), times=10_000)
    await until_said(life, "CredentialsReady")
    await held_for(life, kind, hold, go_on, timedelta(hours=1))
    life.out.line.faults.clear()
    life.out.line.fail("jenkins.*", CredentialsError("jenkins: 401", status=401), times=1)
    await life.turn("one")
    assert since(life, "CredentialsReady") == life.out.clock.now().replace(microsecond=0)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


@pytest.mark.parametrize(("kind", "hold", "go_on"), HELD)
async def test_a_secret_that_is_absent_before_and_after_the_pause_has_its_minute_anew(
    kind: Any, hold: dict[str, Any], go_on: dict[str, Any]
) -> None:
    life = with_pull_secret()
    await at(life, "build")
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    await until_said(life, "CredentialsReady")
    await held_for(life, kind, hold, go_on, timedelta(hours=1))
    await life.turn("one")
    assert since(life, "CredentialsReady") == life.out.clock.now().replace(microsecond=0)
    pull_secret(life)
    await life.live("one", most=2000)
    assert life.reason("one") == "True/Succeeded"


async def until_said(life: Life, type: str) -> None:
    """Passes until there is such a condition."""
    for _ in range(2000):
        if life.condition("one", type) is not None:
            return
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    raise AssertionError(f"no {type}: {life.status('one')}")


def since(life: Life, type: str) -> datetime:
    said = life.condition("one", type)
    assert said is not None, f"no {type}: {life.status('one')}"
    return datetime.fromisoformat(said["lastTransitionTime"])
