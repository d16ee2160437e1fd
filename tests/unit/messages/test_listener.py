"""What the listener asks of the broker, on a channel that only notes it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic

from devops_reconciler.messages.canary import REPLY_TO, Canary
from devops_reconciler.messages.listener import MessageListener
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics

from .bench import AWAY, SECOND
from .broker import FakeDelivery, FakeInbox, turns, until
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
        self.hear: Callable[[Any], Awaitable[Any]] | None = None
        """Takes the answers to canaries."""

    async def connect(self) -> AbstractConnection:
        return cast(AbstractConnection, self)

    async def _itself(self, *_: Any, **__: Any) -> Wire:
        return self

    channel = declare_exchange = get_exchange = declare_queue = bind = get_underlay_channel = close = _itself
    is_closed = False
    transport = None

    async def closed(self) -> None:
        await asyncio.Event().wait()

    async def publish(self, message: Message, routing_key: str, **_: Any) -> None:
        """The answer to a canary, or a dead letter: its queue is full."""
        if not routing_key.startswith(REPLY_TO):
            raise DeliveryError(None, Basic.Nack(1))
        assert self.hear is not None
        await self.hear(message)

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

    async def deliver(self, body: bytes, **options: Any) -> FakeDelivery:
        """To the consumer of now."""
        await until(lambda: bool(self._takes))
        tag, take = next(iter(self._takes.items()))
        delivery = FakeDelivery(body, consumer_tag=tag, **options)
        await take(delivery)
        return delivery


class CanaryWire(Wire):
    """The canary's own connection: what it publishes comes to the consumer of another one. `sent` counts that."""

    def __init__(self, other: Wire) -> None:
        super().__init__()
        self._other = other
        self.sent = 0

    get_queue = Wire._itself

    @property
    def default_exchange(self) -> Wire:
        return self

    async def consume(self, take: Callable[[Any], Awaitable[Any]], **_: Any) -> str:
        self._other.hear = take
        return "answers"

    async def publish(self, message: Message, routing_key: str, **_: Any) -> None:
        self.sent += 1
        await self._other.deliver(message.body, type=message.type, reply_to=f"{message.reply_to}.token")


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


async def test_the_canary_goes_on_while_dead_letters_are_not_taken(stage: Stage) -> None:
    await stage.wire.deliver(b"no json")
    await until(lambda: stage.wire.ahead[-1] == 4)
    await turns()
    assert (await stage.listener.check()).startswith("connected; 1 message held: RabbitMQ: publish to ")
    assert stage.listener.takes
    wire = CanaryWire(stage.wire)
    canary = Canary(settings(), wire.connect, stage.clock, stage.listener)
    task = asyncio.create_task(canary.run())

    async def comes_back(sent: int) -> None:
        await until(lambda: wire.sent == sent)
        await turns()
        assert (await canary.check()).startswith("the canary came back")

    try:
        await comes_back(1)
        stage.clock.advance(settings().canary_interval)
        await comes_back(2)
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert stage.listener.takes


async def test_while_a_write_is_held_nothing_is_said_to_be_taken(stage: Stage) -> None:
    """Also while a probe may be: what comes then may be anything."""
    stage.inbox.error = AWAY
    await stage.wire.deliver(reconcile("deploy"))
    await until(lambda: not stage.wire.consumers)
    assert not stage.listener.takes
    await stage.until_another_consumer()
    assert not stage.listener.takes
