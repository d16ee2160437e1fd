"""Heartbeats that the broker does not take hold up only their own deployment."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from devops_reconciler.messages import publisher
from devops_reconciler.messages.sender import REFUSED, WORKERS

from .broker import turns, until
from .desk import Desk, beat


async def test_a_queue_that_refuses_one_deployment_holds_up_no_other(desk: Desk) -> None:
    refused = [f"full-{number}" for number in range(2 * WORKERS)]
    desk.broker.refused = {f"shop.shop-{uid}" for uid in refused}
    for uid in refused:
        desk.sender.offer(uid, [beat(1, uid), beat(2, uid)])
    desk.sender.offer("u-1", [beat(1), beat(2), beat(3)])
    await until(lambda: desk.told == [("u-1", 1), ("u-1", 2), ("u-1", 3)])
    await desk.pass_time(35)
    assert desk.ids == ["u-1-1", "u-1-2", "u-1-3", "u-1-3-1", "u-1-3-2", "u-1-3-3"]
    assert desk.broker.connections == 1


async def test_what_was_refused_comes_in_order_when_its_queue_has_room_again(desk: Desk) -> None:
    desk.broker.refused = {"shop.shop-u-1"}
    desk.sender.offer("u-1", [beat(1), beat(2)])
    await desk.pass_time(90)
    desk.sender.offer("u-1", [beat(1), beat(2), beat(3)])
    assert await desk.sender.check() == (
        "connected, 3 heartbeats wait; deployments whose heartbeats are not taken: 1, as RabbitMQ: publish to "
        "'devops.heartbeat' by 'shop.shop-u-1': refused: a queue that is bound to it is full, or ill"
    )
    desk.broker.refused = set()
    await desk.pass_time(REFUSED.longest.total_seconds() + 1)
    assert [one for one in desk.ids if one.count("-") == 2] == ["u-1-1", "u-1-2", "u-1-3"]
    assert desk.told == [("u-1", 1), ("u-1", 2), ("u-1", 3)]
    assert await desk.sender.check() == "connected, 0 heartbeats wait"


async def test_what_is_refused_is_tried_ever_more_seldom(desk: Desk) -> None:
    attempts = Counter[str]()
    desk.broker.refused = Counted({"shop.shop-u-1"}, attempts)
    desk.sender.offer("u-1", [beat(1)])
    await desk.pass_time(60)
    first = attempts["shop.shop-u-1"]
    assert 5 <= first <= 12
    await desk.pass_time(600)
    assert 9 <= attempts["shop.shop-u-1"] - first <= 22


class Counted(set[str]):
    """Counts who looks for what."""

    def __init__(self, keys: set[str], attempts: Counter[str]) -> None:
        super().__init__(keys)
        self.attempts = attempts

    def __contains__(self, key: object) -> bool:
        self.attempts[str(key)] += 1
        return super().__contains__(key)


async def test_a_refused_tick_is_lost(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: desk.told == [("u-1", 1)])
    desk.broker.refused = {"shop.shop-u-1"}
    await desk.pass_time(12)
    desk.broker.refused = set()
    await desk.pass_time(11)
    assert desk.ids == ["u-1-1", "u-1-1-1"]


async def test_queues_that_do_not_answer_hold_up_no_other_deployment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT", timedelta(milliseconds=50))
    silent = [f"silent-{number}" for number in range(2 * WORKERS)]
    desk.broker.unanswered = {f"shop.shop-{uid}" for uid in silent}
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: desk.told == [("u-1", 1)])
    for uid in silent:
        desk.sender.offer(uid, [beat(1, uid)])
    await turns()
    desk.sender.offer("u-1", [beat(1), beat(2)])
    async with asyncio.timeout(30):
        while len(desk.told) < 2:
            desk.clock.advance(timedelta(milliseconds=10))
            await asyncio.sleep(0)
    assert desk.told == [("u-1", 1), ("u-1", 2)]


async def test_ticks_go_out_however_short_connections_live(desk: Desk) -> None:
    desk.sender.offer("u-1", [beat(1)])
    await until(lambda: len(desk.ids) == 1)
    for _ in range(70):
        desk.broker.cut()
        await turns()
        await desk.pass_time(0.5)
        await turns()
    assert desk.broker.connections == 71
    assert desk.ids[1:4] == ["u-1-1-1", "u-1-1-2", "u-1-1-3"]
