"""What can be told of the broker without changing anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractConnection

from ..api.errors import CredentialsError, ExternalServiceError, ValidationError
from ..runtime.secrets import Secrets
from ..runtime.settings import RabbitmqVariables
from .connection import ask, close, connect, open_channel
from .topology import dead_name, declare_exchange, declare_queue, prove_bindings, source


@dataclass
class Broker:
    """What a login has shown. Queues and exchanges that are not there yet are named in `absent`."""

    version: str
    queues: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Messages that wait, and consumers, by queue."""
    absent: list[str] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    """What the operator would be refused of that which is there, each with what to do about it."""


async def examine(settings: RabbitmqVariables, secrets: Secrets, told: Callable[[str], None]) -> Broker:
    """Log in, look, and try what a start needs. `told` gets the version once it is known. Raises ReconcilerError."""
    connection = await connect(settings, secrets, name="devops-reconciler doctor")
    try:
        version = _version(connection)
        told(version)
        broker = Broker(version)
        for name in (settings.rabbitmq_exchange, settings.rabbitmq_heartbeat_exchange, dead_name(settings)):
            if await _has_exchange(connection, name):
                declare = partial(declare_exchange, settings=settings, name=name)
                await _attempt(connection, broker, f"configure exchange '{name}'", declare)
            else:
                broker.absent.append(f"exchange {name}")
        for name in (settings.rabbitmq_queue, dead_name(settings)):
            found = await _queue(connection, name)
            if found is None:
                broker.absent.append(f"queue {name}")
            else:
                broker.queues[name] = found
                await _prove_queue(connection, settings, broker, name)
        return broker
    finally:
        await close(connection)


async def _prove_queue(connection: AbstractConnection, settings: RabbitmqVariables, broker: Broker, name: str) -> None:
    declare = partial(declare_queue, settings=settings, name=name)
    await _attempt(connection, broker, f"configure queue '{name}'", declare)
    exchange, _ = source(settings, name)
    if f"exchange {exchange}" not in broker.absent:
        permission = f"write to queue '{name}' and read from exchange '{exchange}'"
        await _attempt(connection, broker, permission, partial(prove_bindings, settings=settings, name=name))


async def _attempt(
    connection: AbstractConnection,
    broker: Broker,
    permission: str,
    do: Callable[[AbstractChannel], Awaitable[object]],
) -> None:
    """Do again what the operator does at its start, of what is there: looking alone needs no permission.

    A channel each: the broker closes it with a refusal.
    """
    channel = await open_channel(connection)
    try:
        await do(channel)
    except CredentialsError as error:
        advice = f"give the user the permission to {permission} (rabbitmqctl set_permissions)"
        broker.refusals.append((error.message, advice))
    except ValidationError as error:
        broker.refusals.append((error.message, f"runbook: {error.reason}"))


async def _queue(connection: AbstractConnection, name: str) -> tuple[int, int] | None:
    """A channel each: the broker closes it over a queue that is not there."""
    channel = await open_channel(connection)
    try:
        queue = await ask(f"look at queue '{name}'", channel.declare_queue(name, passive=True))
    except ExternalServiceError as error:
        if "NOT_FOUND" not in error.message:
            raise
        return None
    counted = queue.declaration_result
    return counted.message_count or 0, counted.consumer_count or 0


async def _has_exchange(connection: AbstractConnection, name: str) -> bool:
    channel = await open_channel(connection)
    try:
        await ask(f"look at exchange '{name}'", channel.declare_exchange(name, passive=True))
    except ExternalServiceError as error:
        if "NOT_FOUND" not in error.message:
            raise
        return False
    return True


def _version(connection: AbstractConnection) -> str:
    transport = connection.transport
    properties = transport.connection.server_properties if transport is not None else {}
    return " ".join(_plain(properties.get(name)) for name in ("product", "version"))


def _plain(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
