"""Messages take their trace along: in, out, and nowhere where traces are off."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

from aio_pika.abc import AbstractIncomingMessage
from opentelemetry.trace import SpanKind, StatusCode

from devops_reconciler.messages.deliveries import Deliveries, Lane
from devops_reconciler.messages.publish import declares_nothing, publish_by
from devops_reconciler.messages.publisher import Publisher
from devops_reconciler.messages.sender import HeartbeatSender
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.tracing import Origin
from tests.unit.traces import id_of, parent_of, said, trace_of, traces_kept

from .broker import FakeDelivery, FakeGrave, FakeInbox, until
from .desk import beat
from .fake_broker import FakeBroker
from .samples import NOW, reconcile, settings

TRACE, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SENDER}-01"


async def heartbeats(broker: FakeBroker, origin: Origin) -> None:
    """Two changes of one record."""
    sender = HeartbeatSender(settings(), broker.connect, FakeClock(NOW), Metrics(), lambda *_: None)
    task = asyncio.create_task(sender.run())
    sender.offer("u-1", [beat(1), beat(2)], origin)
    await until(lambda: sender.confirmed("u-1") == 2)
    task.cancel()
    await asyncio.wait({task})


async def test_a_heartbeat_carries_a_span_in_the_trace_of_its_record_and_is_equal_in_all_else() -> None:
    plain, broker = FakeBroker(), FakeBroker()
    await heartbeats(plain, Origin(SENT))
    with traces_kept() as kept:
        await heartbeats(broker, Origin(SENT))
    assert [span.name for span in kept.spans] == ["send devops.heartbeat"] * 2
    assert {f"{trace_of(span):032x}/{parent_of(span):016x}" for span in kept.spans} == {f"{TRACE}/{SENDER}"}
    for before, after, span in zip(plain.published, broker.published, kept.spans, strict=True):
        assert span.kind is SpanKind.PRODUCER
        assert before.message.headers == {}
        assert after.message.headers == {"traceparent": f"00-{TRACE}-{id_of(span):016x}-01"}
        assert (before.message.body, before.message_id) == (after.message.body, after.message_id)
        assert said(span)["messaging.message.id"] == after.message_id
        assert said(span)["messaging.rabbitmq.destination.routing_key"] == after.routing_key


async def test_a_heartbeat_that_comes_twice_differs_in_its_headers_alone() -> None:
    broker = FakeBroker()
    broker.faults = ["unconfirmed"]
    with traces_kept() as kept:
        sender = HeartbeatSender(settings(), broker.connect, clock := FakeClock(NOW), Metrics(), lambda *_: None)
        task = asyncio.create_task(sender.run())
        sender.offer("u-1", [beat(1)], Origin(SENT))
        await until(lambda: len(broker.published) == 1)
        while sender.confirmed("u-1") == 0:
            clock.advance(timedelta(seconds=1))
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    first, second = (each.message for each in broker.published)
    assert (first.body, first.message_id, first.timestamp) == (second.body, second.message_id, second.timestamp)
    assert first.headers != second.headers
    assert [span.status.status_code for span in kept.spans] == [StatusCode.ERROR, StatusCode.UNSET]


async def taken(body: bytes, inbox: FakeInbox) -> None:
    lane = Lane(inbox, FakeGrave().bury, FakeClock(NOW), Metrics(), timedelta(minutes=10), queue="devops.reconciler")
    deliveries = Deliveries(lane)
    delivery = FakeDelivery(body, headers={"traceparent": SENT})
    deliveries.take(cast(AbstractIncomingMessage, delivery))
    await until(lambda: delivery.acks == 1)
    await deliveries.stop(timedelta(seconds=30))


async def test_a_message_is_one_span_until_it_is_acknowledged() -> None:
    with traces_kept() as kept:
        await taken(reconcile("deploy"), FakeInbox())
    span = kept.one("process devops.reconciler")
    assert span.kind is SpanKind.CONSUMER
    assert f"{trace_of(span):032x}/{parent_of(span):016x}" == f"{TRACE}/{SENDER}"
    expected = {"messaging.message.id": "m-1", "freeleaps.event_id": "e-1", "freeleaps.outcome": "created"}
    assert expected.items() <= said(span).items()


async def test_a_message_that_is_refused_says_why() -> None:
    with traces_kept() as kept:
        await taken(b"no json", FakeInbox())
    assert said(kept.one("process devops.reconciler"))["error.type"] == "InvalidMessage"


async def test_a_trigger_that_is_sent_begins_a_trace() -> None:
    broker = FakeBroker()
    publisher = Publisher(broker.connect, declares_nothing)
    with traces_kept() as kept:
        await publish_by(publisher, settings(), reconcile("deploy"))
    await publish_by(publisher, settings(), reconcile("deploy"))
    with_trace, without = (each.message for each in broker.published)
    span = kept.one("send devops")
    assert parent_of(span) is None
    carried = str((with_trace.headers or {})["traceparent"])
    assert carried.startswith(f"00-{trace_of(span):032x}-{id_of(span):016x}-")
    assert without.headers == {}
    assert with_trace.body == without.body
