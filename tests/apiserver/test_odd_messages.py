"""Messages that the AMQP client cannot read, or that end the connection, on a real RabbitMQ: they harm no other."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from aio_pika.abc import AbstractConnection
from pamqp.commands import Basic

from devops_reconciler.api.messages import InboundMessage
from devops_reconciler.cli.dead_letters import list_letters, replay_letters
from devops_reconciler.messages import listener, topology
from devops_reconciler.messages.outcome import Outcome
from devops_reconciler.messages.publish import reconcile_message
from devops_reconciler.messages.topology import dead_name
from devops_reconciler.runtime.manager import Backoff
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ

from .message_office import GatedInbox, Office, deploy, open_office
from .test_dead_letters import environment

SECONDS = 1767268800
ODD: dict[str, tuple[int, bytes]] = {
    "microseconds": (1 << 6, struct.pack(">Q", SECONDS * 10**6)),
    "nanoseconds": (1 << 6, struct.pack(">Q", SECONDS * 10**9)),
    "latin1": (1 << 15, b"\x05text\xe9"),
    "key": (1 << 13, struct.pack(">I", 4) + b"\x01\xe9t\x01"),
    "time": (1 << 13, struct.pack(">I", 11) + b"\x01aT" + struct.pack(">Q", SECONDS * 10**6)),
}
"""Flags and bytes of one property each."""


class Raw(Basic.Properties):
    """Properties that go out as these bytes."""

    def __init__(self, flags: int, content: bytes) -> None:
        super().__init__(message_id="of the client's own book-keeping")
        self.raw = struct.pack(">H", flags) + content

    def marshal(self) -> bytes:
        return self.raw


async def send_odd(office: Office, name: str, body: bytes, exchange: str | None = None) -> None:
    async with office.channel() as channel:
        underlay = await channel.get_underlay_channel()
        where = exchange if exchange is not None else office.settings.rabbitmq_exchange
        await underlay.basic_publish(
            body, exchange=where, routing_key="devops.reconcile", properties=Raw(*ODD[name]), mandatory=True
        )


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


async def test_messages_with_odd_properties_are_taken_among_the_others(office: Office) -> None:
    await office.start_listener()
    events = []
    for name in ODD:
        events.append(await office.send(deploy(environment=f"good-{name}")))
        message = deploy(environment=name)
        events.append(message["event_id"])
        await send_odd(office, name, json.dumps(message).encode())
    for event_id in events:
        await office.record(event_id)
    assert await office.settled(len(events)) == ["created"] * len(events)
    await office.stop("listener")
    await office.waiting(office.settings.rabbitmq_queue, 0)
    assert await office.count(dead_name(office.settings)) == 0


async def test_odd_dead_letters_are_listed_and_published_again(office: Office) -> None:
    await office.start_listener()
    for name in ODD:
        await send_odd(office, name, f"no json: {name}".encode())
    await office.letters(len(ODD))
    # As the broker itself moves them there, with all their properties.
    messages = [deploy(environment=name) for name in ODD]
    for name, message in zip(ODD, messages, strict=True):
        await send_odd(office, name, json.dumps(message).encode(), dead_name(office.settings))
    said: list[str] = []
    await asyncio.to_thread(list_letters, environment(office), said.append, reason=None, as_json=True)
    rows = json.loads(said[0])
    assert sorted(row["reason"] for row in rows) == ["InvalidMessage"] * len(ODD) + ["unknown"] * len(ODD)
    await asyncio.to_thread(replay_letters, environment(office), said.append, (), every=False, reason="unknown")
    for message in messages:
        await office.record(message["event_id"])
    await office.letters(len(ODD))


class Deadly(GatedInbox):
    """An inbox that one event ends the connection of, as often as it comes."""

    event_id = ""
    connection: AbstractConnection
    deaths = 0

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome:
        if message.event_id == self.event_id:
            self.deaths += 1
            await self.connection.close()
        return await super().accept(message, replayed_at)


async def test_a_message_that_ends_each_connection_is_given_up_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = timedelta(milliseconds=1)
    monkeypatch.setattr(listener, "RECONNECT", Backoff(first=at_once, longest=at_once))
    monkeypatch.setattr(topology, "DELIVERY_LIMIT", 3)
    inbox = Deadly(office.inbox.inbox)

    async def connect() -> AbstractConnection:
        inbox.connection = await office.connect()
        return inbox.connection

    async with office.channel() as channel:
        await topology.declare_queues(channel, office.settings)
    # More than is taken ahead at a time.
    events = [await office.send(reconcile_message(f"p-{number}", "deploy")) for number in range(5)]
    inbox.event_id = await office.send(deploy())
    events += [await office.send(reconcile_message(f"p-{number}", "deploy")) for number in range(5, 30)]
    office.replace_listener(inbox=inbox, connect=connect)
    await office.start_listener()
    for number, event_id in enumerate(events):
        await office.record(event_id, f"p-{number}")
    letter = await office.dead()
    assert json.loads(letter.body)["event_id"] == inbox.event_id
    assert inbox.deaths == 4
    await office.stop("listener")
    await office.waiting(office.settings.rabbitmq_queue, 0)
    assert await office.count(dead_name(office.settings)) == 0
