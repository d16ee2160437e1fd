"""Looking at the dead-letter queue without consuming it, and publishing letters of it again.

What is looked at is fetched and not acknowledged: when the connection ends, however that comes about, the broker puts
it back. It does so in any order, and behind what was not fetched; so in the end we fetch the rest too, and give the
letters back one by one, which keeps their order. A letter is acknowledged, which removes it, only after the broker has
confirmed its copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractQueue

from ..api.errors import ExternalServiceError, ValidationError
from ..runtime.clock import Clock
from ..runtime.settings import RabbitmqVariables
from .connection import ask, close, connect, open_channel
from .letter import Letter
from .publish import declares_nothing, publish_trigger
from .publisher import Publisher
from .topology import dead_name

BACK_WITHIN = timedelta(seconds=5)
"""How long we wait to see what was given back in the queue again."""
BACK_LOOK = timedelta(milliseconds=20)
CLIENT = "devops-reconciler dead-letters"


@asynccontextmanager
async def open_dead_letters(settings: RabbitmqVariables, clock: Clock) -> AsyncIterator[DeadLetterQueue]:
    """The dead-letter queue, on connections of its own. Raises ReconcilerError."""
    open_connection = partial(connect, settings, name=CLIENT)
    publisher = Publisher(open_connection, declares_nothing)
    connection = await open_connection()
    try:
        channel = await open_channel(connection)
        queue = DeadLetterQueue(settings, clock, channel, await _existing(channel, dead_name(settings)), publisher)
        try:
            yield queue
        finally:
            await queue.give_back()
    finally:
        await publisher.close()
        await close(connection)


async def _existing(channel: AbstractChannel, name: str) -> AbstractQueue:
    try:
        return await ask(f"look at queue '{name}'", channel.declare_queue(name, passive=True))
    except ExternalServiceError as error:
        if "NOT_FOUND" not in error.message:
            raise
        raise ValidationError(
            f"RabbitMQ: there is no dead-letter queue '{name}': the operator makes it when it starts; check RABBITMQ_*"
        ) from error


class DeadLetterQueue:
    """The letters of one look. Meanwhile nobody else sees what it has fetched."""

    def __init__(
        self,
        settings: RabbitmqVariables,
        clock: Clock,
        channel: AbstractChannel,
        queue: AbstractQueue,
        publisher: Publisher,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._channel = channel
        self._queue = queue
        self._publisher = publisher
        self._held: dict[int, None] = {}
        """Delivery tags of what was fetched and is still to stay, in their order."""
        self._left = queue.declaration_result.message_count or 0
        """How many of those that were there at the beginning are still to be fetched."""

    async def letters(self) -> AsyncIterator[Letter]:
        """Each letter that was there at the beginning, the oldest first.

        Not those that come later: what is published again and refused again would be met without end.
        """
        while self._left > 0:
            self._left -= 1
            delivery = await ask(f"read from queue '{self._queue.name}'", self._queue.get(fail=False))
            if delivery is None:
                return
            if delivery.delivery_tag is not None:
                self._held[delivery.delivery_tag] = None
            yield Letter.of(delivery)

    async def replay(self, letter: Letter) -> None:
        """Publish the letter again, byte for byte, and then remove it. Raises ReconcilerError: then it stays.

        A kill in between leaves the letter and its copy: the operator takes one event once.
        """
        await publish_trigger(self._publisher, self._settings, letter.routing_key, letter.again(self._clock.now()))
        await ask("acknowledge a dead letter", letter.delivery.ack())
        if letter.delivery.delivery_tag is not None:
            self._held.pop(letter.delivery.delivery_tag, None)

    async def give_back(self) -> None:
        """Put everything back that was fetched and not removed, in its order."""
        async for _ in self.letters():
            continue
        underlay = await self._channel.get_underlay_channel()
        for tag in self._held:
            await ask("give a dead letter back", underlay.basic_nack(tag, requeue=True))
        await self._wait_for(len(self._held))
        self._held.clear()

    async def _wait_for(self, count: int) -> None:
        """Until the broker shows so many letters: it puts back in its own time, and the next look must not miss any.

        Not for ever: somebody else may have taken some meanwhile.
        """
        name, give_up = self._queue.name, self._clock.monotonic() + BACK_WITHIN.total_seconds()
        while self._clock.monotonic() < give_up:
            shown = await ask(f"look at queue '{name}'", self._channel.declare_queue(name, passive=True))
            if (shown.declaration_result.message_count or 0) >= count:
                return
            await self._clock.sleep(BACK_LOOK)
