"""The permissions that the quickstart gives at RabbitMQ are enough for all that the operator does there."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ

from .message_office import Office, beat, deploy, heartbeat_queue, received, settings_for
from .test_canary import came_back, singing

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
WHO = "least"


def permissions() -> list[str]:
    """The patterns for configuring, writing and reading, as the page has them."""
    (line,) = re.findall(r"^rabbitmqctl set_permissions .+$", PAGE, re.MULTILINE)
    return shlex.split(line)[-3:]


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    """An office whose account at the broker may do what the page says, and has names that begin as the default ones."""
    texts = ", ".join(f'<<"{pattern}">>'.replace("\\", "\\\\") for pattern in permissions())
    at = "rabbit_auth_backend_internal"
    rabbitmq.evaluate(f'{at}:add_user(<<"{WHO}">>, <<"{rabbitmq.password}">>, <<"tests">>).')
    rabbitmq.evaluate(f'{at}:set_permissions(<<"{WHO}">>, <<"{rabbitmq.vhost}">>, {texts}, <<"tests">>).')
    names = {
        "rabbitmq_exchange": "devops.least",
        "rabbitmq_queue": "devops.reconciler.least",
        "rabbitmq_heartbeat_exchange": "devops.heartbeat.least",
    }
    settings = settings_for(rabbitmq, namespace, rabbitmq_username=WHO, **names)
    access = find_cluster(kubeconfig=str(control_plane.kubeconfig()))
    async with open_cluster(access, SystemClock()) as kubernetes:
        opened = Office(settings, kubernetes, namespace)
        yield opened
        await opened.stop()


async def test_messages_dead_letters_heartbeats_and_the_canary_go_through(office: Office) -> None:
    await office.start_listener()
    await office.start_sender()
    heard = await heartbeat_queue(office)

    await office.record(await office.send(deploy()))
    await office.send_raw(b"nonsense")
    office.sender.offer("u-1", [beat(1)])

    assert (await office.dead()).headers["x-reason"] == "InvalidMessage"
    assert (await received(office, heard, 1))[0].message_id == "u-1-1"
    async with singing(office) as canary:
        await came_back(canary)
