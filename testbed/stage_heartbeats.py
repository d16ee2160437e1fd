"""Everybody who listens to heartbeats: a consumer that keeps all of them in the order of their arrival."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

EXCHANGE = "devops"
HEARTBEAT_EXCHANGE = "devops.heartbeat"
QUEUE = "devops.reconciler"
ROUTING_KEYS = {"DevOpsInitialize": "devops.initialize", "DevOpsReconcile": "devops.reconcile"}
DEADLINE = timedelta(seconds=60)
CLIENT_HEARTBEAT_SECONDS = 60


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat as it arrived."""

    message_id: str
    routing_key: str
    body: bytes
    payload: dict[str, Any]

    @property
    def sequence(self) -> int:
        return int(self.payload["sequence"])

    @property
    def is_tick(self) -> bool:
        return self.payload.get("tick") is not None

    def __str__(self) -> str:
        it = self.payload
        words = [f"#{it['sequence']}", it["step"], it["state"], it["reason"], it["result"], it["message"]]
        return " ".join(str(word) for word in words if word)


class Broker(Protocol):
    """Where a broker is, and an account there."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...

    @property
    def vhost(self) -> str: ...


class Heartbeats:
    """The connection of a user to the broker: sends triggers, and has heard every heartbeat since it was opened."""

    def __init__(self, broker: Broker, lane: str = "") -> None:
        """``lane`` sets the names at a broker of several stages apart."""
        self._broker = broker
        suffix = f".{lane}" if lane else ""
        self.exchange, self.heartbeat_exchange = EXCHANGE + suffix, HEARTBEAT_EXCHANGE + suffix
        self.queue = QUEUE + suffix
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._news = asyncio.Condition()
        self.all: list[Heartbeat] = []
        """Everything that came, repetitions and ticks included."""
        self.listeners: list[Callable[[Heartbeat], None]] = []
        """Called for each heartbeat as it arrives."""

    async def __aenter__(self) -> Heartbeats:
        self._connection = await aio_pika.connect(
            host=self._broker.host,
            port=self._broker.port,
            login=self._broker.username,
            password=self._broker.password,
            virtualhost=self._broker.vhost,
            heartbeat=CLIENT_HEARTBEAT_SECONDS,
        )
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        await self._channel.declare_exchange(self.exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        exchange = await self._channel.declare_exchange(
            self.heartbeat_exchange, aio_pika.ExchangeType.TOPIC, durable=True
        )
        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#")
        await queue.consume(self._take, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def publish(self, message: Mapping[str, Any] | bytes, routing_key: str | None = None) -> None:
        """Send a trigger, persistent and confirmed. The queue of the operator must exist.

        Bytes go out as they are; without a ``routing_key`` a message goes where its ``event_type`` belongs.
        """
        assert self._channel is not None
        known = ROUTING_KEYS["DevOpsReconcile"] if isinstance(message, bytes) else ROUTING_KEYS[message["event_type"]]
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        exchange = await self._channel.get_exchange(self.exchange, ensure=False)
        sent = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, content_type="application/json")
        await exchange.publish(sent, routing_key=routing_key or known, mandatory=True)

    async def dead_letter(self, matches: Callable[[AbstractIncomingMessage], bool], deadline: timedelta) -> Any:
        """The first message of the dead-letter queue that matches; the others go back."""
        assert self._connection is not None
        channel = await self._connection.channel()
        try:
            queue = await channel.get_queue(f"{self.queue}.dead")
            async with asyncio.timeout(deadline.total_seconds()), queue.iterator() as messages:
                async for message in messages:
                    if matches(message):
                        await message.ack()
                        return message
        finally:
            # What was looked at and not acknowledged goes back to the queue.
            await channel.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        payload = json.loads(message.body)["payload"]
        beat = Heartbeat(message.message_id or "", message.routing_key or "", message.body, payload)
        async with self._news:
            self.all.append(beat)
            self._news.notify_all()
        for listener in self.listeners:
            listener(beat)

    def of(self, project: str, deployment: str | None = None, *, ticks: bool = False) -> list[Heartbeat]:
        """The heartbeats of a project, or of one deployment; ticks are left out unless asked for."""
        return [
            beat
            for beat in self.all
            if beat.payload["project"] == project
            and deployment in (None, beat.payload["deployment"])
            and (ticks or not beat.is_tick)
        ]

    def of_event(self, event_id: str) -> list[Heartbeat]:
        """The heartbeats of the deployment that this trigger started, without ticks."""
        return [beat for beat in self.all if beat.payload["trigger_event_id"] == event_id and not beat.is_tick]

    async def wait(self, matches: Callable[[Heartbeat], bool], what: str, deadline: timedelta = DEADLINE) -> Heartbeat:
        """The first heartbeat, past or coming, that matches. Raises TimeoutError with what was heard instead."""
        try:
            async with asyncio.timeout(deadline.total_seconds()), self._news:
                seen = 0
                while True:
                    for beat in self.all[seen:]:
                        if matches(beat):
                            return beat
                    seen = len(self.all)
                    await self._news.wait()
        except TimeoutError:
            last = "\n  ".join(f"{beat.routing_key} {beat}" for beat in self.all[-12:]) or "nothing at all"
            raise TimeoutError(
                f"no heartbeat within {deadline.total_seconds():.0f} s: {what}. The last that came:\n  {last}"
            ) from None

    async def terminal(
        self, project: str, deployment: str | None = None, *, event: str | None = None, deadline: timedelta = DEADLINE
    ) -> Heartbeat:
        """The terminal heartbeat of a deployment: by its name, or by the event that triggered it."""

        def matches(beat: Heartbeat) -> bool:
            it = beat.payload
            chosen = deployment in (None, it["deployment"]) and event in (None, it["trigger_event_id"])
            return bool(it["terminal"]) and it["project"] == project and chosen

        return await self.wait(matches, f"the terminal one of {deployment or event or project}", deadline)
