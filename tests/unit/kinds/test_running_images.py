"""The image that an environment runs stays, also where its holder is a deployment that has failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, REGISTRY_SETTINGS
from tests.unit.world import GIT_URL, TEAM

from .life import Life

KINDS = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
DELETE: dict[str, Any] = {"components": {"registry": {"deletionPolicy": "Delete"}}}


def running(**spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    return life


async def polls(life: Life, count: int = 3) -> None:
    for _ in range(count):
        for kind in KINDS:
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(minutes=5))


async def deploy(life: Life, name: str, health: str = "Healthy", **spec: Any) -> str | None:
    life.out.argocd.health = health
    life.out.clock.advance(timedelta(seconds=5))
    if "rollbackTo" not in spec:
        life.out.git.commit(GIT_URL, "main", f"{len(life.out.jenkins.triggers) + 1:040x}")
    life.record(name, **spec)
    await life.live(name, most=4000)
    return life.reason(name)


def tags(life: Life) -> set[str]:
    return set(life.out.hub.held["acme/shop"].tags.values())


def digest(life: Life, name: str) -> str:
    return str(life.status(name)["image"]).partition("@")[2]


async def test_the_last_healthy_deployment_outlives_any_number_of_failed_ones() -> None:
    life = running(historyLimit=2, **DELETE)
    assert await deploy(life, "good") == "True/Succeeded"
    image = digest(life, "good")
    for number in range(4):
        assert await deploy(life, f"bad{number}", "Degraded") == "True/HealthTimeout"
        await polls(life, 1)
    gone = {name for name in ("good", "bad0", "bad1", "bad2", "bad3") if life.is_deleted(name)}
    assert gone == {"bad0", "bad1"}
    assert image in tags(life)
    assert await deploy(life, "back", rollbackTo="lastHealthy") == "True/Succeeded"
    assert digest(life, "back") == image


async def test_the_image_of_the_last_healthy_deployment_stays_when_its_record_is_deleted() -> None:
    life = running(**DELETE)
    await deploy(life, "good")
    image = digest(life, "good")
    await deploy(life, "bad", "Degraded")
    await life.delete("good")
    assert image in tags(life)


@pytest.mark.parametrize("environment", ["production", "pr-7"])
async def test_an_image_that_was_last_healthy_by_a_rollback_stays(environment: str) -> None:
    life = running(**DELETE)
    await deploy(life, "built")
    image = digest(life, "built")
    await deploy(life, "other")
    assert await deploy(life, "back", rollbackTo="built", environment=environment) == "True/Succeeded"
    assert await deploy(life, "bad", "Degraded", environment=environment) == "True/HealthTimeout"
    await life.delete("built")
    assert image in tags(life)


async def test_the_image_that_a_rollback_waits_to_go_back_to_stays() -> None:
    life = running(**DELETE)
    assert await deploy(life, "tried", environment="pr-7", ttl="1h") == "True/Succeeded"
    image = digest(life, "tried")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("slow")
    await life.turn("slow")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("back", rollbackTo="tried")
    await life.turn("back")
    await life.expire("tried")
    assert image in tags(life)
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "slow", {"spec": {"cancel": True}})
    await life.live("slow")
    await life.live("back")
    assert (life.reason("back"), digest(life, "back")) == ("True/Succeeded", image)


async def test_an_image_that_nothing_runs_any_more_goes_with_its_record() -> None:
    life = running(**DELETE)
    await deploy(life, "old")
    image = digest(life, "old")
    await deploy(life, "new")
    await deploy(life, "bad", "Degraded")
    await life.delete("old")
    assert image not in tags(life)


async def test_a_list_that_lacks_a_holder_who_is_there_removes_no_image() -> None:
    life = running(**DELETE)
    await deploy(life, "good")
    await deploy(life, "bad", "Degraded")
    image, bad = digest(life, "good"), life.see("bad")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "good")

    def hidden_from_lists(call: str) -> None:
        if call == "kubernetes.list DeploymentRecord":
            life.out.kubernetes.remove(DEPLOYMENT_RECORD, TEAM, "bad")
        elif life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "bad") is None:
            life.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, bad)

    life.out.line.before = hidden_from_lists
    with pytest.raises(ExternalServiceError, match="lacks bad"):
        await life.turn("good")
    assert image in tags(life)


async def test_a_registry_part_that_somebody_deletes_goes_without_its_repository_and_is_made_again() -> None:
    life = running(**DELETE)
    assert await deploy(life, "one") == "True/Succeeded"
    image = digest(life, "one")
    life.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    assert (await life.turn("shop", "RegistrySettings")).released
    assert image in tags(life)
    life.set_up()
    assert await deploy(life, "two") == "True/Succeeded"
