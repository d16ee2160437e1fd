"""Time in which nobody looked, or the registry was away, ends no deployment that went well."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life

SECOND = timedelta(seconds=1)
GAP = timedelta(minutes=20)


async def at_health(life: Life, name: str) -> None:
    """Argo CD has synced, and the application gets healthy."""
    life.out.argocd.health = "Progressing"
    life.record(name)
    while life.status(name).get("step") != "health":
        verdict = await life.turn(name)
        life.out.clock.advance(min(verdict.after or SECOND, SECOND))


def suspend(life: Life, suspended: bool) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": suspended}})


@pytest.mark.parametrize("paused", [True, False], ids=["suspended", "no operator"])
async def test_an_application_that_got_healthy_in_a_gap_ends_well(paused: bool) -> None:
    life = Life()
    life.project()
    life.set_up()
    assert life.out.world.settings.sync_timeout < GAP
    await at_health(life, "one")
    if paused:
        suspend(life, True)
        await life.turn("one")
        assert life.reason("one", "Ready") == "Unknown/Paused"
    life.out.argocd.health = "Healthy"
    life.out.argocd.judge("shop")
    life.out.clock.advance(GAP)
    if paused:
        suspend(life, False)
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


async def test_one_that_does_not_stay_healthy_after_the_gap_has_had_its_time() -> None:
    life = Life()
    life.project()
    life.set_up()
    await at_health(life, "one")
    life.out.argocd.health = "Healthy"
    life.out.argocd.judge("shop")
    life.out.clock.advance(GAP)
    await life.turn("one")
    assert life.reason("one") is None
    life.out.argocd.health = "Degraded"
    life.out.argocd.judge("shop")
    await life.live("one")
    assert life.reason("one") == "True/HealthTimeout"


def without_registry() -> Life:
    """A deployment begins, and the registry is away."""
    life = Life()
    life.project()
    life.set_up()
    life.out.line.fail("registry.digest", ExternalServiceError("registry: 503", service="registry"), times=10_000)
    life.record("one")
    return life


async def test_a_build_that_went_well_waits_for_a_registry_that_is_away() -> None:
    life = without_registry()
    began = life.out.clock.now()
    while life.out.clock.now() - began < GAP:
        await life.turn("one")
        life.out.clock.advance(10 * SECOND)
    assert life.status("one")["step"] == "image"
    life.out.line.faults.clear()
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


async def test_a_registry_that_stays_away_fails_the_deployment_and_is_named() -> None:
    life = without_registry()
    await life.live("one", most=4000)
    assert life.reason("one") == "True/ExternalServiceError"
    assert "registry: 503" in str(life.status("one"))
