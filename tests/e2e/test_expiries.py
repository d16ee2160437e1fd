"""The end of previews: announced, and reached whatever is ill at the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from standins.controls import Controls
from testbed.stage_cluster import NAMESPACE, condition, path
from testbed.waiting import eventually

from .play import DEADLINE, RECORDS, Play, by_operator, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def expires_at(play: Play, name: str, moment: datetime) -> None:
    change = {"spec": {"expiresAt": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    await play.stage.kube.patch(path(RECORDS, name), change)


async def events_of(play: Play, name: str, reason: str) -> list[dict[str, Any]]:
    found = await play.stage.kube.get(f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector=involvedObject.name={name}")
    return [event for event in found["items"] if event["reason"] == reason]


@pytest.mark.parametrize("lead", [timedelta(hours=24), timedelta(hours=1)], ids=["24h", "1h"])
async def test_the_end_of_a_preview_is_announced_as_event_and_message(play: Play, lead: timedelta) -> None:
    await play.set_up()
    trigger = await play.send("deploy", environment="pr-1", ttl="100h")
    name = (await trigger.ended())["metadata"]["name"]
    assert await events_of(play, name, "ExpiresSoon") == []

    await expires_at(play, name, datetime.now(UTC) + lead + timedelta(seconds=3))

    warning = await trigger.heard("expiry", "Pending", message="expires in")
    assert (warning.payload["reason"], warning.payload["terminal"]) == ("ExpiresSoon", False)
    assert warning.sequence == (await trigger.terminal()).sequence + 1
    announced = await play.wait_record(name, "Expiring")
    assert (condition(announced, "Expiring") or {})["reason"] == "ExpiresSoon"

    async def posted() -> list[dict[str, Any]]:
        return await events_of(play, name, "ExpiresSoon")

    (event,) = await eventually(posted, "the event is posted", DEADLINE)
    assert "action extend, or spec.expiresAt, moves that" in event["message"]
    check_heartbeats(trigger.beats)
    # Moved away again: nothing is announced any more, and nothing expires.
    await expires_at(play, name, datetime.now(UTC) + timedelta(hours=100))
    await play.stage.kube.until(
        RECORDS, name, lambda it: condition(it, "Expiring") is None, "the announcement is withdrawn"
    )
    assert (await play.visit(play.preview_host("pr-1"))).status == 200


@pytest.mark.parametrize("service", ["argocd", "godaddy", "dockerhub"])
async def test_a_preview_that_expires_while_a_service_is_ill_goes_as_far_as_it_can_and_then_to_the_end(
    play: Play, service: str
) -> None:
    await play.set_up()
    trigger = await play.send("deploy", environment="pr-1", ttl="1h")
    name = (await trigger.ended())["metadata"]["name"]
    preview = f"{play.project}-pr-1"
    stage = play.stage
    controls: Controls = {"argocd": stage.argocd, "godaddy": stage.godaddy, "dockerhub": stage.hub}[service].controls
    illness = controls.fault("*", "", 503, times=None, only=by_operator)

    await expires_at(play, name, datetime.now(UTC))

    stuck = await play.wait_record(name, "CleanupVerified", "False")
    said = condition(stuck, "CleanupVerified")
    assert said is not None
    assert said["reason"] == "CleanupFailed"
    assert service in said["message"]
    left = await play.left(preview)
    held_by = {"argocd": f"argocd application {preview}", "godaddy": f"godaddy A {play.preview_host('pr-1')}"}
    if service in held_by:
        assert held_by[service] in left, "what could not be removed is not forgotten"
    else:
        assert play.tags, "what could not be removed is not forgotten"

    controls.faults.remove(illness)

    await play.wait_record(name, "CleanupVerified")
    assert await play.left(preview) == []
    assert play.tags == {}
    assert await play.outside.is_gone(play.preview_host("pr-1"))
    check_heartbeats(trigger.beats)
