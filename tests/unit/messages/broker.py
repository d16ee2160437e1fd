"""Deliveries without a broker, and a way to let tasks go on until something is true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.messages import InboundMessage
from devops_reconciler.messages.inbox import Outcome


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until the condition holds; it needs no time, only turns."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come true")


async def turns(count: int = 100) -> None:
    """Let everything happen that can happen without time."""
    for _ in range(count):
        await asyncio.sleep(0)


class FakeDelivery:
    """A delivery that remembers its acknowledgement."""

    exchange = "devops"
    content_type = content_encoding = correlation_id = timestamp = app_id = None

    def __init__(
        self,
        body: bytes,
        *,
        ack_error: Exception | None = None,
        type: str | None = None,
        reply_to: str | None = None,
        headers: dict[str, Any] | None = None,
        consumer_tag: str = "c-1",
    ) -> None:
        self.body = body
        self.headers = headers or {}
        self.routing_key = "devops.reconcile"
        self.message_id = "m-1"
        self.type = type
        self.consumer_tag = consumer_tag
        self.redelivered = False
        self.reply_to = reply_to
        self.acks = 0
        self._ack_error = ack_error

    async def ack(self) -> None:
        if self._ack_error is not None:
            raise self._ack_error
        self.acks += 1


class FakeGrave:
    """A dead-letter queue; raises `error` while it is set."""

    def __init__(self) -> None:
        self.buried: list[tuple[bytes, Reason, str]] = []
        self.error: Exception | None = None

    async def bury(self, delivery: Any, reason: Reason, error: str) -> None:
        if self.error is not None:
            raise self.error
        self.buried.append((delivery.body, reason, error))


class FakeInbox:
    """An inbox whose writes take as long, and fail as often, as the test wants."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.done: list[str] = []
        self.errors: dict[str, Exception] = {}
        """By event_id: raised while it is there."""
        self.error: Exception | None = None
        """Raised for every message, while it is set."""
        self.gates: dict[str, asyncio.Event] = {}
        """By event_id: the write ends when it is set."""
        self.replays: dict[str, datetime | None] = {}
        """By event_id: when it was published again."""

    def place(self, message: InboundMessage) -> tuple[str, str]:
        return message.payload.namespace or "team-a", message.payload.project

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome:
        event_id = message.event_id
        self.began.append(event_id)
        self.replays[event_id] = replayed_at
        if event_id in self.gates:
            await self.gates[event_id].wait()
        error = self.error or self.errors.get(event_id)
        if error is not None:
            raise error
        self.done.append(event_id)
        return Outcome("created")
