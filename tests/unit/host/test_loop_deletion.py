"""The loop carries deletions out, and lets Kopf take the finalizer off."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ConflictError, CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import REGISTRY_SETTINGS
from tests.unit.messages.broker import until
from tests.unit.world import TEAM

from .test_loop import SECOND, Watched


async def test_a_finalizer_is_released_when_nothing_is_left_outside() -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    await it.one_pass()
    assert "acme/shop" in it.out.hub.held
    obj = it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    it.loop.queue.open()
    async with asyncio.timeout(10):
        await it.loop.wait_released(obj, timedelta(minutes=10))
    assert it.out.hub.held == {}
    await it.loop.queue.close(within=SECOND)


async def test_a_deletion_that_takes_longer_than_one_call_is_waited_for_again() -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    obj = it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    waits = asyncio.create_task(it.loop.wait_released(obj, timedelta(minutes=10)))
    await until(lambda: it.out.clock.sleepers == 1)
    it.out.clock.advance(timedelta(minutes=10))
    async with asyncio.timeout(10):
        assert not await waits
    for _ in range(3):
        await it.one_pass()
        it.out.clock.advance(SECOND * 5)
    async with asyncio.timeout(10):
        assert await it.loop.wait_released(obj, timedelta(minutes=10))


async def test_a_release_that_was_found_before_anybody_waited_is_found_again() -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    obj = it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    for _ in range(3):
        await it.one_pass()
        it.out.clock.advance(SECOND * 5)
    it.loop.queue.open()
    async with asyncio.timeout(10):
        await it.loop.wait_released(obj, timedelta(minutes=10))
    await it.loop.queue.close(within=SECOND)


async def test_a_vendor_that_refuses_the_deletion_keeps_the_finalizer_and_says_why() -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    refusal = CredentialsError("dockerhub: delete repository: 403; this token may not delete")
    it.out.line.fail("dockerhub.delete_repository", refusal, times=1)
    after = await it.one_pass()
    assert after is not None
    assert after <= timedelta(seconds=33)
    stalled = next(c for c in it.see()["status"]["conditions"] if c["type"] == "Stalled")
    assert stalled["reason"] == "DeletionBlocked"
    assert "this token may not delete" in stalled["message"]
    assert "acme/shop" in it.out.hub.held


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError("dockerhub: delete repository: 403; this token may not delete"),
        ExternalServiceError("dockerhub: delete repository: 503", service="dockerhub"),
    ],
    ids=["403", "503"],
)
async def test_a_removal_that_fails_is_tried_again_no_sooner_than_what_fails_otherwise(error: Exception) -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    it.out.line.fail("dockerhub.delete_repository", error, times=10**6)
    began = it.out.clock.now()
    while it.out.clock.now() - began < timedelta(hours=1):
        it.out.clock.advance(await it.one_pass() or SECOND)
    assert it.out.line.count("dockerhub.delete_repository") <= timedelta(hours=1) / timedelta(seconds=30)


async def test_a_deletion_that_races_with_another_save_is_tried_again() -> None:
    it = Watched()
    it.registry(deletionPolicy="Delete")
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    it.out.line.fail("kubernetes.patch_status RegistrySettings", ConflictError("changed", status=409))
    assert (await it.one_pass() or SECOND) < SECOND
    assert "acme/shop" in it.out.hub.held
    await it.one_pass()
    assert it.out.hub.held == {}
