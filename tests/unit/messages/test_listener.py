"""What the listener asks of the broker, on a channel that only notes it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic

from devops_reconciler.messages.listener import MessageListener
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics

from .bench import AWAY, SECOND
from .broker import FakeDelivery, FakeInbox, until
from .samples import NOW, reconcile, settings


class Wire:
    """Connection, channel and queue in one. `tags` are the consumers that were begun, `ahead` what each may take."""

    def __init__(self) -> None:
        self.tags: list[str] = []
        self.ahead: list[int] = []
        self._prefetch = 0
        self._takes: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self.close_callbacks: set[Any] = set()
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.name = "q"

    async def connect(self) -> AbstractConnection:
        return cast(AbstractConnection, self)

    async def _itself(self, *_: Any, **__: Any) -> Wire:
        return self

    channel = declare_exchange = get_exchange = declare_queue = bind = get_underlay_channel = close = _itself
    is_closed = False

    async def closed(self) -> None:
        await asyncio.Event().wait()

    async def publish(self, *_: Any, **__: Any) -> None:
        """A dead letter: its queue is full."""
        raise DeliveryError(None, Basic.Nack(1))

    async def set_qos(self, *, prefetch_count: int) -> None:
        self._prefetch = prefetch_count

    async def consume(self, take: Callable[[Any], Awaitable[Any]], *, consumer_tag: str | None = None) -> str:
        tag = consumer_tag or "the broker's own"
        self.tags.append(tag)
        self.ahead.append(self._prefetch)
        self._takes[tag] = take
        return tag

    async def cancel(self, tag: str) -> None:
        del self._takes[tag]

    @property
    def consumers(self) -> list[str]:
        return list(self._takes)

    async def deliver(self, body: bytes) -> FakeDelivery:
        """To the consumer of now."""
        await until(lambda: bool(self._takes))
        tag, take = next(iter(self._takes.items()))
        delivery = FakeDelivery(body, consumer_tag=tag)
        await take(delivery)
        return delivery


class Stage:
    """A listener on such a wire, with an inbox as its test wants it."""

    def __init__(self) -> None:
        self.wire, self.inbox, self.clock = Wire(), FakeInbox(), FakeClock(NOW)
        self.listener = MessageListener(
            settings(rabbitmq_prefetch=4), self.wire.connect, self.inbox, self.clock, Metrics()
        )

    async def until_another_consumer(self) -> None:
        """Time goes on until a held message has been tried so often that one more may be taken."""
        before = list(self.wire.tags)

        def begun() -> bool:
            self.clock.advance(SECOND)
            return self.wire.tags != before and bool(self.wire.consumers)

        await until(begun)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    task = asyncio.create_task(made.listener.run())
    yield made
    task.cancel()
    await asyncio.wait({task})


async def test_the_tags_of_consumers_sort_as_they_were_begun_over_lost_connections_too(stage: Stage) -> None:
    """RabbitMQ 3.x gives back what a lost channel has not acknowledged consumer by consumer, in the order of tags."""
    stage.inbox.error = AWAY
    for number in range(11):
        await stage.wire.deliver(reconcile("deploy", f"e-{number}", project=f"p-{number}"))
        await stage.until_another_consumer()
    stage.listener.renew("the test")
    await stage.until_another_consumer()
    tags = stage.wire.tags
    assert len(tags) > 12
    assert all(earlier < later for earlier, later in itertools.pairwise(tags))
    assert len({len(tag) for tag in tags}) == 1


async def test_dead_letters_that_are_not_taken_leave_the_others_what_is_taken_ahead(stage: Stage) -> None:
    await stage.wire.deliver(b"no json")
    await until(lambda: stage.wire.ahead[-1] == 4)
    for _ in range(2):
        await stage.wire.deliver(b"no json either")
    await until(lambda: len(stage.wire.tags) == 3)
    assert stage.wire.ahead[-1] == 4
    other = await stage.wire.deliver(reconcile("deploy"))
    await until(lambda: other.acks == 1)
    assert "3 messages held" in await stage.listener.check()
    assert stage.wire.consumers == stage.wire.tags[-1:]
