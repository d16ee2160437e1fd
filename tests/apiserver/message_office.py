"""A message listener and a heartbeat sender on a real RabbitMQ and a real API server, for the tests of this folder."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from devops_reconciler.api.heartbeat import heartbeat
from devops_reconciler.api.messages import InboundMessage
from devops_reconciler.api.names import record_name
from devops_reconciler.messages.connection import Connect, connect, open_channel
from devops_reconciler.messages.inbox import Inbox, Outcome
from devops_reconciler.messages.listener import MessageListener
from devops_reconciler.messages.publish import publish, reconcile_message
from devops_reconciler.messages.sender import HeartbeatSender
from devops_reconciler.messages.topology import dead_name, declare_heartbeats
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.settings import Settings
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Kubernetes, Object
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

LONG = timedelta(seconds=60)


def settings_for(broker: RabbitMQ, namespace: str, **values: Any) -> Settings:
    """Settings with names of their own at the broker, so that tests share it."""
    name = f"test-{secrets.token_hex(4)}"
    return Settings.model_validate(
        {
            "rabbitmq_host": broker.host,
            "rabbitmq_port": broker.port,
            "rabbitmq_username": broker.username,
            "rabbitmq_password": broker.password,
            "rabbitmq_exchange": f"{name}.in",
            "rabbitmq_queue": name,
            "rabbitmq_heartbeat_exchange": f"{name}.heartbeat",
            "jenkins_endpoint": "http://jenkins",
            "argocd_endpoint": "http://argocd",
            "argocd_token": "argo",
            "default_git_username": "git",
            "reconciler_namespaces": (namespace,),
            "heartbeat_interval": "200ms",
            **values,
        }
    )


class GatedInbox:
    """The real inbox, with a gate before its writes and a tally of what went through."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = 0
        self.inside = 0
        self.most = 0
        """The most writes that went on at the same time."""
        self.outcomes: list[str] = []

    def place(self, message: InboundMessage) -> tuple[str, str]:
        return self.inbox.place(message)

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome:
        self.began += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
            outcome = await self.inbox.accept(message, replayed_at)
        finally:
            self.inside -= 1
        self.outcomes.append(outcome.word)
        return outcome


class Office:
    """A listener and a sender on the real things, and a channel of our own to look at queues."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes, namespace: str) -> None:
        self.settings = settings
        self.kubernetes = kubernetes
        self.namespace = namespace
        self.connect = partial(connect, settings)
        self.inbox = GatedInbox(Inbox(kubernetes, settings, SystemClock()))
        self.metrics = Metrics()
        self.listener = MessageListener(settings, self.connect, self.inbox, SystemClock(), self.metrics)
        self.told: list[tuple[str, int]] = []
        self.sender = HeartbeatSender(
            settings, self.connect, SystemClock(), self.metrics, lambda uid, sequence: self.told.append((uid, sequence))
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def replace_listener(self, *, inbox: GatedInbox | None = None, connect: Connect | None = None) -> None:
        """Another listener, not started."""
        self.inbox = inbox or self.inbox
        self.listener = MessageListener(self.settings, connect or self.connect, self.inbox, SystemClock(), self.metrics)

    async def start_listener(self) -> None:
        self._tasks["listener"] = asyncio.create_task(self.listener.run())
        await self.listening()

    async def listening(self) -> None:
        async def ready() -> bool:
            return self.listener.ready

        await eventually(ready, "the listener takes messages", LONG)

    async def start_sender(self) -> None:
        self._tasks["sender"] = asyncio.create_task(self.sender.run())

    async def stop(self, *names: str) -> None:
        for name in names or tuple(self._tasks):
            task = self._tasks.pop(name)
            task.cancel()
            await asyncio.wait({task})

    async def send(self, message: Mapping[str, Any] | bytes) -> str:
        return await publish(self.settings, message)

    async def send_raw(self, body: bytes, **properties: Any) -> None:
        async with self.channel() as channel:
            exchange = await channel.get_exchange(self.settings.rabbitmq_exchange)
            message = Message(body, delivery_mode=DeliveryMode.PERSISTENT, **properties)
            await exchange.publish(message, "devops.reconcile")

    def channel(self) -> _OwnChannel:
        return _OwnChannel(self.connect)

    async def count(self, name: str) -> int:
        """Messages of a queue that nobody has taken."""
        async with self.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.message_count or 0

    async def waiting(self, name: str, count: int) -> None:
        """Wait until a queue holds so many: what a consumer leaves behind comes back in the broker's own time.

        The queue itself may come back, too.
        """

        async def there() -> bool:
            try:
                return await self.count(name) == count
            except ChannelNotFoundEntity:
                return False

        await eventually(there, f"{count} messages are in {name}", LONG)

    async def dead(self) -> AbstractIncomingMessage:
        """The next dead letter, taken."""

        async def taken() -> AbstractIncomingMessage | None:
            async with self.channel() as channel:
                queue = await channel.declare_queue(f"{self.settings.rabbitmq_queue}.dead", passive=True)
                return await queue.get(fail=False, no_ack=True)

        message = await eventually(taken, "a dead letter is there")
        assert message is not None
        return message

    async def letters(self, count: int) -> None:
        """Wait until so many dead letters are there."""
        await self.waiting(dead_name(self.settings), count)

    async def record(self, event_id: str, project: str = "shop") -> Object:
        async def found() -> Object | None:
            return await self.kubernetes.get(DEPLOYMENT_RECORD, self.namespace, record_name(project, event_id))

        record = await eventually(found, f"the record of {event_id} is there", LONG)
        assert record is not None
        return record

    async def project(self) -> Object | None:
        return await self.kubernetes.get(DEVOPS_PROJECT, self.namespace, "shop")

    async def settled(self, count: int) -> list[str]:
        """The outcomes, once there are so many."""

        async def enough() -> bool:
            return len(self.inbox.outcomes) >= count

        await eventually(enough, f"{count} messages went through", LONG)
        return self.inbox.outcomes


class _OwnChannel:
    """`async with`: a connection and a channel for one look."""

    def __init__(self, connect_: Any) -> None:
        self._connect = connect_

    async def __aenter__(self) -> AbstractChannel:
        self._connection = await self._connect()
        return await open_channel(self._connection)

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


def deploy(**payload: Any) -> dict[str, Any]:
    """A message that deploys the project `shop`."""
    return reconcile_message("shop", "deploy", **payload)


def beat(sequence: int, *, uid: str = "u-1", terminal: bool = False) -> dict[str, Any]:
    """A heartbeat as it lies in an outbox."""
    return heartbeat(
        uid,
        "shop",
        "shop-abc",
        "production",
        "e-1",
        sequence,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        step="build",
        state="Succeeded" if terminal else "Running",
        percent=sequence,
        eta_seconds=None,
        message="",
        url=None,
        reason=None,
        terminal=terminal,
        result="Succeeded" if terminal else None,
    )


async def heartbeat_queue(office: Office) -> str:
    """A durable queue of ours that gets the heartbeats of project `shop`."""
    name = f"{office.settings.rabbitmq_queue}.heard"
    async with office.channel() as channel:
        await declare_heartbeats(channel, office.settings)
        queue = await channel.declare_queue(name, durable=True)
        await queue.bind(office.settings.rabbitmq_heartbeat_exchange, "shop.*")
    return name


async def received(office: Office, name: str, count: int) -> list[AbstractIncomingMessage]:
    """So many heartbeats, in the order in which they came."""
    received: list[AbstractIncomingMessage] = []
    async with office.channel() as channel:
        queue: AbstractQueue = await channel.declare_queue(name, passive=True)

        async def enough() -> bool:
            message = await queue.get(fail=False, no_ack=True)
            if message is not None:
                received.append(message)
            return len(received) >= count

        await eventually(enough, f"{count} heartbeats are there")
    return received


@asynccontextmanager
async def open_office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    """An office on these, closed at the end."""
    access = find_cluster(kubeconfig=str(control_plane.kubeconfig()))
    async with open_cluster(access, SystemClock()) as kubernetes:
        office = Office(settings_for(rabbitmq, namespace), kubernetes, namespace)
        try:
            yield office
        finally:
            await office.stop()
