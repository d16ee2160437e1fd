"""Messages and heartbeats are handled before all else: their connections belong to what has just come in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
from aio_pika.abc import AbstractConnection

from devops_reconciler.messages.connection import Connect
from devops_reconciler.messages.deliveries import Accepts, InboundMessage
from devops_reconciler.messages.listener import MessageListener
from devops_reconciler.messages.outcome import Outcome
from devops_reconciler.messages.sender import HeartbeatSender
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.urgency import Urgency, current_urgency

from .samples import NOW, settings


class Nobody:
    """An inbox that is never asked."""

    def place(self, message: InboundMessage) -> tuple[str, str]:
        raise AssertionError("there is no message")

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome:
        raise AssertionError("there is no message")


def listener(connect: Connect) -> Callable[[], Awaitable[None]]:
    inbox: Accepts = Nobody()
    return MessageListener(settings(), connect, inbox, FakeClock(NOW), Metrics()).run


def sender(connect: Connect) -> Callable[[], Awaitable[None]]:
    return HeartbeatSender(settings(), connect, FakeClock(NOW), Metrics(), lambda *_: None).run


@pytest.mark.parametrize("made", [listener, sender])
async def test_a_connection_and_all_on_it_are_as_urgent_as_what_has_just_come_in(
    made: Callable[[Connect], Callable[[], Awaitable[None]]],
) -> None:
    seen: asyncio.Future[Urgency] = asyncio.get_running_loop().create_future()

    async def connect() -> AbstractConnection:
        seen.set_result(current_urgency())
        return await asyncio.get_running_loop().create_future()

    task = asyncio.ensure_future(made(connect)())
    async with asyncio.timeout(10):
        assert await seen is Urgency.ARRIVAL
    task.cancel()
    await asyncio.wait({task})
    assert current_urgency() is not Urgency.ARRIVAL
