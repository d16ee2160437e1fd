"""The canary: a message to ourselves through the queue of triggers, which proves that messages are still taken.

A consumer may fall silent while connection and channel look well: deleted behind our back, or stuck. So each replica
sends a canary, whoever consumes answers it without doing anything, and the answer comes back to its sender by direct
reply-to in RabbitMQ: no queue is declared for it, and none can be addressed by a forged canary.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from ..api.errors import ExternalServiceError, ReconcilerError
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.settings import Settings
from ..runtime.waiting import first_of
from .connection import SERVICE, Connect, Unroutable, ask, close, open_channel
from .topology import declare_queues

TYPE = "Canary"
"""The AMQP type of a canary. It is no event of ours: its body is not looked at."""
REPLY_TO = "amq.rabbitmq.reply-to"
SILENCE = 2
"""Intervals without an answer after which the consumer counts as silent."""
IDLE = 10
"""Intervals without any delivery at all after which a consumer is made anew, though another one answers."""
RECONNECT = timedelta(seconds=5)
CONNECTED = timedelta(days=1)
"""How long a connection is used: with the next one the certificate shows that the broker has by then."""
LOOK = timedelta(seconds=1)
"""How often we look whether messages are taken again."""

_log = get_logger(__name__)


class Watched(Protocol):
    """What is watched: the message listener."""

    @property
    def takes(self) -> bool:
        """Whether messages are being taken now; not while it connects, has stopped on purpose, or holds a write."""
        ...

    @property
    def settled_at(self) -> float:
        """When its consumer last finished with a message, or began (monotonic seconds)."""
        ...

    def renew(self, why: str) -> None:
        """Make the consumer anew."""
        ...


def is_canary(delivery: AbstractIncomingMessage) -> bool:
    """Whether it is to be answered instead of being read."""
    return delivery.type == TYPE and (delivery.reply_to or "").startswith(f"{REPLY_TO}.")


def answer_to(delivery: AbstractIncomingMessage) -> Message:
    """The answer, for the default exchange and the routing key `reply_to`."""
    return Message(b"", type=TYPE, correlation_id=delivery.correlation_id)


class Canary:
    """The supervised task `canary` of one replica, on a connection of its own."""

    def __init__(self, settings: Settings, connect: Connect, clock: Clock, listener: Watched) -> None:
        self._settings = settings
        self._queue = settings.rabbitmq_queue
        self._interval = settings.canary_interval
        self._connect = connect
        self._clock = clock
        self._listener = listener
        self._answered = asyncio.Event()
        self._last: float | None = None
        self._silent: str | None = None
        self._state = "the canary has not been sent yet"

    async def check(self) -> str:
        """A sentence. Raises ExternalServiceError while messages are not taken though RabbitMQ is up."""
        if self._silent is not None:
            raise ExternalServiceError(self._silent, service=SERVICE)
        return self._state

    async def run(self) -> None:
        """Send canaries until cancelled. Raises only what nobody foresaw."""
        while True:
            try:
                await self._sing()
            except Unroutable as error:
                self._listener.renew(f"its queue is gone: {error.message}")
            except ReconcilerError as error:
                # The listener and its check say that RabbitMQ is away: nothing is proven, nothing is disproven.
                self._state = f"no canary: {error.message}"
            await self._clock.sleep(RECONNECT)

    async def _sing(self) -> None:
        """On one connection, for a day or until it is lost: then it raises ReconcilerError."""
        connection = await self._connect()
        last = self._clock.monotonic() + CONNECTED.total_seconds()
        try:
            channel = await open_channel(connection)
            replies = await channel.get_queue(REPLY_TO, ensure=False)
            await ask("consume the answers of canaries", replies.consume(self._heard, no_ack=True))
            while self._clock.monotonic() < last:
                if self._listener.takes:
                    await self._send(channel)
                    await self._listen(channel)
                else:
                    self._state = "no canary while no messages are taken"
                    await self._rest(channel, min(self._interval, LOOK))
        finally:
            await close(connection)

    async def _send(self, channel: AbstractChannel) -> None:
        self._answered.clear()
        message = Message(b"{}", type=TYPE, reply_to=REPLY_TO, correlation_id=str(uuid4()))
        sent = channel.default_exchange.publish(message, self._queue, mandatory=True)
        await ask(f"publish a canary to queue '{self._queue}'", sent)

    async def _listen(self, channel: AbstractChannel) -> None:
        """Until the next canary is due: an answer and a rest, or silence."""
        limit = self._interval * SILENCE
        since = self._clock.monotonic()
        await self._rest(channel, limit, answered=True)
        if self._answered.is_set():
            self._note_answer()
            # A canary comes back also where triggers are lost, their exchange or a binding having been removed.
            await declare_queues(channel, self._settings)
            await self._rest(channel, self._interval)
        elif self._listener.takes and self._listener.settled_at < since:
            self._note_silence(limit)

    async def _rest(self, channel: AbstractChannel, time: timedelta, *, answered: bool = False) -> None:
        waits = [self._clock.sleep(time), channel.closed()]
        await first_of(*waits, *([self._answered.wait()] if answered else []))
        if channel.is_closed:
            raise ExternalServiceError("RabbitMQ: the connection was lost", service=SERVICE)

    async def _heard(self, _answer: AbstractIncomingMessage) -> None:
        # Also a late answer to an earlier canary proves that messages are taken now.
        self._answered.set()
        self._silent = None

    def _note_answer(self) -> None:
        self._silent, self._state = None, f"the canary came back at {self._clock.now():%H:%M:%S} UTC"
        idle = self._clock.monotonic() - self._listener.settled_at
        if self._listener.takes and idle > (self._interval * IDLE).total_seconds():
            # With several replicas a canary may always be answered by the others.
            self._listener.renew(f"no message has reached it for {idle:.0f} s, while others take them")

    def _note_silence(self, limit: timedelta) -> None:
        self._silent = (
            f"a canary sent to queue '{self._queue}' did not come back within {limit.total_seconds():g} s: "
            "messages are not taken, though RabbitMQ is up; the consumer is made anew"
        )
        _log.error("the consumer is silent", queue=self._queue, within=limit.total_seconds())
        self._listener.renew("it is silent")
