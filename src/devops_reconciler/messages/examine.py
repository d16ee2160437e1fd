"""What can be told of the broker without changing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from ..api.errors import ExternalServiceError
from ..runtime.secrets import Secrets
from ..runtime.settings import RabbitmqVariables
from .connection import ask, close, connect, open_channel
from .topology import dead_name


@dataclass(frozen=True)
class Broker:
    """What a login has shown. Queues and exchanges that are not there yet are named in `absent`."""

    version: str
    queues: dict[str, tuple[int, int]]
    """Messages that wait, and consumers, by queue."""
    absent: tuple[str, ...]


async def examine(settings: RabbitmqVariables, secrets: Secrets, told: Callable[[str], None]) -> Broker:
    """Log in and look. `told` gets the version as soon as it is known. Raises ReconcilerError."""
    connection = await connect(settings, secrets, name="devops-reconciler doctor")
    try:
        version = _version(connection)
        told(version)
        queues: dict[str, tuple[int, int]] = {}
        absent: list[str] = []
        for name in (settings.rabbitmq_queue, dead_name(settings)):
            found = await _queue(connection, name)
            if found is None:
                absent.append(f"queue {name}")
            else:
                queues[name] = found
        for name in (settings.rabbitmq_exchange, settings.rabbitmq_heartbeat_exchange):
            if not await _has_exchange(connection, name):
                absent.append(f"exchange {name}")
        return Broker(version, queues, tuple(absent))
    finally:
        await close(connection)


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
