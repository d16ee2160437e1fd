"""The API server is down when the operator starts, or ill for long: it waits, says so, and goes on when it can."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from testbed import rights
from testbed.api_proxy import ApiProxy
from testbed.stage import Stage
from testbed.stage_operator import Operator
from testbed.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
DEADLINE = timedelta(seconds=90)
PEERINGS = "/kopfpeerings/"
TRIES = 12
"""Refused signs of life, after which Kopf by itself has given up, and ended the process."""


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(stage: Stage) -> AsyncIterator[ApiProxy]:
    """The operator's way to the API server, which is broken at first."""
    async with ApiProxy(stage.control_plane.server, stage.control_plane.authority) as proxy:
        proxy.controls.down = True
        yield proxy


@pytest_asyncio.fixture(loop_scope="session")
async def starting(stage: Stage, proxy: ApiProxy) -> AsyncIterator[Operator]:
    """An operator with a namespace and a queue of its own, started."""
    name = f"start-{secrets.token_hex(3)}"
    config = proxy.kubeconfig(await rights.install(stage.control_plane, name))
    environment = stage.environment(
        KUBECONFIG=str(config), RECONCILER_NAMESPACES=name, RABBITMQ_QUEUE=name, RABBITMQ_EXCHANGE=name
    )
    operator = Operator(environment, stage.folder / f"{name}.log", name=name)
    await operator.start()
    yield operator
    await operator.stop()


async def says_what_it_waits_for(operator: Operator) -> str:
    async def probe() -> str | None:
        status, text = await operator.answer("/readyz")
        return text if status == 503 and "waits for" in text else None

    found = await eventually(probe, "it says what it waits for", DEADLINE)
    assert found is not None
    return found


async def test_it_waits_alive_for_the_api_server_and_then_begins(proxy: ApiProxy, starting: Operator) -> None:
    assert "kubernetes" in await says_what_it_waits_for(starting)
    assert (await starting.answer("/healthz"))[0] == 200

    proxy.controls.down = False

    await starting.wait_ready(DEADLINE)


async def test_it_ends_in_order_while_it_still_waits(starting: Operator) -> None:
    await says_what_it_waits_for(starting)

    assert await starting.stop() == 0


async def test_it_goes_on_after_the_api_server_was_ill_for_long(
    stage: Stage, proxy: ApiProxy, starting: Operator
) -> None:
    proxy.controls.down = False
    await starting.wait_ready(DEADLINE)
    before = starting.pid
    ill = proxy.controls.fault("*", "", 503, times=None)
    since = len(proxy.controls.seen("PATCH", PEERINGS))

    async def refused() -> bool:
        return len(proxy.controls.seen("PATCH", PEERINGS)) - since >= TRIES

    await eventually(refused, "Kopf was refused more often than it would bear by itself", DEADLINE)
    proxy.controls.faults.remove(ill)
    await starting.wait_ready(DEADLINE)
    namespace = starting.environment["RECONCILER_NAMESPACES"]
    await stage.kube.make("deploymentrecords", "one", {"projectRef": {"name": "missing"}}, namespace)
    await stage.kube.wait_condition(
        "deploymentrecords", namespace, "one", "Ready", "Unknown", reason="DependencyNotReady", deadline=DEADLINE
    )
    assert starting.alive
    assert starting.pid == before
