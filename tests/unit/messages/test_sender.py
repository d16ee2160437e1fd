"""Heartbeats go out in order, without gaps, repeats equal, and ticks between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.api.heartbeat import heartbeat_body, ticked
from devops_reconciler.messages.sender import WORKERS, HeartbeatSender
from devops_reconciler.runtime.metrics import Metrics

from .broker import turns, until
from .desk import Desk, beat
from .samples import NOW
from .samples import settings as make_settings


async def test_an_outbox_goes_out_in_order_and_is_confirmed(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1), beat(2), beat(3)])
    await until(lambda: desk.sender.confirmed("u-1") == 3)
    assert desk.ids == ["u-1-1", "u-1-2", "u-1-3"]
    assert desk.told == [("u-1", 1), ("u-1", 2), ("u-1", 3)]


async def test_a_message_has_all_that_its_receivers_need(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: desk.told == [("u-1", 1)])
    (sent,) = desk.broker.published
    message = sent.message
    assert (sent.exchange, sent.routing_key) == ("devops.heartbeat", "shop.shop-u-1")
    assert (message.message_id, message.type) == ("u-1-1", "DevOpsReconcileJobHeartbeat")
    assert message.timestamp == NOW + timedelta(seconds=1)
    assert (message.content_type, int(message.delivery_mode or 0)) == ("application/json", 2)
    assert message.body == heartbeat_body(beat(1))


async def test_offering_again_sends_nothing_again(desk: Desk) -> None:
    outbox = [beat(1), beat(2)]
    desk.broker.gate = asyncio.Event()
    desk.sender.offer("u-1", outbox)
    await until(lambda: desk.ids == ["u-1-1"])
    desk.sender.offer("u-1", outbox)
    desk.broker.gate.set()
    await until(lambda: desk.sender.confirmed("u-1") == 2)
    desk.sender.offer("u-1", outbox)
    await turns()
    assert desk.ids == ["u-1-1", "u-1-2"]


async def test_the_next_goes_out_only_after_the_confirm_of_the_last(desk: Desk) -> None:
    desk.broker.gate = asyncio.Event()
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await until(lambda: desk.ids == ["u-1-1"])
    await turns()
    assert desk.ids == ["u-1-1"]
    assert desk.told == []


async def test_records_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.broker.gate = asyncio.Event()
    for number in range(10):
        desk.sender.offer(f"u-{number}", [beat(1, f"u-{number}")])
    await until(lambda: len(desk.ids) == 10)


async def test_more_records_than_workers_all_get_their_turn(desk: Desk) -> None:
    for number in range(100):
        desk.sender.offer(f"u-{number}", [beat(1, f"u-{number}"), beat(2, f"u-{number}")])
    await until(lambda: len(desk.told) == 200)


async def test_the_first_word_on_a_deployment_goes_before_more_words_on_others(desk: Desk) -> None:
    many = [f"u-{number}" for number in range(WORKERS + 4)]
    for uid in many:
        desk.sender.offer(uid, [beat(1, uid)])
    await until(lambda: len(desk.told) == len(many))
    desk.broker.gate = asyncio.Event()
    for uid in many:
        desk.sender.offer(uid, [beat(1, uid), beat(2, uid)])
    await until(lambda: len(desk.ids) == len(many) + WORKERS)
    desk.sender.offer("new", [beat(1, "new")])
    desk.broker.gate.set()
    await until(lambda: len(desk.told) == 2 * len(many) + 1)
    assert desk.ids.index("new-1") == len(many) + WORKERS


async def test_what_is_offered_while_the_broker_is_away_is_sent_when_it_is_back(desk: Desk) -> None:
    await until(lambda: desk.broker.connections == 1)
    desk.broker.go_down()
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await desk.pass_time(30)
    with pytest.raises(ExternalServiceError, match="no heartbeats are sent: RabbitMQ: connection refused"):
        await desk.sender.check()
    assert desk.sender.waiting == 2
    desk.broker.down = False
    await desk.pass_time(6)
    assert desk.told == [("u-1", 1), ("u-1", 2)]
    assert await desk.sender.check() == "connected, 0 heartbeats wait"


async def test_a_lost_connection_is_noticed_without_anything_to_send(desk: Desk) -> None:
    await until(lambda: desk.broker.connections == 1)
    desk.broker.cut()
    await desk.pass_time(2)
    assert desk.broker.connections == 2


async def test_a_confirm_that_is_lost_brings_an_equal_repeat(desk: Desk) -> None:
    desk.broker.faults = ["unconfirmed"]
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await desk.pass_time(2)
    assert desk.ids == ["u-1-1", "u-1-1", "u-1-2"]
    first, second, _ = desk.broker.published
    assert first.message.body == second.message.body
    assert desk.told == [("u-1", 1), ("u-1", 2)]


async def test_ticks_repeat_the_last_change(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: len(desk.ids) == 1)
    await desk.pass_time(35)
    assert desk.ids == ["u-1-1", "u-1-1-1", "u-1-1-2", "u-1-1-3"]
    assert desk.broker.published[2].message.body == heartbeat_body(ticked(beat(1), 2))
    assert desk.broker.published[2].payload == {**beat(1)["payload"], "tick": 2}
    assert desk.told == [("u-1", 1)]


async def test_a_change_puts_the_next_tick_off_and_counts_anew(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await desk.pass_time(15)
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await desk.pass_time(8)
    assert desk.ids == ["u-1-1", "u-1-1-1", "u-1-2"]
    await desk.pass_time(4)
    assert desk.ids[-1] == "u-1-2-1"


async def test_no_tick_after_the_end(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1), beat(2, terminal=True)])
    await desk.pass_time(60)
    assert desk.ids == ["u-1-1", "u-1-2"]


async def test_news_after_the_end_are_sent_once(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1, terminal=True)])
    desk.sender.offer("u-1", [beat(2, step="expiry")])
    await desk.pass_time(60)
    assert desk.ids == ["u-1-1", "u-1-2"]


async def test_news_of_an_ended_record_are_not_repeated_by_a_new_process(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(7, step="expiry")])
    await desk.pass_time(60)
    assert desk.ids == ["u-1-7"]


async def test_a_lost_tick_is_lost(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: len(desk.ids) == 1)
    desk.broker.faults = ["lost"]
    await desk.pass_time(12)
    assert desk.ids == ["u-1-1"]
    await desk.pass_time(10)
    assert desk.ids == ["u-1-1", "u-1-1-1"]


async def test_nothing_of_a_forgotten_record_is_sent(desk: Desk) -> None:
    await until(lambda: desk.broker.connections == 1)
    desk.broker.go_down()
    desk.sender.offer("u-1", [beat(1)])
    desk.sender.forget("u-1")
    desk.sender.forget("never-known")
    desk.broker.down = False
    await desk.pass_time(30)
    assert desk.ids == []
    assert desk.sender.confirmed("u-1") == 0


async def test_an_outbox_that_begins_later_is_taken_as_it_is(desk: Desk) -> None:
    """After a restart: what was confirmed is no longer in it."""
    desk.sender.offer("u-1", [beat(5), beat(6)])
    await until(lambda: desk.told == [("u-1", 5), ("u-1", 6)])


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"payload": None},
        {"payload": {"sequence": 1}},
        {"payload": {**beat(1)["payload"], "sequence": "1"}},
        *({"payload": {**beat(1)["payload"], "tick": tick}} for tick in (3, "abc", None)),
    ],
)
async def test_an_entry_that_is_no_heartbeat_is_left_out(desk: Desk, entry: Mapping[str, Any]) -> None:
    desk.sender.offer("u-1", [entry, beat(1)])
    await until(lambda: desk.told == [("u-1", 1)])
    assert desk.ids == ["u-1-1"]


async def test_a_name_longer_than_a_routing_key_stops_nothing(desk: Desk) -> None:
    entry = beat(1)
    entry["payload"]["deployment"] = "x" * 253
    desk.sender.offer("u-1", [entry])
    await until(lambda: desk.told == [("u-1", 1)])
    assert len(desk.broker.published[0].routing_key) == 255


async def test_a_routing_key_is_cut_to_its_bytes_between_two_characters(desk: Desk) -> None:
    entry = beat(1)
    entry["payload"]["deployment"] = "ä" * 200
    desk.sender.offer("u-1", [entry])
    await until(lambda: desk.told == [("u-1", 1)])
    assert desk.broker.published[0].routing_key == "shop." + "ä" * 125


@pytest.mark.parametrize(
    "timestamp",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00",
        "1969-12-31T23:59:58Z",
        "yesterday",
        7,
        None,
    ],
)
async def test_a_time_that_amqp_has_no_form_for_is_left_out(desk: Desk, timestamp: object) -> None:
    desk.sender.offer("u-1", [{**beat(1), "timestamp": timestamp}])
    await until(lambda: desk.told == [("u-1", 1)])
    (sent,) = desk.broker.published
    assert sent.message.timestamp is None
    assert json.loads(sent.message.body)["timestamp"] == timestamp


async def test_the_last_time_that_can_be_written_is_sent(desk: Desk) -> None:
    desk.sender.offer("u-1", [{**beat(1), "timestamp": "9999-12-31T23:59:59-23:59"}])
    await until(lambda: desk.told == [("u-1", 1)])
    assert desk.broker.published[0].message.timestamp is not None


async def test_a_listener_that_fails_is_no_matter_of_the_broker(desk: Desk) -> None:
    def fail(_uid: str, _sequence: int) -> None:
        raise KeyError("a mistake")

    sender = HeartbeatSender(make_settings(), desk.broker.connect, desk.clock, Metrics(), fail)
    sender.offer("u-2", [beat(1, "u-2")])
    with pytest.raises(KeyError, match="a mistake"):
        await sender.run()
    assert sender.confirmed("u-2") == 1


FAULTS = st.lists(st.sampled_from(["ok", "ok", "lost", "unconfirmed", "refused"]), max_size=30)
OFFERS = st.lists(
    st.tuples(st.sampled_from(["u-1", "u-2", "u-3"]), st.integers(1, 4), st.floats(0, 15), st.booleans()),
    min_size=1,
    max_size=12,
)
"""Record, how many changes, the time until the next offer, and whether the Lease was lost and taken again before."""


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, offers=OFFERS)
def test_receivers_see_every_change_once_in_order_whatever_happens(
    faults: list[str], offers: list[tuple[str, int, float, bool]]
) -> None:
    asyncio.run(_survive(faults, offers))


async def _survive(faults: list[str], offers: list[tuple[str, int, float, bool]]) -> None:
    desk = Desk()
    desk.broker.faults = list(faults)
    outboxes: dict[str, list[dict[str, Any]]] = {}
    try:
        for uid, count, pause, new_term in offers:
            if new_term:
                desk.sender.forget_all()
                for known, outbox in outboxes.items():
                    desk.sender.offer(known, desk.unconfirmed(known, outbox))
            outbox = outboxes.setdefault(uid, [])
            outbox += [beat(len(outbox) + 1 + more, uid) for more in range(count)]
            desk.sender.offer(uid, desk.unconfirmed(uid, outbox))
            await desk.pass_time(pause)
        # Each fault costs at most one attempt to connect, of five seconds, or one pause of a minute.
        for _ in range(60 * len(faults) + 20):
            await desk.pass_time(1)
            if not desk.sender.waiting:
                break
    finally:
        await desk.end()
    for uid, outbox in outboxes.items():
        received = [one for one in desk.broker.published if one.message_id.startswith(f"{uid}-")]
        assert _without_repeats_and_ticks(received) == list(range(1, len(outbox) + 1))
        assert [sequence for of, sequence in desk.told if of == uid] == list(range(1, len(outbox) + 1))
        for one in received:
            entry = outbox[one.payload["sequence"] - 1]
            expected = ticked(entry, one.payload["tick"]) if "tick" in one.payload else entry
            assert one.message.body == heartbeat_body(expected)


def _without_repeats_and_ticks(received: list[Any]) -> list[int]:
    """The sequences as a receiver sees them that drops what it knows; a tick never runs ahead of its change."""
    seen: list[int] = []
    for one in received:
        sequence = one.payload["sequence"]
        assert sequence <= len(seen) + 1
        if "tick" in one.payload:
            assert sequence == len(seen)
        elif sequence == len(seen) + 1:
            seen.append(sequence)
    return seen


async def test_a_replica_that_may_not_act_sends_nothing_and_goes_on_when_it_may(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: desk.told == [("u-1", 1)])
    desk.may_send = False
    desk.sender.offer("u-1", [beat(2)])
    await desk.pass_time(60)
    assert desk.ids == ["u-1-1"], "no tick either"
    desk.may_send = True
    await desk.pass_time(1)
    assert desk.ids == ["u-1-1", "u-1-2"]


async def test_a_replica_that_stands_by_forgets_what_it_would_have_sent(desk: Desk) -> None:
    desk.may_send = False
    desk.sender.offer("u-1", [beat(1)])
    desk.sender.offer("u-2", [beat(1)])
    await turns()
    desk.sender.forget_all()
    desk.may_send = True
    await desk.pass_time(30)
    assert desk.ids == []
    assert desk.sender.waiting == 0


async def test_what_waits_since_an_earlier_term_of_the_lease_is_sent_once_and_in_order(desk: Desk) -> None:
    await until(lambda: desk.broker.connections == 1)
    desk.broker.go_down()
    for _ in range(3):
        desk.sender.offer("u-1", [beat(1), beat(2)])
        await desk.pass_time(5)
        desk.sender.forget_all()
    desk.sender.offer("u-1", [beat(1), beat(2)])
    desk.broker.down = False
    await desk.pass_time(6)
    assert desk.ids == ["u-1-1", "u-1-2"]
    assert desk.told == [("u-1", 1), ("u-1", 2)]
    assert not desk.task.done()


async def test_a_record_that_was_forgotten_and_comes_again_begins_anew(desk: Desk) -> None:
    desk.broker.gate = asyncio.Event()
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await until(lambda: desk.ids == ["u-1-1"])
    desk.sender.forget("u-1")
    desk.sender.offer("u-1", [beat(1), beat(2), beat(3)])
    desk.broker.gate.set()
    await until(lambda: len(desk.told) == 3)
    await turns()
    assert desk.ids == ["u-1-1", "u-1-1", "u-1-2", "u-1-3"]
    assert desk.told == [("u-1", 1), ("u-1", 2), ("u-1", 3)]
