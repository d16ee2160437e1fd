"""What the operator declares at RabbitMQ: the exchanges, its queue, and the dead-letter queue.

Declaring is idempotent. What exists with other properties is an error (406) that names the difference: RabbitMQ changes
no queue after the fact. All arguments are known to RabbitMQ 3.10 and newer.
"""

from __future__ import annotations

from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

from ..api.errors import ValidationError
from ..api.messages import EventType
from ..runtime.settings import RabbitmqVariables
from .connection import ask

ROUTING_KEYS: dict[EventType, str] = {
    EventType.DEVOPS_INITIALIZE: "devops.initialize",
    EventType.DEVOPS_RECONCILE: "devops.reconcile",
}
"""Where each type of incoming message is published to."""

DELIVERY_LIMIT = 20
"""After so many returned deliveries the broker itself gives a message up, into the dead-letter queue."""
DEAD_DELIVERY_LIMIT = 1_000_000
"""Practically none, which 3.10 cannot express: looking at a dead letter returns it, and must never drop it."""


def dead_name(settings: RabbitmqVariables) -> str:
    """The name of the dead-letter queue, and of the exchange before it."""
    return f"{settings.rabbitmq_queue}.dead"


def queue_arguments(settings: RabbitmqVariables) -> dict[str, Any]:
    """The arguments of the operator's queue. A dead letter leaves it only when the other queue has confirmed it."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_name(settings),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def dead_arguments() -> dict[str, Any]:
    """The arguments of the dead-letter queue."""
    return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}


async def declare_queues(channel: AbstractChannel, settings: RabbitmqVariables) -> AbstractQueue:
    """The operator's queue, bound, with its dead-letter queue before it. Raises ReconcilerError."""
    await declare_dead_letters(channel, settings)
    return await _declare_bound(channel, settings, settings.rabbitmq_queue)


async def declare_dead_letters(channel: AbstractChannel, settings: RabbitmqVariables) -> None:
    """The dead-letter queue and its exchange. Raises ReconcilerError."""
    await _declare_bound(channel, settings, dead_name(settings))


async def declare_heartbeats(channel: AbstractChannel, settings: RabbitmqVariables) -> None:
    """The exchange that heartbeats are published to. Raises ReconcilerError."""
    await declare_exchange(channel, settings, settings.rabbitmq_heartbeat_exchange)


async def _declare_bound(channel: AbstractChannel, settings: RabbitmqVariables, name: str) -> AbstractQueue:
    exchange, keys = source(settings, name)
    await declare_exchange(channel, settings, exchange)
    queue = await declare_queue(channel, settings, name)
    for key in keys:
        await ask(_binding(name, exchange, key), queue.bind(exchange, key))
    return queue


async def prove_bindings(channel: AbstractChannel, settings: RabbitmqVariables, name: str) -> None:
    """Ask whether we may bind a queue of ours. It changes nothing, unlike a binding. Raises ReconcilerError.

    RabbitMQ asks the same permissions for taking a binding away, and takes one for done that was never there.
    """
    exchange, keys = source(settings, name)
    queue = await channel.get_queue(name, ensure=False)
    for key in keys:
        await ask(_binding(name, exchange, key), queue.unbind(exchange, key, {"never": "bound"}))


def source(settings: RabbitmqVariables, name: str) -> tuple[str, tuple[str, ...]]:
    """The exchange that a queue of ours is bound to, and the keys."""
    if name == dead_name(settings):
        return name, ("",)
    return settings.rabbitmq_exchange, tuple(ROUTING_KEYS.values())


def _binding(name: str, exchange: str, key: str) -> str:
    return f"bind queue '{name}' to '{exchange}' by '{key}'"


async def declare_exchange(channel: AbstractChannel, settings: RabbitmqVariables, name: str) -> None:
    """One of our exchanges. Raises ReconcilerError."""
    kind = ExchangeType.FANOUT if name == dead_name(settings) else ExchangeType.TOPIC
    await ask(f"declare exchange '{name}'", channel.declare_exchange(name, kind, durable=True))


async def declare_queue(channel: AbstractChannel, settings: RabbitmqVariables, name: str) -> AbstractQueue:
    """One of our queues. Raises ReconcilerError."""
    arguments = dead_arguments() if name == dead_name(settings) else queue_arguments(settings)
    try:
        return await ask(f"declare queue '{name}'", channel.declare_queue(name, durable=True, arguments=arguments))
    except ValidationError as error:
        raise ValidationError(
            f"{error.message}; the queue is there with other properties: delete it once it is empty, or set "
            f"RABBITMQ_QUEUE to a new name. In that case '{settings.rabbitmq_queue}' goes on collecting each trigger, "
            f"for whoever reads it next: unbind it from exchange '{settings.rabbitmq_exchange}' "
            f"(keys {' and '.join(ROUTING_KEYS.values())}), and move what is in it (docs/upgrade.md, Another queue)"
        ) from error
