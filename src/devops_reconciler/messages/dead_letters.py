"""The dead-letter queue: messages that we cannot take, byte for byte, with the reason in headers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from ..api.conditions import Reason
from ..runtime.clock import Clock
from ..runtime.settings import RabbitmqVariables
from .connection import Connect, Unroutable
from .publisher import Publisher
from .topology import dead_name, declare_dead_letters

REASON_HEADER = "x-reason"
ERROR_HEADER = "x-error"
EXCHANGE_HEADER = "x-original-exchange"
ROUTING_KEY_HEADER = "x-original-routing-key"
DEAD_SINCE_HEADER = "x-dead-since"
OWN_HEADERS = frozenset({REASON_HEADER, ERROR_HEADER, EXCHANGE_HEADER, ROUTING_KEY_HEADER, DEAD_SINCE_HEADER})

ERROR_LIMIT = 2000
"""Longest `x-error`, in characters."""
_KEPT_HEADERS = 20
_KEPT_LENGTH = 256


class DeadLetters:
    """Publishes refused messages to `<RABBITMQ_QUEUE>.dead`."""

    def __init__(self, settings: RabbitmqVariables, connect: Connect, clock: Clock) -> None:
        self._clock = clock
        self._exchange = dead_name(settings)
        self._publisher = Publisher(connect, lambda channel: declare_dead_letters(channel, settings))

    async def bury(self, delivery: AbstractIncomingMessage, reason: Reason, error: str) -> None:
        """Return when the dead-letter queue has confirmed it. Raises ReconcilerError: then try again."""
        letter = dead_letter(delivery, reason, error, self._clock.now())
        try:
            await self._publisher.publish(self._exchange, "", letter, mandatory=True)
        except Unroutable:
            # The queue is gone, or its binding: they are declared on the next connection.
            await self._publisher.close()
            raise

    @property
    def publisher(self) -> Publisher:
        """What it publishes with, for other answers to deliveries: consumers must not publish on their connection."""
        return self._publisher

    async def close(self) -> None:
        """Close the connection."""
        await self._publisher.close()


def dead_letter(delivery: AbstractIncomingMessage, reason: Reason, error: str, at: datetime) -> Message:
    """The message as it lies in the dead-letter queue.

    Kept: the body, and the properties that say what it is. Not kept: what would make it vanish (an expiration), what
    the broker checks (a user id), and headers that are long or not plain, which could make it too big to publish.
    """
    headers = plain(delivery.headers) | {
        REASON_HEADER: reason.value,
        ERROR_HEADER: error[:ERROR_LIMIT].encode(errors="replace").decode(),
        EXCHANGE_HEADER: delivery.exchange or "",
        ROUTING_KEY_HEADER: delivery.routing_key or "",
        DEAD_SINCE_HEADER: at.isoformat(timespec="milliseconds"),
    }
    return copied(delivery, headers)


def copied(delivery: AbstractIncomingMessage, headers: dict[str, Any]) -> Message:
    """The body byte for byte and the properties that say what it is, with these headers; persistent."""
    return Message(
        delivery.body,
        headers=headers,
        content_type=delivery.content_type,
        content_encoding=delivery.content_encoding,
        correlation_id=delivery.correlation_id,
        reply_to=delivery.reply_to,
        message_id=delivery.message_id,
        timestamp=delivery.timestamp,
        type=delivery.type,
        app_id=delivery.app_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def plain(headers: Any) -> dict[str, Any]:
    """The headers that are short and simple, so that they can be published again."""
    kept = {
        key: value
        for key, value in (headers or {}).items()
        if isinstance(value, bool | str | int) and len(str(value)) <= _KEPT_LENGTH and len(key) <= _KEPT_LENGTH
    }
    return dict(list(kept.items())[:_KEPT_HEADERS])
