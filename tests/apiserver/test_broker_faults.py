"""What a broker can do to its consumers and publishers, on the real one: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.messages.canary import Canary
from devops_reconciler.messages.inbox import Outcome
from devops_reconciler.messages.publish import initialize_message, reconcile_message
from devops_reconciler.messages.topology import ROUTING_KEYS, dead_name, declare_queues
from devops_reconciler.messages.verdict import UNFORESEEN_ATTEMPTS
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import LONG, GatedInbox, Office, beat, deploy, heartbeat_queue, open_office, received

SPEC: dict[str, Any] = {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}}
PROJECTS = 20
DEPLOYMENTS = 500
INITIALIZES = 1000
BAD = 100
BURST = 5000
BURST_DEADLINE = timedelta(seconds=300)


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


@asynccontextmanager
async def short_of_memory(broker: RabbitMQ) -> AsyncIterator[None]:
    await asyncio.to_thread(broker.alarm, on=True)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.alarm, on=False)


async def test_a_broker_that_blocks_publishers_delays_what_is_sent_and_stops_nothing_that_is_taken(
    office: Office, rabbitmq: RabbitMQ
) -> None:
    await office.start_listener()
    await office.start_sender()
    heartbeats = await heartbeat_queue(office)
    office.inbox.gate.clear()
    events = [await office.send(deploy()) for _ in range(2)]
    async with short_of_memory(rabbitmq):
        office.inbox.gate.set()
        for event_id in events:
            await office.record(event_id)
        office.sender.offer("u-1", [beat(1), beat(2)])

        async def told() -> bool:
            try:
                await office.sender.check()
            except ExternalServiceError as error:
                return "short of memory or disk" in error.message
            return False

        await eventually(told, "the check says why", LONG)
        with pytest.raises(ExternalServiceError, match="short of memory or disk"):
            await office.send(deploy())
        assert office.listener.ready
        assert office.sender.confirmed("u-1") == 0

    async def confirmed() -> bool:
        return office.sender.confirmed("u-1") == 2

    await eventually(confirmed, "the broker has the heartbeats", LONG)
    # What was sent into the block may come twice, equal in id.
    count = await office.count(heartbeats)
    ids = [str(message.message_id) for message in await received(office, heartbeats, count)]
    assert [message_id for message_id in dict.fromkeys(ids) if message_id.count("-") == 2] == ["u-1-1", "u-1-2"]
    # The third was told that it failed, which does not say that the broker has not got it.
    assert len(await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)) in (2, 3)


async def test_a_message_that_is_refused_while_publishers_are_blocked_is_held_until_its_dead_letter_is_there(
    office: Office, rabbitmq: RabbitMQ
) -> None:
    async with office.channel() as channel:
        await declare_queues(channel, office.settings)
    await office.send_raw(b"no json")
    async with short_of_memory(rabbitmq):
        await office.start_listener()

        async def held() -> bool:
            return "held" in await office.listener.check()

        await eventually(held, "the refused one is held", LONG)
        assert await office.count(dead_name(office.settings)) == 0
        await office.stop("listener")
        await office.waiting(office.settings.rabbitmq_queue, 1)
    await office.start_listener()
    assert (await office.dead()).body == b"no json"

    async def takes() -> bool:
        return office.listener.takes

    await eventually(takes, "messages are taken again", LONG)
    await office.record(await office.send(deploy()))
    # What was sent into the block may have come through besides: the same letter a second time, and no other.
    again = await office.count(dead_name(office.settings))
    assert again <= 1
    assert [(await office.dead()).body for _ in range(again)] == [b"no json"] * again


async def test_a_message_that_makes_the_operator_fail_is_buried_after_five_attempts_and_others_go_on(
    office: Office,
) -> None:
    inbox = Poisoned(office.inbox.inbox)
    office.replace_listener(inbox=inbox)
    await office.start_listener()
    poison = await office.send(reconcile_message("poison", "deploy"))
    good = await office.send(deploy())
    await office.record(good)
    letter = await office.dead()
    assert letter.headers["x-reason"] == "InternalError"
    assert json.loads(letter.body)["event_id"] == poison
    assert inbox.attempts == UNFORESEEN_ATTEMPTS
    assert await office.settled(1) == ["created"]


class Poisoned(GatedInbox):
    """Fails on each message of the project `poison`."""

    attempts = 0

    async def accept(self, message: Any, replayed_at: datetime | None = None) -> Outcome:
        if message.payload.project == "poison":
            self.attempts += 1
            raise KeyError("a mistake of ours")
        return await super().accept(message, replayed_at)


async def test_a_consumer_cancelled_behind_our_back_is_found_by_the_canary_and_made_anew(office: Office) -> None:
    connections: list[AbstractConnection] = []

    async def connect() -> AbstractConnection:
        connections.append(await office.connect())
        return connections[-1]

    office.replace_listener(connect=connect)
    settings = office.settings.model_copy(update={"canary_interval": timedelta(milliseconds=500)})
    canary = Canary(settings, office.connect, SystemClock(), office.listener)
    await office.start_listener()
    singing = asyncio.create_task(canary.run())
    try:
        await cancel_silently(connections[0])
        assert office.listener.ready, "the listener knows, so this proves nothing"
        event_id = await office.send(deploy())
        await office.record(event_id)
        assert len(connections) > 1
    finally:
        singing.cancel()
        await asyncio.wait({singing})


async def cancel_silently(connection: AbstractConnection) -> None:
    """Cancel the consumers of a connection at the broker, as nobody would who is in order."""
    assert connection.transport is not None
    cancelled = 0
    for channel in connection.transport.connection.channels.values():
        for tag in tuple(channel.consumers) if channel is not None else ():
            await channel.basic_cancel(tag)
            cancelled += 1
    assert cancelled


async def test_a_burst_of_5000_messages_is_taken_in_bounded_portions_without_loss_or_double(office: Office) -> None:
    """New ones, repeats, older ones out of order and bad ones; and the listener is restarted in the middle."""
    async with office.channel() as channel:
        await declare_queues(channel, office.settings)
    burst = Burst()
    await burst.publish(office)
    # The very first one is taken alone, and may be under way when the others come.
    queue, ahead = office.settings.rabbitmq_queue, office.settings.rabbitmq_prefetch + 1
    await office.waiting(queue, BURST)
    office.inbox.gate.clear()
    await office.start_listener()

    async def portion() -> bool:
        dead = await office.count(dead_name(office.settings))
        return office.inbox.began > 0 and await office.count(queue) + dead + ahead >= BURST

    await eventually(portion, "a portion is taken", LONG)
    office.inbox.gate.set()
    await half(office)
    await office.stop("listener")
    await office.start_listener()

    async def empty() -> bool:
        return await office.count(queue) == 0 and office.inbox.inside == 0 and office.listener.takes

    await eventually(empty, "all are taken", BURST_DEADLINE)
    await office.letters(BAD)
    await office.stop("listener")
    while await office.count(queue):  # what was under way comes back: it is taken once more
        await office.start_listener()
        await eventually(empty, "what came back is taken", BURST_DEADLINE)
        await office.stop("listener")
    assert office.inbox.most <= ahead
    records = await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)
    assert Counter(record["spec"]["triggerEventId"] for record in records) == Counter(burst.deployments)
    for name, newest in burst.newest.items():
        project = await office.kubernetes.get(DEVOPS_PROJECT, office.namespace, name)
        assert project is not None
        assert project["spec"]["displayName"] == newest
    assert await reasons(office) == Counter({"InvalidMessage": BAD})


async def half(office: Office) -> None:
    async def done() -> bool:
        return len(office.inbox.outcomes) >= BURST // 2

    await eventually(done, "half of them are taken", BURST_DEADLINE)


class Burst:
    """5,000 messages of which many say again, or later, what others have said."""

    def __init__(self) -> None:
        rng = random.Random(5000)
        deployments = [reconcile_message(self._name(n), "deploy", environment="pr-1") for n in range(DEPLOYMENTS)]
        self.deployments = [message["event_id"] for message in deployments]
        self.newest: dict[str, str] = {}
        self.began = datetime.now(UTC) - timedelta(days=1)
        initializes = [self._initialize(number) for number in range(INITIALIZES)]
        bad = [{**reconcile_message("shop", "deploy"), "version": 99} for _ in range(BAD // 2)]
        bad += [{**reconcile_message("shop", "deploy"), "event_type": "DevOpsDream"} for _ in range(BAD // 2)]
        rng.shuffle(initializes)  # out of order
        all_once = [*deployments, *initializes, *bad]
        again = [*deployments, *rng.choices(initializes, k=BURST - len(all_once) - len(deployments))]
        self.messages = [*all_once, *again]
        rng.shuffle(self.messages)

    @staticmethod
    def _name(number: int) -> str:
        return f"shop-{number % PROJECTS}"

    def _initialize(self, number: int) -> dict[str, Any]:
        name, text = self._name(number), f"Shop {number}"
        self.newest[name] = text
        at = self.began + timedelta(seconds=number)
        return {**initialize_message(name, {**SPEC, "displayName": text}), "timestamp": at.isoformat()}

    async def publish(self, office: Office) -> None:
        """All of them, each confirmed."""
        async with office.channel() as channel:
            exchange = await channel.get_exchange(office.settings.rabbitmq_exchange)
            keys = {kind.value: key for kind, key in ROUTING_KEYS.items()}
            for start in range(0, len(self.messages), 200):
                await asyncio.gather(
                    *(
                        exchange.publish(
                            Message(json.dumps(message).encode(), delivery_mode=DeliveryMode.PERSISTENT),
                            keys.get(message["event_type"], "devops.reconcile"),
                        )
                        for message in self.messages[start : start + 200]
                    )
                )


async def reasons(office: Office) -> Counter[str]:
    """The reasons of all dead letters, which are taken."""
    found: Counter[str] = Counter()
    async with office.channel() as channel:
        queue = await channel.declare_queue(dead_name(office.settings), passive=True)
        while (letter := await queue.get(fail=False, no_ack=True)) is not None:
            found[str(letter.headers["x-reason"])] += 1
    return found
