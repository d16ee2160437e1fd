"""The spans of messages, by OpenTelemetry's conventions for messaging: one per message taken, one per message sent."""

from __future__ import annotations

from contextlib import AbstractContextManager

from aio_pika.abc import AbstractIncomingMessage

from ..api.messages import InboundMessage
from ..runtime import tracing
from ..runtime.tracing import NO_ORIGIN, TRACEPARENT, UNTRACED, Kind, Origin, Span

SYSTEM = {"messaging.system": "rabbitmq"}
KEY = "messaging.rabbitmq.destination.routing_key"


def taking(
    delivery: AbstractIncomingMessage, message: InboundMessage | None, queue: str
) -> AbstractContextManager[Span]:
    """Of the work on a delivery, until it is acknowledged. It continues the trace that the sender put into it."""
    if not tracing.is_on():
        return UNTRACED
    about: dict[str, str | int] = {
        **SYSTEM,
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": queue,
        "messaging.message.body.size": len(delivery.body),
        KEY: delivery.routing_key or "",
    }
    if delivery.message_id:
        about["messaging.message.id"] = delivery.message_id
    if message is not None:
        about |= {
            "freeleaps.event_type": message.event_type.value,
            "freeleaps.event_id": message.event_id,
            "freeleaps.project": message.payload.project,
        }
    given = (delivery.headers or {}).get(TRACEPARENT)
    return tracing.begin(f"process {queue}", Kind.CONSUMER, about, Origin(given if isinstance(given, str) else None))


def sending(
    exchange: str, routing_key: str, message_id: str, origin: Origin = NO_ORIGIN, **about: str | int
) -> AbstractContextManager[Span]:
    """Of a message that is published, until the broker has it. Its headers are `tracing.carried()` inside."""
    if not tracing.is_on():
        return UNTRACED
    said = {
        **SYSTEM,
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": exchange,
        "messaging.message.id": message_id,
        KEY: routing_key,
        **{f"freeleaps.{name}": value for name, value in about.items()},
    }
    return tracing.begin(f"send {exchange}", Kind.PRODUCER, said, origin)
