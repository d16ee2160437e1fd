"""From a delivery to its acknowledgement: after the write, or after the dead letter, and never before."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from aio_pika.abc import AbstractIncomingMessage

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    Refused,
    ValidationError,
    Waiting,
)
from devops_reconciler.api.messages import InboundMessage
from devops_reconciler.messages.verdict import Verdict, verdict

from .bench import AWAY, SECOND, Bench
from .broker import turns, until
from .samples import NOW, initialize, reconcile


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AWAY, Verdict.HOLD),
        (CredentialsError("401", status=401), Verdict.HOLD),
        (CredentialsError("403", reason=Reason.PERMISSION_DENIED, status=403), Verdict.DEAD_LETTER),
        (ValidationError("422", status=422), Verdict.DEAD_LETTER),
        (ValidationError("quota", reason=Reason.QUOTA_EXCEEDED, status=403), Verdict.DEAD_LETTER),
        (Refused("not allowed"), Verdict.DEAD_LETTER),
        (ConflictError("409", status=409), Verdict.WAIT),
        (Waiting("terminating", after=SECOND), Verdict.WAIT),
        (KeyError("a mistake of ours"), Verdict.WAIT),
    ],
)
def test_the_table_of_verdicts(error: Exception, expected: Verdict) -> None:
    assert verdict(error) is expected


async def test_a_delivery_is_acknowledged_only_after_the_write(bench: Bench) -> None:
    gate = bench.inbox.gates["e-1"] = asyncio.Event()
    delivery = bench.take(reconcile("deploy"))
    await until(lambda: bench.inbox.began == ["e-1"])
    await turns()
    assert delivery.acks == 0
    gate.set()
    await until(lambda: delivery.acks == 1)
    assert bench.inbox.done == ["e-1"]
    await until(lambda: bench.counted("DevOpsReconcile", "created") == 1)


async def test_the_age_of_the_oldest_message_counts_from_its_sending_until_its_acknowledgement(bench: Bench) -> None:
    assert bench.deliveries.oldest() == 0
    gate = bench.inbox.gates["e-1"] = asyncio.Event()
    first = bench.take(reconcile("deploy", seconds=-40))
    second = bench.take(reconcile("deploy", "e-2", seconds=-10))
    await until(lambda: bench.inbox.began == ["e-1"])
    bench.clock.advance(2 * SECOND)
    assert bench.deliveries.oldest() == 42
    gate.set()
    await until(lambda: first.acks == second.acks == 1)
    await turns()
    assert bench.deliveries.oldest() == 0
    bench.grave.error = AWAY
    bench.take(b"no json")
    await turns()
    bench.clock.advance(3 * SECOND)
    assert bench.deliveries.oldest() == 3


async def test_messages_of_a_project_keep_their_order(bench: Bench) -> None:
    gate = bench.inbox.gates["i-1"] = asyncio.Event()
    bench.take(initialize("i-1"))
    bench.take(reconcile("deploy", "e-1"))
    bench.take(reconcile("cancel", "c-1"))
    bench.take(reconcile("deploy", "e-9", project="other"))
    await until(lambda: bench.inbox.done == ["e-9"])
    await turns()
    assert bench.inbox.began == ["i-1", "e-9"]
    gate.set()
    await until(lambda: bench.inbox.done == ["e-9", "i-1", "e-1", "c-1"])


@pytest.mark.parametrize("body", [b"no json", b'{"event_type": "Other"}', reconcile("explode"), b""])
async def test_what_is_no_message_is_buried_byte_for_byte_and_then_acknowledged(bench: Bench, body: bytes) -> None:
    delivery = bench.take(body)
    await until(lambda: delivery.acks == 1)
    ((buried, reason, _),) = bench.grave.buried
    assert buried == body
    assert reason is Reason.INVALID_MESSAGE
    assert bench.inbox.began == []


@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
async def test_a_timestamp_beyond_all_years_makes_a_dead_letter_too(bench: Bench, timestamp: str) -> None:
    body = json.dumps({**json.loads(reconcile("deploy")), "timestamp": timestamp}).encode()
    delivery = bench.take(body)
    await until(lambda: delivery.acks == 1)
    ((buried, reason, text),) = bench.grave.buried
    assert (buried, reason) == (body, Reason.INVALID_MESSAGE)
    assert text.startswith("timestamp: ")
    assert "year" in text


REPLAYS: dict[str, tuple[object, datetime | None]] = {
    "none": (None, None),
    "ours": ("2026-01-01T12:00:00.000+00:00", NOW),
    "without an offset": ("2026-01-01T12:00:00", NOW),
    "a time of AMQP": (NOW, NOW),
    "no time": ("yes", None),
    "of another type": (True, None),
}


@pytest.mark.parametrize("case", REPLAYS)
async def test_the_inbox_hears_when_a_message_was_published_again(bench: Bench, case: str) -> None:
    header, expected = REPLAYS[case]
    delivery = bench.take(reconcile("deploy"), headers={} if header is None else {"x-replayed-at": header})
    await until(lambda: delivery.acks == 1)
    assert bench.inbox.replays == {"e-1": expected}


async def test_a_message_that_the_operator_fails_to_take_in_is_a_dead_letter_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(_message: InboundMessage) -> tuple[str, str]:
        raise KeyError("a secret perhaps")

    monkeypatch.setattr(bench.inbox, "place", place)
    delivery = bench.take(reconcile("deploy"))
    await until(lambda: delivery.acks == 1)
    ((buried, reason, text),) = bench.grave.buried
    assert (buried, reason) == (reconcile("deploy"), Reason.INTERNAL_ERROR)
    assert "secret" not in text
    assert bench.inbox.began == []


async def test_what_the_api_server_refuses_is_buried_with_its_words(bench: Bench) -> None:
    bench.inbox.errors["i-1"] = ValidationError("spec.git.url: Required value", status=422)
    delivery = bench.take(initialize())
    await until(lambda: delivery.acks == 1)
    assert bench.grave.buried == [(initialize(), Reason.INVALID_SPEC, "spec.git.url: Required value")]
    await until(lambda: bench.counted("DevOpsInitialize", "dead-lettered") == 1)


async def test_a_dead_letter_that_does_not_get_through_is_not_acknowledged(bench: Bench) -> None:
    bench.grave.error = ExternalServiceError("RabbitMQ: no answer", service="rabbitmq")
    delivery = bench.take(b"no json")
    await until(lambda: bench.deliveries.held == 1)
    assert delivery.acks == 0
    bench.grave.error = None
    await until(lambda: bench.clock.sleepers == 1)
    bench.clock.advance(SECOND)
    await until(lambda: delivery.acks == 1)
    assert len(bench.grave.buried) == 1


async def test_a_dead_letter_queue_that_is_not_bound_is_no_busy_loop(bench: Bench) -> None:
    bench.grave.error = Refused("RabbitMQ: NO_ROUTE")
    bench.take(b"no json")
    await until(lambda: bench.clock.sleepers == 1)
    assert bench.deliveries.held == 1


async def test_deliveries_are_held_while_the_api_server_is_away(bench: Bench) -> None:
    bench.inbox.error = AWAY
    deliveries = [bench.take(reconcile("deploy", f"e-{n}", project=f"p-{n}")) for n in range(3)]
    await until(lambda: bench.deliveries.held == 3)
    assert bench.deliveries.changed.is_set()
    for wait in (1, 2, 4, 8, 8):
        await until(lambda: bench.clock.sleepers == 3)
        bench.clock.advance(wait * SECOND)
        await turns()
    assert [delivery.acks for delivery in deliveries] == [0, 0, 0]
    assert bench.deliveries.held == 3
    assert bench.grave.buried == []
    assert "connection refused" in bench.deliveries.why_held
    bench.inbox.error = None
    bench.deliveries.changed.clear()
    bench.clock.advance(8 * SECOND)
    await until(lambda: [delivery.acks for delivery in deliveries] == [1, 1, 1])
    assert bench.deliveries.held == 0
    assert bench.deliveries.changed.is_set()


async def test_one_that_gets_through_wakes_the_others(bench: Bench) -> None:
    bench.inbox.error = AWAY
    first = bench.take(reconcile("deploy", "e-1", project="p-1"))
    await until(lambda: bench.clock.sleepers == 1)
    bench.clock.advance(SECOND / 2)
    second = bench.take(reconcile("deploy", "e-2", project="p-2"))
    await until(lambda: bench.clock.sleepers == 2)
    bench.inbox.error = None
    bench.clock.advance(SECOND / 2)
    await until(lambda: first.acks == 1 and second.acks == 1)


async def test_a_service_that_names_its_wait_gets_it(bench: Bench) -> None:
    bench.inbox.error = ExternalServiceError("429", service="kubernetes", after=60 * SECOND)
    bench.take(reconcile("deploy"))
    await until(lambda: bench.clock.sleepers == 1)
    bench.clock.advance(59 * SECOND)
    await turns()
    assert bench.inbox.began == ["e-1"]
    bench.clock.advance(SECOND)
    await until(lambda: bench.inbox.began == ["e-1", "e-1"])


async def test_a_project_that_is_being_deleted_delays_nobody_else(bench: Bench) -> None:
    bench.inbox.errors["i-1"] = Waiting("being deleted", after=2 * SECOND)
    waiting = bench.take(initialize())
    other = bench.take(reconcile("deploy", project="other"))
    await until(lambda: other.acks == 1)
    assert bench.deliveries.held == 0
    del bench.inbox.errors["i-1"]
    await until(lambda: bench.clock.sleepers == 1)
    bench.clock.advance(2 * SECOND)
    await until(lambda: waiting.acks == 1)
    assert bench.grave.buried == []


async def test_what_waits_is_counted_for_its_consumer_with_what_came_behind_it(bench: Bench) -> None:
    bench.inbox.errors["i-1"] = Waiting("being deleted", after=2 * SECOND)
    bench.inbox.gates["e-9"] = asyncio.Event()
    bench.take(reconcile("deploy", "e-9", project="other"))
    bench.take(reconcile("deploy", "e-8", project="other"))
    bench.take(initialize())
    await until(lambda: bench.deliveries.waiting() == 1)
    assert bench.deliveries.changed.is_set()
    bench.deliveries.changed.clear()
    behind = bench.take(reconcile("deploy"), consumer_tag="c-2")
    assert bench.deliveries.changed.is_set()
    counts = [bench.deliveries.waiting(tag) for tag in ("c-1", "c-2", None)]
    assert (counts, bench.deliveries.why_waiting) == ([1, 1, 2], "being deleted")
    bench.deliveries.changed.clear()
    del bench.inbox.errors["i-1"]
    await until(lambda: bench.clock.sleepers == 1)
    bench.clock.advance(2 * SECOND)
    await until(lambda: behind.acks == 1)
    await turns()
    assert (bench.deliveries.waiting(), bench.deliveries.why_waiting) == (0, "")
    assert bench.deliveries.changed.is_set()


async def test_a_wait_has_its_end_in_the_dead_letter_queue(bench: Bench) -> None:
    bench.inbox.errors["i-1"] = Waiting("being deleted", after=200 * SECOND, reason=Reason.DELETION_BLOCKED)
    delivery = bench.take(initialize())
    for _ in range(3):
        await until(lambda: bench.clock.sleepers == 1)
        assert delivery.acks == 0
        bench.clock.advance(200 * SECOND)
        await turns()
    await until(lambda: delivery.acks == 1)
    ((_, reason, text),) = bench.grave.buried
    assert (reason, text) == (Reason.DELETION_BLOCKED, "being deleted")


async def test_a_message_that_makes_us_fail_is_tried_five_times(bench: Bench) -> None:
    bench.inbox.errors["i-1"] = KeyError("a secret perhaps")
    delivery = bench.take(initialize())
    for _ in range(4):
        await until(lambda: bench.clock.sleepers == 1)
        bench.clock.advance(8 * SECOND)
        await turns()
    await until(lambda: delivery.acks == 1)
    assert len(bench.inbox.began) == 5
    ((_, reason, text),) = bench.grave.buried
    assert reason is Reason.INTERNAL_ERROR
    assert "KeyError" in text
    assert "secret" not in text


async def test_a_lost_acknowledgement_ends_the_connection(bench: Bench) -> None:
    bench.take(reconcile("deploy"), ack_error=ConnectionResetError("reset"))
    await until(lambda: bench.deliveries.broken is not None)
    assert bench.deliveries.changed.is_set()
    assert bench.counted("DevOpsReconcile", "created") is None


async def test_at_the_stop_a_running_write_ends_and_what_waits_is_left(bench: Bench) -> None:
    gate = bench.inbox.gates["e-1"] = asyncio.Event()
    bench.inbox.errors["e-2"] = AWAY
    running = bench.take(reconcile("deploy", "e-1", project="p-1"))
    behind = bench.take(reconcile("deploy", "e-3", project="p-1"))
    held = bench.take(reconcile("deploy", "e-2", project="p-2"))
    await until(lambda: bench.deliveries.held == 1)
    stopping = asyncio.create_task(bench.deliveries.stop(60 * SECOND))
    await turns()
    assert not stopping.done()
    gate.set()
    await stopping
    assert (running.acks, held.acks, behind.acks) == (1, 0, 0)
    assert "e-3" not in bench.inbox.began


async def test_a_write_that_does_not_end_is_cut_at_the_stop(bench: Bench) -> None:
    bench.inbox.gates["e-1"] = asyncio.Event()
    delivery = bench.take(reconcile("deploy"))
    await until(lambda: bench.inbox.began == ["e-1"])
    await bench.deliveries.stop(timedelta(0))
    assert delivery.acks == 0


async def test_a_canary_is_answered_and_acknowledged_without_being_read(bench: Bench) -> None:
    echoed: list[AbstractIncomingMessage] = []

    async def echo(canary: AbstractIncomingMessage) -> None:
        echoed.append(canary)

    bench.lane.echo = echo
    bench.clock.advance(SECOND)
    canary = bench.take(b"no message at all", type="Canary", reply_to="amq.rabbitmq.reply-to.abc")
    await until(lambda: bench.counted("Canary", "answered") == 1)
    assert (canary.acks, len(echoed)) == (1, 1)
    assert bench.deliveries.settled_at == bench.clock.monotonic()
    assert (bench.inbox.began, bench.grave.buried) == ([], [])


async def test_a_canary_that_cannot_be_answered_is_acknowledged_and_missed_by_its_sender(bench: Bench) -> None:
    async def echo(_canary: AbstractIncomingMessage) -> None:
        raise ExternalServiceError("RabbitMQ: the connection was lost", service="rabbitmq")

    bench.lane.echo = echo
    canary = bench.take(b"{}", type="Canary", reply_to="amq.rabbitmq.reply-to.abc")
    await until(lambda: bench.counted("Canary", "unanswered") == 1)
    assert canary.acks == 1


@pytest.mark.parametrize("reply_to", [None, "", "devops.reconciler", "amq.rabbitmq.reply-to"])
async def test_a_canary_that_names_another_queue_is_no_canary(bench: Bench, reply_to: str | None) -> None:
    delivery = bench.take(b"{}", type="Canary", reply_to=reply_to)
    await until(lambda: delivery.acks == 1)
    assert len(bench.grave.buried) == 1
