"""A service is down: its breaker opens and shows, all else goes on, and what waited continues by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testbed.kube_api import Object
from testbed.stage_cluster import NAMESPACE, condition
from testbed.triggers import initialize
from testbed.waiting import eventually

from .play import DEADLINE, PROJECTS, Play, check_heartbeats, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHERS = ("RegistryReady", "ArgoReady", "IngressReady", "DNSReady")


async def health(play: Play) -> dict[str, Any]:
    """The report of the operator."""
    status, body = await play.operator.answer("/health")
    assert status == 200, body
    return dict(json.loads(body))


async def breaker_is(play: Play, service: str, state: str) -> dict[str, Any]:
    """Waits for this state; the breaker as `/health` shows it."""

    async def probe() -> dict[str, Any] | None:
        found: dict[str, Any] = (await health(play))["breakers"][service]
        return found if found["state"] == state else None

    found = await eventually(probe, f"the breaker of {service} is {state}", DEADLINE)
    assert found is not None
    return found


async def jenkins_settings(play: Play) -> Object:
    found = await play.stage.kube.read("jenkinssettings", play.project)
    assert found is not None
    return found


async def test_with_jenkins_down_all_else_becomes_ready_and_jenkins_follows_by_itself(play: Play) -> None:
    play.stage.jenkins.controls.down = True
    await play.stage.publish(initialize(play.project, await play.spec()))
    for kind in OTHERS:
        await play.stage.kube.wait_condition(PROJECTS, NAMESPACE, play.project, kind, deadline=DEADLINE)
    shown = await breaker_is(play, "jenkins", "OPEN")
    assert shown["failures"] >= 5
    assert shown["opened_at"].endswith("Z")
    degraded = await play.stage.kube.wait_condition(
        "jenkinssettings", NAMESPACE, play.project, "VendorDegraded", reason="BreakerOpen", deadline=DEADLINE
    )
    message = (condition(degraded, "VendorDegraded") or {})["message"]
    assert "jenkins has failed" in message
    assert "one request tries it every " in message
    assert reason_of(degraded, "Ready") == "BreakerOpen"

    async def told() -> bool:
        return (await health(play))["checks"]["jenkins_connection"]["ok"] is False

    # What a check has found holds for a minute: somebody may have asked just before the outage.
    await eventually(told, "the check of Jenkins fails", 2 * DEADLINE)
    report = await health(play)
    assert {name for name, each in report["breakers"].items() if each["state"] != "CLOSED"} == {"jenkins"}
    assert (await play.operator.answer("/readyz"))[0] == 200

    play.stage.jenkins.controls.down = False
    await play.ready()
    await breaker_is(play, "jenkins", "CLOSED")
    assert condition(await jenkins_settings(play), "VendorDegraded") is None
    _, metrics = await play.operator.answer("/metrics")
    assert 'devops_reconciler_breaker_state{service="jenkins"} 0.0' in metrics


async def test_a_deployment_that_meets_a_dead_jenkins_waits_and_ends_well_with_one_build(play: Play) -> None:
    await play.set_up()
    play.stage.jenkins.controls.down = True
    trigger = await play.send("deploy")
    name = await trigger.name()
    await play.wait_record(name, "VendorDegraded", reason="BreakerOpen")
    play.stage.jenkins.controls.down = False
    await trigger.ended()
    assert len(play.builds) == 1
    check_heartbeats(trigger.beats)
