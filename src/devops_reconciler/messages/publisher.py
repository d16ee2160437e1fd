"""Publishing with confirms, on a connection of its own.

Of its own, because a broker that is short of memory or disk stops to read from connections that publish: what consumes
and acknowledges must not be on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError

from ..api.errors import ExternalServiceError, ReconcilerError
from .connection import SERVICE, Connect, Unroutable, ask, close, open_channel

PUBLISH_TIMEOUT = timedelta(seconds=10)
BLOCKED_AFTER = timedelta(milliseconds=100)
UNANSWERED_LIMIT = 1000
"""So many messages without an answer a connection may have: the AMQP client remembers each as long as it lives."""

Prepare = Callable[[AbstractChannel], Awaitable[None]]
"""Declares what is published to, on each new connection."""


class NotTaken(ExternalServiceError):
    """The broker does not take this one message, though the connection is sound: others may well go through.

    A queue that is bound to its routing key refuses it, being full, or keeps silent, having lost its majority. Other
    queues may have it.
    """


class Publisher:
    """Connects at the first use, and anew when the connection is no good. Safe to use from many tasks at once."""

    def __init__(self, connect: Connect, prepare: Prepare) -> None:
        self._connect = connect
        self._prepare = prepare
        self._opening = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._answers = 0
        """How many messages the broker has confirmed or refused."""
        self._unanswered = 0
        """About how many it has kept silent on this connection."""

    async def open(self) -> AbstractChannel:
        """The open channel, made where there is none. Raises ReconcilerError."""
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self._discard()
            connection = self._connection = await self._connect()
            try:
                channel = await open_channel(connection)
                await self._prepare(channel)
            except ReconcilerError:
                await self._discard()
                raise
            self._channel, self._unanswered = channel, 0
            return channel

    async def publish(self, exchange: str, routing_key: str, message: Message, *, mandatory: bool = False) -> None:
        """Return when the broker has confirmed the message. Raises ReconcilerError: then it may be there or not.

        `NotTaken` is about this message alone. `mandatory`: raises `Unroutable` where no queue takes it.
        """
        channel = await self.open()
        answers = self._answers
        try:
            published = self._published(channel, exchange, routing_key, message, mandatory)
            await ask(_act(exchange, routing_key), published, PUBLISH_TIMEOUT)
        except (NotTaken, Unroutable):
            self._answers += 1
            raise
        except ReconcilerError as error:
            blocked = await self._is_blocked(channel)
            if not blocked and self._answers > answers and self._may_stay(channel):
                raise NotTaken(f"{error.message}, others have one", service=SERVICE) from error
            await self._drop(channel)
            raise (_blocked() if blocked else error) from error
        self._answers += 1

    def _may_stay(self, channel: AbstractChannel) -> bool:
        """Whether a channel that has answered others meanwhile is kept in spite of one message without an answer."""
        self._unanswered += 1
        return not channel.is_closed and self._unanswered <= UNANSWERED_LIMIT

    async def _published(
        self, channel: AbstractChannel, exchange: str, routing_key: str, message: Message, mandatory: bool
    ) -> None:
        target = await channel.get_exchange(exchange, ensure=False)
        await self._unblocked()
        try:
            await target.publish(message, routing_key, mandatory=mandatory)
        except PublishError:
            raise
        except DeliveryError as error:
            raise NotTaken(
                f"RabbitMQ: {_act(exchange, routing_key)}: refused: a queue that is bound to it is full, or ill",
                service=SERVICE,
            ) from error

    async def _unblocked(self) -> None:
        transport = self._connection.transport if self._connection is not None else None
        if transport is not None:
            await transport.ready()

    async def watch(self) -> None:
        """Wait until the connection is lost. Raises ExternalServiceError then, ReconcilerError where there is none."""
        channel = await self.open()
        await channel.closed()
        raise ExternalServiceError("RabbitMQ: the connection was lost", service=SERVICE)

    async def check(self) -> str:
        """The state for people. Raises ExternalServiceError where nothing can be published now."""
        if self._channel is None or self._channel.is_closed:
            raise ExternalServiceError("RabbitMQ: not connected for publishing", service=SERVICE)
        if await self._is_blocked(self._channel):
            raise _blocked()
        return "connected"

    async def _is_blocked(self, channel: AbstractChannel) -> bool:
        """Whether the broker has told this connection that it reads no publications now."""
        try:
            await ask("publish", self._unblocked(), BLOCKED_AFTER)
        except ExternalServiceError:
            return not channel.is_closed
        return False

    async def close(self) -> None:
        """Close the connection, if there is one. The next use makes a new one."""
        async with self._opening:
            await self._discard()

    async def _drop(self, channel: AbstractChannel) -> None:
        async with self._opening:
            if self._channel is channel:
                await self._discard()

    async def _discard(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)


def _act(exchange: str, routing_key: str) -> str:
    return f"publish to '{exchange}' by '{routing_key}'"


def _blocked() -> ExternalServiceError:
    return ExternalServiceError(
        "RabbitMQ blocks publishers: it is short of memory or disk; what is to be sent waits", service=SERVICE
    )
