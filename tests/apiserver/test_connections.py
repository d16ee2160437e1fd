"""A connection to the real RabbitMQ ends when its user gives it up, whenever that is and whatever the broker does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import aio_pika
import aiormq
import pytest

from devops_reconciler.messages import connection as module
from devops_reconciler.messages.connection import close, connect
from devops_reconciler.runtime.settings import Settings
from testbed.rabbitmq import RabbitMQ
from testbed.tcp_proxy import TcpProxy
from testbed.waiting import eventually

from .message_office import LONG, settings_for


@pytest.fixture
def settings(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Heartbeats would end what is left over, in their own time."""
    monkeypatch.setattr(module, "HEARTBEAT", timedelta(hours=1))
    return settings_for(rabbitmq, "none")


async def ends(before: set[asyncio.Task[Any]]) -> None:
    """Wait until nothing goes on that did not before: for an open connection something does."""

    async def over() -> bool:
        return asyncio.all_tasks() <= before

    await eventually(over, "the connection has ended", LONG)


@pytest.mark.parametrize(
    ("where", "moment"),
    [(aiormq.Connection, "_credentials_class"), (aiormq.Connection, "ready"), (aio_pika.Connection, "_on_connected")],
    ids=["log-in", "logged-in", "handed over"],
)
async def test_a_connection_that_nobody_waits_for_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, where: type, moment: str
) -> None:
    goes_on = getattr(where, moment)

    def given_up(*args: Any) -> Any:
        connecting.cancel()
        return goes_on(*args)

    monkeypatch.setattr(where, moment, given_up)
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(connect(settings))
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await ends(before)


async def test_a_connection_whose_broker_is_silent_when_it_is_closed(
    settings: Settings, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", timedelta(milliseconds=10))
    async with TcpProxy(rabbitmq.host, rabbitmq.port) as proxy:
        through = settings.model_copy(update={"rabbitmq_port": proxy.port})
        before = asyncio.all_tasks()
        connection = await connect(through)
        proxy.silence()
        await close(connection)

        async def cut() -> bool:
            return proxy.connections == 0

        proxy.resume()
        await eventually(cut, "the broker sees the end", LONG)
        await ends(before)
