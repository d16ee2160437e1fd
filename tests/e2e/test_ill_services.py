"""A service is ill while work is under way: what needs it waits and says for whom, all else goes on."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from standins.controls import Call, Controls, Fault
from testbed.kube_api import Object
from testbed.stage_cluster import NAMESPACE, condition
from testbed.stage_pace import Pace
from testbed.triggers import initialize
from testbed.waiting import eventually

from .play import DEADLINE, PROJECTS, RECORDS, Play, by_operator, check_heartbeats, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIMEOUT = timedelta(seconds=int(Pace().intervals["BREAKER_TIMEOUT"].removesuffix("s")))
ON_THE_WAY = timedelta(seconds=2)
"""What is on its way when a service falls ill has arrived by then."""


def controls_of(play: Play, service: str) -> Controls:
    stage = play.stage
    return {
        "jenkins": stage.jenkins.controls,
        "argocd": stage.argocd.controls,
        "registry": stage.hub.registry.controls,
        "godaddy": stage.godaddy.controls,
    }[service]


def fall_ill(play: Play, service: str) -> Fault:
    """Every request of the operator is answered with 503 from now on. Jenkins can still push its images."""
    return controls_of(play, service).fault("*", "", 503, times=None, only=by_operator)


async def breaker(play: Play, service: str) -> dict[str, Any]:
    _, body = await play.operator.answer("/health")
    return dict(json.loads(body)["breakers"][service])


async def breaker_opens(play: Play, service: str) -> dict[str, Any]:
    async def probe() -> dict[str, Any] | None:
        found = await breaker(play, service)
        return found if found["state"] == "OPEN" else None

    found = await eventually(probe, f"the breaker of {service} is open", DEADLINE)
    assert found is not None
    return found


async def breaker_shows(play: Play, service: str, value: int) -> None:
    """Waits until the metric says so: while a request tries the service, it is half open for a moment."""

    async def probe() -> bool:
        _, metrics = await play.operator.answer("/metrics")
        return f'devops_reconciler_breaker_state{{service="{service}"}} {value}.0' in metrics

    await eventually(probe, f"the metric shows the breaker of {service} as {value}", DEADLINE)


def waiting_steps(record: Object) -> list[dict[str, Any]]:
    """Those that wait for a service whose breaker is open."""
    steps = record["status"].get("steps") or ()
    return [step for step in steps if (step["state"], step.get("reason")) == ("Waiting", "BreakerOpen")]


def is_held_up(record: Object) -> bool:
    return reason_of(record, "VendorDegraded") == "BreakerOpen" and bool(waiting_steps(record))


@pytest.mark.parametrize("service", ["jenkins", "argocd", "registry", "godaddy"])
async def test_a_preview_that_meets_an_ill_service_waits_for_it_by_name_and_ends_well(play: Play, service: str) -> None:
    await play.set_up()
    illness = fall_ill(play, service)
    trigger = await play.send("deploy", environment="pr-1", ttl="1h")
    name = await trigger.name()

    record = await play.stage.kube.until(RECORDS, name, is_held_up, "a step waits for the service", DEADLINE)

    said = condition(record, "VendorDegraded")
    assert said is not None
    assert f"{service} has failed" in said["message"]
    assert "one request tries it every " in said["message"]
    assert (reason_of(record, "VendorDegraded"), record["status"]["fault"]) == ("BreakerOpen", "Vendor")
    step = waiting_steps(record)[0]
    assert step["fault"] == "Vendor"
    assert step["nextRetryAt"] > record["status"]["startedAt"]
    await breaker_opens(play, service)
    await breaker_shows(play, service, 2)
    assert (await play.operator.answer("/readyz"))[0] == 200

    controls_of(play, service).faults.remove(illness)

    ended = await trigger.ended()
    assert "fault" not in ended["status"]
    assert condition(ended, "VendorDegraded") is None
    assert len(play.builds) == 1
    assert (await play.visit(play.preview_host("pr-1"))).image == ended["status"]["image"]
    check_heartbeats(trigger.beats)


async def test_a_rollback_needs_no_jenkins_and_goes_on_without_it(play: Play) -> None:
    await play.set_up()
    first = await play.deploy()
    await (await play.sample()).commit("Worse", {"greeting.txt": "Worse.\n"})
    await play.deploy()
    illness = fall_ill(play, "jenkins")
    waits = await play.send("deploy", environment="pr-1", ttl="1h")
    await play.wait_record(await waits.name(), "VendorDegraded", reason="BreakerOpen")

    rollback = await (await play.send("rollback", to="lastHealthy")).ended()

    assert rollback["status"]["image"] == first["status"]["image"]
    assert (await play.visit()).image == first["status"]["image"]
    assert (await breaker(play, "jenkins"))["state"] != "CLOSED"
    controls_of(play, "jenkins").faults.remove(illness)
    await waits.ended()
    assert len(play.builds) == 3


async def test_however_many_wait_one_request_at_a_time_tries_an_ill_service(play: Play) -> None:
    controls = controls_of(play, "jenkins")
    fall_ill(play, "jenkins")
    names = [f"{play.project}-{letter}" for letter in "abcd"]
    for name in names:
        spec = {"git": {"url": (await play.sample()).url}, "ingress": {"host": f"{name}.{play.host}"}}
        await play.stage.publish(initialize(name, spec))
    for name in names:
        await play.stage.kube.wait_condition(
            "jenkinssettings", NAMESPACE, name, "VendorDegraded", reason="BreakerOpen", deadline=DEADLINE
        )
    opened = datetime.fromisoformat((await breaker_opens(play, "jenkins"))["opened_at"]) + ON_THE_WAY

    # Jenkins takes its time: while the one request is out, the others come and are refused.
    controls.latency = timedelta(seconds=2)

    def probes() -> list[Call]:
        return [call for call in controls.calls if by_operator(call) and call.at > opened]

    async def three_probes() -> bool:
        return len(probes()) >= 4

    await eventually(three_probes, "Jenkins is tried again", DEADLINE)
    times = [call.at for call in probes()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > TIMEOUT * 0.95, f"more than one probe in a time-out: {times}"

    controls.clear()
    for name in names:
        await play.stage.kube.wait_condition(PROJECTS, NAMESPACE, name, "JenkinsReady", deadline=DEADLINE)
    assert (await breaker(play, "jenkins"))["state"] == "CLOSED"


async def test_a_429_stops_all_requests_for_as_long_as_it_asks_and_opens_no_breaker(play: Play) -> None:
    controls = controls_of(play, "jenkins")
    asked = timedelta(seconds=10)
    names = [f"{play.project}-{letter}" for letter in "abc"]

    def for_the_first(call: Call) -> bool:
        return by_operator(call) and names[0] in call.path

    busy = controls.fault("GET", "", 429, retry_after=str(int(asked.total_seconds())), only=for_the_first)
    for number, name in enumerate(names):
        spec = {"git": {"url": (await play.sample()).url}, "ingress": {"host": f"{name}.{play.host}"}}
        await play.stage.publish(initialize(name, spec))
        if number == 0:  # the others come while Jenkins has asked for a pause
            await asyncio.wait_for(busy.happened.wait(), DEADLINE.total_seconds())
    refused = next(call for call in controls.calls if call.status == 429)
    degraded = await play.stage.kube.wait_condition(
        "jenkinssettings", NAMESPACE, names[0], "VendorDegraded", reason="RateLimited", deadline=DEADLINE
    )
    assert reason_of(degraded, "Ready") == "RateLimited"
    assert await breaker(play, "jenkins") == {"state": "CLOSED", "failures": 0, "opened_at": None}

    for name in names:
        await play.stage.kube.wait_condition(PROJECTS, NAMESPACE, name, "JenkinsReady", deadline=DEADLINE)

    quiet = (refused.at + ON_THE_WAY, refused.at + asked * 0.95)
    meanwhile = [call for call in controls.calls if by_operator(call) and quiet[0] < call.at < quiet[1]]
    assert meanwhile == []
