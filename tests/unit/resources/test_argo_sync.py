"""Argo CD: the one sync of a record, and the health after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.blocks import SourceKind
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, Waiting
from devops_reconciler.engine.resource import Intent
from devops_reconciler.resources.argo_application import ArgoApplication
from devops_reconciler.resources.argo_release import ArgoRelease
from devops_reconciler.resources.argo_sync import ArgoHealth, ArgoSync
from devops_reconciler.services.argocd_view import HiddenText

from .hand import Hand, changed

SERVER = "https://kubernetes.default.svc"
URL = "https://git.example.com/shop.git"
DIGEST = "sha256:" + "a" * 64
IMAGE = f"acme/shop@{DIGEST}"
SECOND = timedelta(seconds=1)
BUSY = ExternalServiceError("argocd: refresh application: no answer within 60 s", service="argocd")

APP = ArgoApplication(
    name="shop",
    project="shop",
    devops_project="shop",
    environment="production",
    repo_url=URL,
    path="deploy",
    target_revision="main",
    server=SERVER,
    namespace="shop",
)
RELEASE = ArgoRelease(
    name="shop",
    project="shop",
    kind=SourceKind.KUSTOMIZE,
    image=IMAGE,
    image_name="acme/shop",
    image_parameter="image.repository",
    digest_parameter="image.digest",
    target_revision="abc123",
    auto_sync=False,
)
SYNC = ArgoSync(name="shop", project="shop", uid="uid-of-one")
EARLIER = "5f0c9c0e-7d0b-4b60-9a55-0d6f3b3c1a11"
"""UID of a record as the API server gives it."""


# The sync


async def test_one_record_syncs_once() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.sync_time = timedelta(seconds=20)
    outcome = await hand.bring(SYNC, most=100)
    assert outcome.ready
    assert hand.out.argocd.syncs == ["uid-of-one"]


async def test_a_sync_of_somebody_else_is_waited_for_and_ours_comes_after_it() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.sync_time = timedelta(seconds=20)
    await hand.out.argocd.sync("shop", "shop", infos={"deployment": "another"})
    assert (await hand.bring(SYNC, most=100)).ready
    assert hand.out.argocd.syncs == ["another", "uid-of-one"]


async def test_a_failed_sync_is_a_failure_with_argos_words() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.phase, hand.out.argocd.message = "Failed", "one or more objects failed to apply"
    outcome = await hand.bring(SYNC)
    assert hand.reason(outcome) == "SyncFailed"
    assert "failed to apply" in hand.message(outcome)


@pytest.mark.parametrize("shown", ["failed to list refs: EOF", "failed to list ****: EOF"])
async def test_a_sync_that_met_git_away_is_asked_for_again(shown: str) -> None:
    """Also where somebody's password is one of the words."""
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.phase, hand.out.argocd.message = "Error", HiddenText(shown, "failed to list refs: EOF")
    await hand.once(SYNC)
    await hand.once(SYNC)
    hand.out.argocd.phase = "Succeeded"
    assert (await hand.bring(SYNC)).ready
    assert len(hand.out.argocd.syncs) >= 2


async def behind_an_endless_sync(**infos: str) -> Hand:
    """Our sync is asked for while an operation with these infos runs on and on."""
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.sync_time = timedelta(days=30)
    await hand.out.argocd.sync("shop", "shop", infos=infos)
    hand.out.argocd.sync_time = timedelta(0)
    return hand


async def test_a_sync_that_an_earlier_deployment_has_left_running_is_stopped_and_ours_comes_after_it() -> None:
    hand = await behind_an_endless_sync(deployment=EARLIER)
    hand.out.argocd.terminating_time = timedelta(seconds=20)
    outcome = await hand.once(SYNC)
    assert hand.message(outcome).endswith("in progress: that of an earlier deployment, which is told to stop")
    assert outcome.results[0].after == timedelta(seconds=5)
    hand.out.clock.advance(timedelta(seconds=5))
    assert hand.message(await hand.once(SYNC)).endswith("that of an earlier deployment, which is being stopped")
    assert (await hand.bring(SYNC)).ready
    assert hand.out.argocd.syncs == [EARLIER, "uid-of-one"]
    assert hand.out.line.count("argocd.terminate_operation*") == 1, "it was told once"


@pytest.mark.parametrize("infos", [{}, {"deployment": "1.2.3"}, {"reason": EARLIER}])
async def test_an_operation_of_somebody_else_is_left_alone_however_long_it_takes(infos: dict[str, str]) -> None:
    hand = await behind_an_endless_sync(**infos)
    for _ in range(5):
        assert hand.message(await hand.once(SYNC)).endswith("another operation is already in progress")
        hand.out.clock.advance(timedelta(minutes=1))
    assert hand.out.line.count("argocd.terminate_operation*") == 0


OTHER_IMAGE = changed(RELEASE, image="acme/shop@sha256:" + "b" * 64)
OTHER_COMMIT = changed(RELEASE, target_revision="c" * 40)


async def behind_an_endless_automated_sync(*later: ArgoRelease, initiated_by: dict[str, Any] | None = None) -> Hand:
    """Argo CD has begun by itself to sync what was released first, and does not end; then came `later`."""
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(RELEASE)
    hand.out.argocd.sync_time = timedelta(days=30)
    hand.out.argocd.sync_by_itself("shop")
    if initiated_by is not None:
        hand.out.argocd.apps["shop"]["operation"]["initiatedBy"] = initiated_by
    hand.out.argocd.sync_time = timedelta(0)
    for release in later:
        await hand.bring(release)
    return hand


@pytest.mark.parametrize("later", [OTHER_IMAGE, OTHER_COMMIT])
async def test_an_automated_sync_of_what_was_released_before_is_stopped_and_ours_comes_after_it(
    later: ArgoRelease,
) -> None:
    hand = await behind_an_endless_automated_sync(later)
    said = "in progress: Argo CD's own, of what the application no longer says, which is told to stop"
    assert hand.message(await hand.once(SYNC)).endswith(said)
    hand.out.clock.advance(timedelta(seconds=5))
    assert (await hand.bring(SYNC)).ready
    assert hand.out.argocd.syncs == ["uid-of-one"]
    assert hand.out.line.count("argocd.terminate_operation*") == 1


async def test_an_automated_sync_of_another_commit_is_stopped_before_it_tells_its_source() -> None:
    hand = await behind_an_endless_automated_sync(OTHER_COMMIT)
    del hand.out.argocd.apps["shop"]["status"]["operationState"]["syncResult"]
    await hand.once(SYNC)
    assert hand.out.line.count("argocd.terminate_operation*") == 1


async def test_an_automated_sync_of_what_nobody_can_tell_is_waited_for() -> None:
    hand = await behind_an_endless_automated_sync(OTHER_IMAGE)
    del hand.out.argocd.apps["shop"]["status"]["operationState"]["syncResult"]
    assert hand.message(await hand.once(SYNC)).endswith("another operation is already in progress")
    assert hand.out.line.count("argocd.terminate_operation*") == 0


@pytest.mark.parametrize(
    ("later", "initiated_by"),
    [((), None), ((OTHER_COMMIT, OTHER_IMAGE), {"username": "admin"}), ((OTHER_COMMIT,), {})],
)
async def test_an_automated_sync_of_what_is_wanted_and_a_users_of_anything_are_waited_for(
    later: tuple[ArgoRelease, ...], initiated_by: dict[str, Any] | None
) -> None:
    hand = await behind_an_endless_automated_sync(*later, initiated_by=initiated_by)
    for _ in range(5):
        assert hand.message(await hand.once(SYNC)).endswith("another operation is already in progress")
        hand.out.clock.advance(timedelta(minutes=1))
    assert hand.out.line.count("argocd.terminate_operation*") == 0


@pytest.mark.parametrize("error", [BUSY, CredentialsError("argocd: terminate operation: 403")])
async def test_an_earlier_sync_that_cannot_be_stopped_is_waited_for(error: Exception) -> None:
    hand = await behind_an_endless_sync(deployment=EARLIER)
    hand.out.line.fail("argocd.terminate_operation*", error)
    outcome = await hand.once(SYNC)
    assert outcome.failure is None
    assert hand.message(outcome).endswith(f"that of an earlier deployment, which could not be stopped: {error}")
    assert hand.entry.intent is None, "our sync was surely refused"
    hand.out.clock.advance(timedelta(seconds=5))
    assert (await hand.bring(SYNC)).ready


async def test_where_nobody_can_tell_whose_operation_runs_it_is_left_alone() -> None:
    hand = await behind_an_endless_sync(deployment=EARLIER)
    hand.out.line.fail("argocd.application*", BUSY, skip=1)
    assert hand.message(await hand.once(SYNC)).endswith(f"in progress: whose it is could not be read: {BUSY}")
    assert hand.out.line.count("argocd.terminate_operation*") == 0


async def test_an_earlier_sync_that_has_not_begun_cannot_be_stopped_yet() -> None:
    hand = await behind_an_endless_sync(deployment=EARLIER)
    hand.out.argocd.begins = False
    assert hand.message(await hand.once(SYNC)).endswith("earlier deployment, which has not begun, or has just ended")
    hand.out.argocd.begins = True
    hand.out.clock.advance(timedelta(seconds=5))
    assert (await hand.bring(SYNC)).ready


async def test_a_closed_sync_window_has_no_operation_in_the_way() -> None:
    hand = await behind_an_endless_sync(deployment=EARLIER)
    hand.out.line.fail("argocd.sync*", Waiting("blocked by sync window", after=timedelta(minutes=1)))
    assert hand.message(await hand.once(SYNC)) == "blocked by sync window"
    assert hand.out.line.count("argocd.terminate_operation*") == 0


async def test_an_argocd_whose_clock_is_ahead_is_not_asked_more_often_for_it() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.sync_time = timedelta(minutes=10)
    await hand.once(SYNC)
    asked = hand.out.clock.now()
    hand.out.argocd.apps["shop"]["status"]["operationState"]["startedAt"] = (asked + timedelta(hours=1)).isoformat()
    hand.out.clock.advance(timedelta(minutes=1))
    seen = await hand.see(SYNC, Intent(op="create", at=asked))
    assert seen.after is not None
    assert seen.after >= timedelta(seconds=3)
    assert (await hand.see(SYNC)).after == SECOND, "nobody knows when it began"


# The health


async def test_health_after_a_sync_that_ends_in_the_future_is_not_asked_for_more_often() -> None:
    hand, health = await released()
    begun = hand.out.clock.now()
    late = changed(health, synced_at=begun + timedelta(hours=1), sync_seen_at=begun)
    hand.out.clock.advance(timedelta(minutes=1))
    after = (await hand.see(late)).after
    assert after is not None
    assert after >= timedelta(seconds=3)


def healthy(hand: Hand, **fields: Any) -> ArgoHealth:
    values = {"image_digest": DIGEST, "synced_at": hand.out.clock.now(), "stable_for": timedelta(seconds=15)}
    return ArgoHealth(name="shop", project="shop", **{**values, **fields})


async def released(**fields: Any) -> tuple[Hand, ArgoHealth]:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(RELEASE)
    hand.out.clock.advance(SECOND)
    return hand, healthy(hand, **fields)


async def watch(hand: Hand, health: ArgoHealth, seconds: int) -> str:
    """Passes each second, with `since` from the ledger, as the deployment does it; gives the last state."""
    state = ""
    for _ in range(seconds + 1):
        entry = hand.ledger.current("only")
        seen = entry.facts if entry is not None and entry.kind == "ArgoHealth" else {}
        times = {name: seen.get(name) for name in ("since", "unused_since")}
        outcome = await hand.once(ArgoHealth.model_validate({**health.model_dump(), **times}))
        state = outcome.results[0].reason.value if outcome.failure else outcome.results[0].state.value
        if state != "Running":
            return state
        hand.out.clock.advance(SECOND)
    return state


async def test_health_from_before_the_sync_never_counts() -> None:
    hand, health = await released()
    hand.out.argocd.judge("shop")
    hand.out.clock.advance(timedelta(seconds=5))
    late = changed(health, synced_at=hand.out.clock.now())
    assert isinstance(late, ArgoHealth)
    assert await watch(hand, late, 60) == "Running"
    assert "since the sync" in hand.message(await hand.once(late))


async def test_an_application_must_stay_healthy_for_the_whole_window() -> None:
    hand, health = await released()
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 10) == "Running"
    hand.out.argocd.health = "Progressing"
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 2) == "Running"
    hand.out.argocd.health = "Healthy"
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 10) == "Running"
    assert await watch(hand, health, 10) == "Succeeded"


async def test_without_a_window_the_first_healthy_judgement_is_enough() -> None:
    hand, health = await released(stable_for=timedelta(0))
    hand.out.clock.advance(SECOND)
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 0) == "Succeeded"


async def test_an_application_that_is_healthy_without_our_image_does_not_use_it() -> None:
    hand, health = await released()
    hand.out.argocd.follows_source = False
    hand.out.argocd.judge("shop")
    hand.out.argocd.apps["shop"]["status"]["summary"] = {"images": ["acme/shop:old"]}
    assert await watch(hand, health, 60) == "ImageNotUsed"


async def test_the_window_begins_with_our_image_not_with_what_ran_before_it() -> None:
    hand, health = await released()
    hand.out.argocd.judge("shop")
    hand.out.argocd.apps["shop"]["status"]["summary"] = {"images": ["acme/shop:old"]}
    assert await watch(hand, health, 8) == "Running"
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 10) == "Running"
    assert await watch(hand, health, 10) == "Succeeded"


async def test_what_blocks_the_health_is_named() -> None:
    hand, health = await released()
    hand.out.argocd.health = "Degraded"
    hand.out.argocd.judge("shop")
    pod = {
        "kind": "Pod",
        "namespace": "shop",
        "name": "shop-1",
        "health": {"status": "Degraded", "message": "Back-off pulling image"},
        "info": [{"name": "Status Reason", "value": "ImagePullBackOff"}],
    }
    hand.out.argocd.tree = {"nodes": [pod]}
    outcome = await hand.once(health)
    assert "Pod shop/shop-1: ImagePullBackOff" in hand.message(outcome)


async def test_a_judgement_of_the_second_of_the_sync_does_not_count_against_our_image() -> None:
    hand, health = await released()
    hand.out.argocd.judge("shop")
    same = changed(health, synced_at=hand.out.clock.now())
    assert isinstance(same, ArgoHealth)
    hand.out.argocd.apps["shop"]["status"]["summary"] = {"images": ["acme/shop:old"]}
    hand.out.line.fail("argocd.refresh", BUSY)
    assert await watch(hand, same, 60) == "Waiting"
    assert await watch(hand, same, 60) == "Succeeded"
    assert hand.out.line.count("argocd.refresh") == 2


async def test_without_a_digest_the_same_second_proves_nothing() -> None:
    hand, health = await released(image_digest=None, stable_for=timedelta(0))
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 0) == "Running"
    assert hand.out.line.count("argocd.refresh") == 1
    hand.out.argocd.judge("shop")
    assert await watch(hand, health, 2) == "Succeeded"
