"""Both ways at once: heartbeats on a real RabbitMQ, what a restart of it does, and the health check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aio_pika import DeliveryMode

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.api.heartbeat import heartbeat_body
from devops_reconciler.messages.check import RabbitmqCheck
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import Office, beat, deploy, heartbeat_queue, open_office, received


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


async def test_a_restart_of_the_broker_loses_nothing(office: Office, rabbitmq: RabbitMQ) -> None:
    await office.start_listener()
    await office.start_sender()
    office.inbox.gate.clear()
    events = [await office.send(deploy(environment=f"pr-{number}")) for number in range(5)]
    heartbeats = await heartbeat_queue(office)
    await asyncio.to_thread(rabbitmq.restart)
    office.sender.offer("u-1", [beat(1), beat(2)])
    office.inbox.gate.set()
    for event_id in events:
        await office.record(event_id)
    await office.listening()
    events.append(await office.send(deploy(environment="pr-9")))
    await office.record(events[-1])
    records = await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)
    assert {record["spec"]["triggerEventId"] for record in records} == set(events)
    assert len(records) == len(events)
    assert [message.message_id for message in await received(office, heartbeats, 2)] == ["u-1-1", "u-1-2"]
    await office.stop("listener")
    await office.waiting(office.settings.rabbitmq_queue, 0)


async def test_heartbeats_are_published_confirmed_and_repeated_by_ticks_until_the_end(office: Office) -> None:
    await office.start_sender()
    name = await heartbeat_queue(office)
    office.sender.offer("u-1", [beat(1)])
    first, tick = await received(office, name, 2)
    assert (first.message_id, tick.message_id) == ("u-1-1", "u-1-1-1")
    assert first.routing_key == "shop.shop-abc"
    assert first.type == "DevOpsReconcileJobHeartbeat"
    assert first.delivery_mode == DeliveryMode.PERSISTENT
    assert first.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
    assert first.body == heartbeat_body(beat(1))
    assert json.loads(tick.body)["payload"]["tick"] == 1
    office.sender.offer("u-1", [beat(2, terminal=True)])

    async def over() -> bool:
        return office.told == [("u-1", 1), ("u-1", 2)]

    await eventually(over, "the end is confirmed")
    assert office.sender.confirmed("u-1") == 2


async def test_a_full_queue_of_one_subscriber_holds_up_no_other(office: Office) -> None:
    await office.start_sender()
    heard = await heartbeat_queue(office)
    full = await full_queue(office, "full.*")
    office.sender.offer("u-2", [of_project("full", beat(sequence, uid="u-2")) for sequence in (1, 2, 3)])

    async def refused() -> bool:
        return "by 'full.shop-abc': refused: a queue that is bound to it is full" in await said(office)

    await eventually(refused, "the check tells of the full queue")
    office.sender.offer("u-1", [beat(1), beat(2, terminal=True)])
    assert [message.message_id for message in await received(office, heard, 2)] == ["u-1-1", "u-1-2"]
    assert [sequence for uid, sequence in office.told if uid == "u-2"] == [1]
    received_of_full = [*await received(office, full, 1), *await received(office, full, 1)]
    assert [message.message_id for message in received_of_full] == ["u-2-1", "u-2-2"]


async def full_queue(office: Office, key: str) -> str:
    """A queue with room for one heartbeat; what is more it rejects."""
    name = f"{office.settings.rabbitmq_queue}.full"
    async with office.channel() as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(name, durable=True, arguments=arguments)
        await queue.bind(office.settings.rabbitmq_heartbeat_exchange, key)
    return name


def of_project(project: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "payload": {**entry["payload"], "project": project}}


async def said(office: Office) -> str:
    try:
        return await office.sender.check()
    except ExternalServiceError as error:
        return error.message


async def test_the_health_check_covers_both_ways(office: Office) -> None:
    check = RabbitmqCheck(office.listener, office.sender).check
    with pytest.raises(ExternalServiceError, match="no messages are taken: not started"):
        await check()
    await office.start_listener()
    with pytest.raises(ExternalServiceError, match="no heartbeats are sent: not started"):
        await check()
    await office.start_sender()

    async def healthy() -> str:
        try:
            return await check()
        except ExternalServiceError:
            return ""

    assert await eventually(healthy, "both ways are open") == (
        f"takes messages from {office.settings.rabbitmq_queue}; heartbeats: connected, 0 heartbeats wait"
    )
    await office.stop("sender")
    with pytest.raises(ExternalServiceError, match="no heartbeats are sent: stopped"):
        await check()


async def test_a_listener_that_ends_leaves_no_consumer_behind(office: Office) -> None:
    for _ in range(3):
        await office.start_listener()
        await office.stop("listener")

    async def alone() -> bool:
        async with office.channel() as channel:
            queue = await channel.declare_queue(office.settings.rabbitmq_queue, passive=True)
            return queue.declaration_result.consumer_count == 0

    await eventually(alone, "the broker knows of no consumer any more")
