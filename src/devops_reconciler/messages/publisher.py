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

from ..api.errors import ExternalServiceError, ReconcilerError
from .connection import SERVICE, Connect, Unroutable, ask, close, open_channel

PUBLISH_TIMEOUT = timedelta(seconds=10)
BLOCKED_AFTER = timedelta(milliseconds=100)

Prepare = Callable[[AbstractChannel], Awaitable[None]]
"""Declares what is published to, on each new connection."""


class Publisher:
    """Connects at the first use, and anew after each failure. Safe to use from many tasks at once."""

    def __init__(self, connect: Connect, prepare: Prepare) -> None:
        self._connect = connect
        self._prepare = prepare
        self._opening = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

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
            self._channel = channel
            return channel

    async def publish(self, exchange: str, routing_key: str, message: Message, *, mandatory: bool = False) -> None:
        """Return when the broker has confirmed the message. Raises ReconcilerError: then it may be there or not.

        `mandatory`: raises `Unroutable` where no queue takes it.
        """
        channel = await self.open()
        what = f"publish to '{exchange}' by '{routing_key}'"
        try:
            await ask(what, self._published(channel, exchange, routing_key, message, mandatory), PUBLISH_TIMEOUT)
        except Unroutable:
            raise
        except ReconcilerError as error:
            blocked = await self._is_blocked(channel)
            await self._drop(channel)
            raise (_blocked() if blocked else error) from error

    async def _published(
        self, channel: AbstractChannel, exchange: str, routing_key: str, message: Message, mandatory: bool
    ) -> None:
        target = await channel.get_exchange(exchange, ensure=False)
        await self._unblocked()
        await target.publish(message, routing_key, mandatory=mandatory)

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


def _blocked() -> ExternalServiceError:
    return ExternalServiceError(
        "RabbitMQ blocks publishers: it is short of memory or disk; what is to be sent waits", service=SERVICE
    )
