"""Deployments that are stopped while Argo CD syncs, and rollbacks that hold."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.stage_cluster import path
from testbed.waiting import eventually

from .play import DEADLINE, Play, Trigger, check_heartbeats, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


def operation_state(play: Play) -> dict[str, Any]:
    """The last operation of production's application, as Argo CD shows it."""
    found: dict[str, Any] = play.stage.argocd.state.apps[play.project].get("status", {}).get("operationState") or {}
    return found


async def _in_sync(play: Play) -> Trigger:
    """A deployment whose sync has begun, and does not end by itself."""
    await play.set_up()
    play.stage.argocd.hold_operation(play.project)
    trigger = await play.send("deploy")
    await trigger.heard("sync", "Running", message="Running")
    assert operation_state(play)["phase"] == "Running"
    return trigger


async def test_a_cancellation_in_the_middle_of_a_sync_terminates_the_operation(play: Play) -> None:
    trigger = await _in_sync(play)

    await play.send("cancel")

    record = await trigger.ended("Cancelled")
    assert reason_of(record, "Finished") == "Cancelled"
    await _terminated(play)
    check_heartbeats(trigger.beats)


async def test_a_superseded_deployment_stops_its_sync_and_says_by_whom(play: Play) -> None:
    first = await _in_sync(play)

    second = await play.send("deploy", concurrency_policy="Replace")

    replaced = await first.ended("Superseded")
    await _terminated(play)
    play.stage.argocd.release(play.project)
    record = await second.ended()
    assert (reason_of(replaced, "Ready"), reason_of(replaced, "Stalled")) == ("Superseded", "Superseded")
    last = (await first.terminal()).payload
    assert record["metadata"]["name"] in last["message"]
    assert (await play.visit()).image == record["status"]["image"]
    check_heartbeats(first.beats)


async def _terminated(play: Play) -> None:
    """The operation that was running has been stopped, and no other one has begun for it."""

    async def stopped() -> bool:
        state = operation_state(play)
        return state["phase"] in ("Failed", "Error") and "terminated" in state["message"].lower()

    await eventually(stopped, "the operation is terminated", DEADLINE)


@pytest.mark.parametrize("auto_sync", [False, True])
async def test_a_rollback_holds_against_new_commits_and_drift(play: Play, auto_sync: bool) -> None:
    await play.set_up(argo={"autoSync": auto_sync})
    first = await play.deploy()
    sample = await play.sample()
    await sample.commit("Worse", {"greeting.txt": "Worse.\n"})
    await play.deploy()
    await (await play.send("rollback", to="lastHealthy")).ended()
    before = source(play)
    assert before["targetRevision"] == first["status"]["commit"]
    policy = play.stage.argocd.state.apps[play.project]["spec"].get("syncPolicy") or {}
    assert bool(policy.get("automated")) is auto_sync

    await sample.commit("Worse still", {"deploy/service.yaml": "not: a service\n"})
    play.stage.argocd.controller.wake_all()
    await _looked_at_again(play, "after a commit")

    assert source(play) == before
    assert (await play.visit()).image == first["status"]["image"]

    play.stage.argocd.state.remove_app(play.project)
    await _looked_at_again(play, "after a deletion by hand")

    async def is_there_again() -> bool:
        return play.project in play.stage.argocd.state.apps

    await eventually(is_there_again, "the application is made anew", DEADLINE)
    assert source(play) == before
    assert len(play.builds) == 2


def source(play: Play) -> dict[str, Any]:
    """What production's application is to run."""
    found: dict[str, Any] = play.stage.argocd.state.apps[play.project]["spec"]["source"]
    return found


async def _looked_at_again(play: Play, when: str) -> None:
    """The operator has compared the application with what it wants, on request."""
    change = {"metadata": {"annotations": {"freeleaps.com/requestedAt": when}}}
    await play.stage.kube.patch(path("argosettings", play.project), change)
    await play.stage.kube.until(
        "argosettings",
        play.project,
        lambda it: it["status"].get("lastHandledReconcileAt") == when,
        f"it is looked at again {when}",
        DEADLINE,
    )
