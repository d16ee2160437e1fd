"""The operator starts while services are down: it begins with what it can, and takes up the rest as they return."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio

from testbed import rights
from testbed.stage import ZONE, Stage
from testbed.stage_cluster import NAMESPACE, condition
from testbed.stage_operator import Operator
from testbed.tcp_proxy import TcpProxy
from testbed.triggers import initialize
from testbed.waiting import eventually

from .play import DEADLINE, PROJECTS, Play, by_operator, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARTS = {"jenkins": "JenkinsReady", "argocd": "ArgoReady", "dockerhub": "RegistryReady", "godaddy": "DNSReady"}
LONG = timedelta(seconds=120)


async def parts(play: Play) -> set[str]:
    """Which parts of the project are ready."""
    project = await play.stage.kube.read(PROJECTS, play.project)
    conditions = (project or {}).get("status", {}).get("conditions", ())
    return {each["type"] for each in conditions if each["type"] in PARTS.values() and each["status"] == "True"}


async def ready_parts(play: Play, *wanted: str) -> None:
    """Waits until exactly these are ready."""

    async def probe() -> bool:
        return await parts(play) == set(wanted)

    await eventually(probe, f"ready are {wanted}", LONG)


async def test_with_every_vendor_down_it_starts_and_each_part_follows_its_vendor(play: Play) -> None:
    stage = play.stage
    controls = {
        "dockerhub": stage.hub.controls,
        "jenkins": stage.jenkins.controls,
        "godaddy": stage.godaddy.controls,
        "argocd": stage.argocd.controls,
    }
    assert await play.operator.stop() == 0
    for each in controls.values():
        each.down = True

    await play.operator.start()
    await play.operator.wait_ready()

    await stage.publish(initialize(play.project, await play.spec()))
    for plural in ("jenkinssettings", "registrysettings", "argosettings", "ingressresources"):
        await stage.kube.wait_condition(plural, NAMESPACE, play.project, "VendorDegraded", deadline=LONG)
    assert await parts(play) == set()
    assert (await play.operator.answer("/readyz"))[0] == 200
    returned: list[str] = []
    for service, each in controls.items():
        each.down = False
        returned.append(PARTS[service])
        await ready_parts(play, *returned)
    await play.ready()
    record = await play.deploy()
    assert (await play.visit()).image == record["status"]["image"]


@dataclass(frozen=True)
class Lacking:
    """What is not ready while a service is down, and which resource says so."""

    plural: str
    parts: frozenset[str]


LACKING = {
    "jenkins": Lacking("jenkinssettings", frozenset({"JenkinsReady"})),
    "argocd": Lacking("argosettings", frozenset({"ArgoReady"})),
    "dockerhub": Lacking("registrysettings", frozenset({"RegistryReady"})),
    "godaddy": Lacking("ingressresources", frozenset({"DNSReady"})),
    # The project's file is there, and both need to know what it says.
    "git": Lacking("jenkinssettings", frozenset({"JenkinsReady", "ArgoReady"})),
}


async def set_down(play: Play, service: str, *, down: bool) -> None:
    """Takes one service down, or up again. Jenkins can still push its images: it is the operator that lacks it."""
    stage = play.stage
    registry = stage.hub.registry.controls
    controls = {
        "jenkins": stage.jenkins.controls,
        "argocd": stage.argocd.controls,
        "dockerhub": stage.hub.controls,
        "godaddy": stage.godaddy.controls,
    }
    if service == "git":
        await play.sample()
        stage.git.repository(play.project).fail_with = 503 if down else None
    elif service != "registry":
        controls[service].down = down
    elif down:
        registry.fault("*", "", 503, times=None, only=by_operator)
    else:
        registry.clear()


async def starts_without(play: Play, service: str) -> None:
    """The operator comes up while the service is down, and is ready all the same."""
    assert await play.operator.stop() == 0
    await set_down(play, service, down=True)
    await play.operator.start()
    await play.operator.wait_ready()
    assert (await play.operator.answer("/healthz"))[0] == 200


@pytest.mark.parametrize("service", LACKING)
async def test_with_one_service_down_it_starts_sets_all_else_up_and_goes_on_by_itself(play: Play, service: str) -> None:
    await starts_without(play, service)
    lacking = LACKING[service]

    await play.stage.publish(initialize(play.project, await play.spec()))

    await ready_parts(play, *(set(PARTS.values()) - lacking.parts))
    degraded = await play.stage.kube.wait_condition(
        lacking.plural, NAMESPACE, play.project, "VendorDegraded", deadline=LONG
    )
    assert service in (condition(degraded, "VendorDegraded") or {})["message"]
    assert (await play.operator.answer("/readyz"))[0] == 200

    await set_down(play, service, down=False)

    await play.ready()
    record = await play.deploy()
    assert (await play.visit()).image == record["status"]["image"]


async def test_with_the_registry_down_it_starts_and_a_deployment_goes_on_when_it_returns(play: Play) -> None:
    await starts_without(play, "registry")
    await play.set_up()
    trigger = await play.send("deploy")
    degraded = await play.wait_record(await trigger.name(), "VendorDegraded")
    assert "registry" in (condition(degraded, "VendorDegraded") or {})["message"]
    assert (await play.operator.answer("/readyz"))[0] == 200

    await set_down(play, "registry", down=False)

    record = await trigger.ended()
    assert (await play.visit()).image == record["status"]["image"]
    assert len(play.builds) == 1


@dataclass
class Alone:
    """An operator with a namespace and a queue of its own, whose way to the broker can be cut."""

    stage: Stage
    name: str
    proxy: TcpProxy
    operator: Operator


@pytest_asyncio.fixture(loop_scope="session")
async def alone(stage: Stage) -> AsyncIterator[Alone]:
    """Not started yet, and the broker refuses its connections."""
    name = f"begin-{secrets.token_hex(3)}"
    kubeconfig = await rights.install(stage.control_plane, name)
    async with TcpProxy(stage.broker.host, stage.broker.port) as proxy:
        proxy.refuse()
        environment = stage.environment(
            KUBECONFIG=str(kubeconfig),
            RECONCILER_NAMESPACES=name,
            RABBITMQ_QUEUE=name,
            RABBITMQ_EXCHANGE=name,
            RABBITMQ_PORT=str(proxy.port),
        )
        operator = Operator(environment, stage.folder / f"{name}.log", name=name)
        yield Alone(stage, name, proxy, operator)
        await operator.stop()


async def test_without_the_broker_it_works_on_resources_and_sends_its_heartbeats_when_it_returns(alone: Alone) -> None:
    stage, kube, namespace = alone.stage, alone.stage.kube, alone.name
    await alone.operator.start()

    said: list[str] = []

    async def names_the_broker_alone() -> bool:
        status, text = await alone.operator.answer("/readyz")
        said.append(f"{status} {text}")
        return status == 503 and [line.partition(":")[0] for line in text.splitlines()] == ["rabbitmq_connection"]

    try:
        await eventually(names_the_broker_alone, "it is not ready because of the broker alone", DEADLINE)
    except TimeoutError as error:
        raise AssertionError(f"the last that it said: {said[-1]}\n{alone.operator.logs(60)}") from error
    assert (await alone.operator.answer("/healthz"))[0] == 200
    project = f"{alone.name}-shop"  # the namespace of that name is the operator's own
    spec = {"git": {"url": (await stage.sample(project)).url}, "ingress": {"host": f"{project}.{ZONE}"}}
    await kube.make("devopsprojects", project, spec, namespace)
    await kube.wait_condition("devopsprojects", namespace, project, "Ready", deadline=DEADLINE)
    await kube.make("deploymentrecords", "by-hand", {"projectRef": {"name": project}}, namespace)
    record = await kube.wait_condition("deploymentrecords", namespace, "by-hand", "Finished", deadline=DEADLINE)
    assert (condition(record, "Finished") or {})["reason"] == "Succeeded"
    assert stage.heartbeats.of(project) == []

    alone.proxy.resume()

    await alone.operator.wait_ready(DEADLINE)
    await stage.heartbeats.terminal(project, "by-hand")
    check_heartbeats(stage.heartbeats.of(project, "by-hand"))
