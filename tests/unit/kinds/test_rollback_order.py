"""`rollbackTo: lastHealthy` goes by who holds the environment and who came when, never by the clock of a replica."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life
from .test_running_images import DELETE, deploy, digest, polls, running, tags

AHEAD = timedelta(hours=1)


def stamp_ahead(life: Life, name: str) -> None:
    """As if the replica that acted had a clock that is ahead: what ends after it ends before it, by the stamps."""
    ended = (life.out.clock.now() + AHEAD).strftime("%Y-%m-%dT%H:%M:%SZ")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"status": {"finishedAt": ended}})


async def three(health: str, **spec: Any) -> Life:
    """v1 and v2 are good, v3 is the one to go back from, and has ended before v2 by its stamp."""
    life = running(**spec)
    assert await deploy(life, "v1") == "True/Succeeded"
    assert await deploy(life, "v2") == "True/Succeeded"
    stamp_ahead(life, "v2")
    await deploy(life, "v3", health)
    assert life.holder() == "v3"
    assert life.status("v3")["finishedAt"] < life.status("v2")["finishedAt"]
    return life


@pytest.mark.parametrize("health", ["Degraded", "Healthy"])
async def test_last_healthy_is_the_one_before_the_holder_whatever_the_stamps_say(health: str) -> None:
    life = await three(health)
    assert await deploy(life, "back", rollbackTo="lastHealthy") == "True/Succeeded"
    assert digest(life, "back") == digest(life, "v2")
    assert life.status("back")["commit"] == life.status("v2")["commit"]


async def test_the_newest_healthy_one_is_kept_whatever_the_stamps_say() -> None:
    life = running(historyLimit=1, **DELETE)
    await deploy(life, "v1")
    await deploy(life, "v2")
    stamp_ahead(life, "v1")
    image = digest(life, "v2")
    await deploy(life, "v3", "Degraded")
    await polls(life)
    assert (life.is_deleted("v1"), life.is_deleted("v2")) == (True, False)
    await life.delete("v2")
    assert image in tags(life), "it is what runs"


async def test_where_nobody_holds_the_environment_the_last_that_came_counts_as_what_runs() -> None:
    life = await three("Healthy")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"environments": []}})
    assert await deploy(life, "back", rollbackTo="lastHealthy") == "True/Succeeded"
    assert digest(life, "back") == digest(life, "v2")


async def test_a_holder_who_was_stopped_before_it_could_tell_of_it_is_gone_back_from() -> None:
    life = running()
    assert await deploy(life, "v1") == "True/Succeeded"
    life.out.clock.advance(timedelta(seconds=5))
    life.out.git.commit(GIT_URL, "main", "f" * 40)
    life.record("v2")
    while life.holder() != "v2":
        verdict = await life.turn("v2")
        life.out.clock.advance(verdict.after or timedelta(0))
    life.out.clock.advance(timedelta(seconds=5))
    life.record("back", rollbackTo="lastHealthy", concurrencyPolicy="Replace")
    await life.live("v2")
    await life.live("back")
    assert (life.reason("v2"), life.reason("back")) == ("True/Superseded", "True/Succeeded")
    assert digest(life, "back") == digest(life, "v1")


@pytest.mark.parametrize("target", ["lastHealthy", "v1"])
async def test_a_rollback_that_holds_the_environment_does_not_choose_again(target: str) -> None:
    life = await three("Healthy")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("back", rollbackTo=target)
    while life.holder() != "back":
        verdict = await life.turn("back")
        life.out.clock.advance(verdict.after or timedelta(0))
    for gone in ("v1", "v2"):
        life.out.kubernetes.remove(DEPLOYMENT_RECORD, TEAM, gone)
    image = digest(life, "back")
    await life.live("back")
    assert (life.reason("back"), digest(life, "back")) == ("True/Succeeded", image)


@pytest.mark.parametrize("target", ["lastHealthy", "v1"])
@pytest.mark.parametrize("at_work", [True, False])
async def test_what_a_rollback_goes_back_to_is_not_pruned_before_it_has_ended(target: str, at_work: bool) -> None:
    """Deployments that end at once make older ones surplus, while it is at work or still waits for its turn."""
    life = running(historyLimit=1, **DELETE)
    assert await deploy(life, "v1") == "True/Succeeded"
    assert await deploy(life, "v2") == "True/Succeeded"
    if not at_work:
        life.out.clock.advance(timedelta(seconds=5))
        life.record("v3")
        await life.turn("v3")
    image = digest(life, "v1")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("back", rollbackTo=target)
    await life.turn("back")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("push", concurrencyPolicy="Forbid")
    await life.live("push")
    assert life.reason("push") == "True/ConcurrencyForbidden"
    await polls(life)
    assert not life.is_deleted("v1")
    if not at_work:
        life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "v3", {"spec": {"cancel": True}})
        await life.live("v3")
    await life.live("back")
    assert (life.reason("back"), digest(life, "back")) == ("True/Succeeded", image)
    await polls(life)
    assert life.is_deleted("v1")


async def test_one_that_has_expired_is_not_gone_back_to() -> None:
    """Its image goes with it, while an older one may live longer."""
    life = running()
    for name, ttl in (("v1", "100h"), ("v2", "1h"), ("v3", "100h")):
        assert await deploy(life, name, environment="pr-7", ttl=ttl) == "True/Succeeded"
    life.out.clock.advance(timedelta(hours=2))
    for _ in range(30):
        verdict = await life.turn("v2")
        if life.reason("v2", "CleanupVerified") == "True/CleanupVerified":
            break
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    assert life.reason("v2", "CleanupVerified") == "True/CleanupVerified"
    assert await deploy(life, "back", environment="pr-7", rollbackTo="lastHealthy") == "True/Succeeded"
    assert digest(life, "back") == digest(life, "v1")
