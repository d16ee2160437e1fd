"""Two replicas: the newest acts, the other stands by; one that dies or is stopped is replaced, and does no harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from standins.controls import Call
from testbed.processes import free_port
from testbed.stage import Stage
from testbed.stage_cluster import NAMESPACE
from testbed.stage_operator import Operator
from testbed.waiting import eventually

from .play import Play, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECORDS_PATH = f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/deploymentrecords"
LEASE_PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/devops-reconciler"
PEERING_PATH = f"/apis/kopf.dev/v1/namespaces/{NAMESPACE}/kopfpeerings/freeleaps-devops-reconciler"
SLOW = "// standin: slow 8\npipeline {}\n"
PATIENCE = timedelta(seconds=60)
"""Where the machine is busy, a replica may miss its Lease of a few seconds, and take it again."""


async def lease_of(operator: Operator) -> str:
    """What the replica says of the Lease."""
    _, body = await operator.answer("/health")
    checks = json.loads(body)["checks"] if body.startswith("{") else {}
    return str(checks.get("lease", {}).get("detail", ""))


async def acts(operator: Operator) -> str:
    """The identity of the replica, once it acts."""

    async def identity() -> str:
        detail = await lease_of(operator)
        return detail.removesuffix(" acts") if detail.endswith(" acts") and "standby" not in detail else ""

    return await eventually(identity, f"{operator.url} acts", PATIENCE)


async def stands_by(operator: Operator) -> None:
    async def standby() -> bool:
        return (await lease_of(operator)).startswith("standby")

    await eventually(standby, f"{operator.url} stands by", PATIENCE)


@asynccontextmanager
async def unfit(stage: Stage) -> AsyncIterator[Operator]:
    """A newer replica that does not reach RabbitMQ. It is gone at the end."""
    environment = stage.environment(RABBITMQ_PORT=str(free_port()))
    made = Operator(environment, stage.folder / "operator-unfit.log", launcher=stage.ground.launcher)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def second(stage: Stage) -> AsyncIterator[Operator]:
    """Another replica, newer than the first. It is gone at the end."""
    made = await stage.start_operator()
    try:
        yield made
    finally:
        if made.alive:
            os.kill(made.pid, signal.SIGCONT)
        await made.stop()
        stage.operators.remove(made)


def writes_by(stage: Stage, identity: str) -> list[Call]:
    """The requests of this replica that change something, at all stand-ins."""
    standins = (stage.jenkins, stage.argocd, stage.hub, stage.godaddy)
    agent = f"devops-reconciler/{identity}"
    calls = [call for standin in standins for call in standin.controls.writes]
    return [call for call in calls if call.headers.get("user-agent") == agent and "session" not in call.path]


async def _with_slow_build(play: Play) -> None:
    await (await play.sample()).commit("Take time", {"Jenkinsfile": SLOW})


async def test_the_newest_replica_takes_over_in_the_middle_of_a_deployment(play: Play) -> None:
    await play.set_up()
    await _with_slow_build(play)
    old = await acts(play.operator)
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running", message="runs")
    async with second(play.stage) as newer:
        new = await acts(newer)
        at = datetime.now(UTC)
        await stands_by(play.operator)
        assert (await play.operator.answer("/readyz"))[0] == 200
        assert "standby" in (await play.operator.answer("/readyz"))[1]
        await trigger.ended()
        assert len(play.builds) == 1
        check_heartbeats(trigger.beats, repeats=True)
        assert [call for call in writes_by(play.stage, old) if call.at > at] == []
        assert writes_by(play.stage, new)
    await acts(play.operator)


async def test_a_newer_replica_that_is_not_ready_disturbs_nobody(play: Play) -> None:
    await play.set_up()
    old = await acts(play.operator)
    async with unfit(play.stage) as newer:

        async def waits() -> bool:
            return "rabbitmq_connection: no messages are taken" in await lease_of(newer)

        await eventually(waits, "the newer replica says why it does not ask for the Lease", PATIENCE)
        assert (await newer.answer("/readyz"))[0] == 503

        async def leads() -> bool:
            status = (await play.stage.kube.get(PEERING_PATH)).get("status") or {}
            priorities = {who: entry["priority"] for who, entry in status.items()}
            return len(priorities) > 1 and priorities.get(old) == max(priorities.values())

        await eventually(leads, "the Kopf of the one that acts rests in favour of no peer", PATIENCE)
        await play.deploy()
        lease = await play.stage.kube.get(LEASE_PATH)
        assert lease["spec"]["holderIdentity"] == old


async def test_a_holder_that_is_killed_is_replaced_by_the_standby(play: Play) -> None:
    await play.set_up()
    await _with_slow_build(play)
    async with second(play.stage) as newer:
        await acts(newer)
        trigger = await play.send("deploy")
        await trigger.heard("build", "Running", message="runs")
        await newer.kill()
        await acts(play.operator)
        await trigger.ended()
    assert len(play.builds) == 1
    check_heartbeats(trigger.beats, repeats=True)


@pytest.mark.parametrize("path", ["/buildWithParameters", "/sync"])
async def test_a_holder_that_is_stopped_past_its_lease_writes_nothing_when_it_goes_on(play: Play, path: str) -> None:
    await play.set_up()
    await _with_slow_build(play)
    async with second(play.stage) as newer:
        paused = await acts(newer)
        stopped = asyncio.Event()

        async def stop(*_: object) -> None:
            os.kill(newer.pid, signal.SIGSTOP)
            stopped.set()

        def is_it(call: Call) -> bool:
            return call.method == "POST" and path in call.path and play.project in call.path

        for standin in (play.stage.jenkins, play.stage.argocd):
            standin.controls.trap("after_effect", is_it, stop)
        trigger = await play.send("deploy")
        await asyncio.wait_for(stopped.wait(), 30)
        await acts(play.operator)
        await trigger.ended()
        at = datetime.now(UTC)
        os.kill(newer.pid, signal.SIGCONT)
        await stands_by(newer)
        again = await play.send("deploy", environment="pr-1")
        await again.ended()
        assert writes_by(play.stage, paused), "it did act before"
        assert [call for call in writes_by(play.stage, paused) if call.at > at] == []
        assert "standby" not in await lease_of(play.operator), "who was found silent does not ask for it back"
        await newer.wait_ready()
    assert len(play.builds) == 2
    check_heartbeats(trigger.beats, repeats=True)
    check_heartbeats(again.beats, repeats=True)


async def test_an_orderly_stop_with_all_kinds_of_work_in_flight_is_quick_and_gives_the_lease_back(play: Play) -> None:
    await play.set_up()
    preview = await play.deploy(environment="pr-1")
    await _with_slow_build(play)
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running", message="runs")
    await play.stage.kube.delete(f"{RECORDS_PATH}/{preview['metadata']['name']}")
    play.stage.argocd.controls.latency = timedelta(seconds=1)
    began = time.monotonic()

    code = await play.operator.stop()

    assert code == 0, play.operator.logs()
    assert time.monotonic() - began < 30
    play.stage.argocd.controls.latency = timedelta(0)
    lease = await play.stage.kube.get(LEASE_PATH)
    assert not lease["spec"].get("holderIdentity")
    await play.operator.start()
    await play.operator.wait_ready()
    await acts(play.operator)
    await trigger.ended()
    assert len(play.builds) == 2
    check_heartbeats(trigger.beats, repeats=True)
