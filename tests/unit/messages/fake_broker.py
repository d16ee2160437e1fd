"""A broker in memory, as far as publishing needs one: confirms, faults before and after the effect, cuts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import DeliveryError
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from devops_reconciler.api.errors import ExternalServiceError


@dataclass(frozen=True)
class Published:
    """One message that the broker has taken."""

    exchange: str
    routing_key: str
    message: Message

    @property
    def message_id(self) -> str:
        return str(self.message.message_id)

    @property
    def payload(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.message.body)
        payload: dict[str, Any] = body["payload"]
        return payload


class FakeBroker:
    """`connect` is what the product is given. `faults` are used up one for each publication, in order."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.faults: list[str] = []
        """`ok`; `refused`; `lost`: it is not there, the connection breaks; `unconfirmed`: it is there all the same."""
        self.refused: set[str] = set()
        """Routing keys to which a queue is bound that is full, and rejects what is published."""
        self.unanswered: set[str] = set()
        """Routing keys to which a queue is bound that has no majority: it is silent about what is published."""
        self.down = False
        self.connections = 0
        self.gate: asyncio.Event | None = None
        """While it is there and not set, confirms are withheld."""
        self._channels: list[_Channel] = []

    async def connect(self) -> AbstractConnection:
        if self.down:
            raise ExternalServiceError("RabbitMQ: connection refused", service="rabbitmq")
        self.connections += 1
        return cast(AbstractConnection, _Connection(self))

    def go_down(self) -> None:
        self.down = True
        self.cut()

    def cut(self) -> None:
        """Every connection breaks."""
        channels, self._channels = self._channels, []
        for channel in channels:
            channel.break_()

    def opened(self) -> _Channel:
        channel = _Channel(self)
        self._channels.append(channel)
        return channel


class _Connection:
    transport = None

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._opened_channels: list[_Channel] = []

    async def _opened(self) -> _Channel:
        channel = self._broker.opened()
        self._opened_channels.append(channel)
        return channel

    def channel(self, **_options: Any) -> Any:
        return self._opened()

    async def close(self) -> None:
        for channel in self._opened_channels:
            channel.break_()


class _Channel:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def break_(self) -> None:
        self._closed.set()

    async def closed(self) -> None:
        await self._closed.wait()

    async def declare_exchange(self, name: str, *_arguments: Any, **_options: Any) -> _Exchange:
        return _Exchange(self, name)

    async def get_exchange(self, name: str, *, ensure: bool) -> _Exchange:
        assert not ensure
        return _Exchange(self, name)


class _Exchange:
    def __init__(self, channel: _Channel, name: str) -> None:
        self._channel = channel
        self._name = name

    async def publish(self, message: Message, routing_key: str, *, mandatory: bool) -> None:
        _marshal(self._name, message, routing_key)
        broker = self._channel.broker
        fault = broker.faults.pop(0) if broker.faults else "ok"
        await asyncio.sleep(0)
        if self._channel.is_closed or fault == "lost":
            broker.cut()
            raise ConnectionResetError("the connection was lost")
        if fault == "refused" or routing_key in broker.refused:
            raise DeliveryError(None, Basic.Nack(1))
        if routing_key in broker.unanswered:
            await self._channel.closed()
            raise ConnectionResetError("the connection was lost")
        broker.published.append(Published(self._name, routing_key, message))
        if broker.gate is not None:
            await broker.gate.wait()
        if fault == "unconfirmed":
            broker.cut()
            raise ConnectionResetError("the connection was lost")


def _marshal(exchange: str, message: Message, routing_key: str) -> None:
    """As the AMQP client does before it sends: raises for what has no form in AMQP."""
    header = ContentHeader(body_size=message.body_size, properties=message.properties)
    ChannelFrame.marshall(1, [Basic.Publish(exchange=exchange, routing_key=routing_key), header])
