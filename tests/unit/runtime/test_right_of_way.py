"""While something is on its way that has just come in, all else begins no request; but it stands still never."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from devops_reconciler.runtime.right_of_way import RightOfWay
from devops_reconciler.runtime.slots import Slots
from devops_reconciler.runtime.urgency import NOBODY, Urgency, work

SLOTS = 8
OTHERS = [each for each in Urgency if each is not Urgency.ARRIVAL]


async def one_request(slots: Slots, urgency: Urgency, done: list[str]) -> None:
    with work(urgency, NOBODY):
        async with slots.place():
            done.append(urgency.name)


async def turns(count: int = 10) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("urgency", OTHERS)
async def test_others_begin_no_request_until_what_has_come_in_is_through(urgency: Urgency) -> None:
    slots, done = Slots(SLOTS), list[str]()
    with work(Urgency.ARRIVAL, NOBODY), work(Urgency.ARRIVAL, NOBODY):
        request = asyncio.create_task(one_request(slots, urgency, done))
        await turns()
        assert done == []
        await one_request(slots, Urgency.ARRIVAL, done)
        assert done == ["ARRIVAL"]
    await request
    assert done == ["ARRIVAL", urgency.name]


async def test_they_wait_for_all_that_has_come_in() -> None:
    slots, done = Slots(SLOTS), list[str]()
    with work(Urgency.ARRIVAL, NOBODY):
        with work(Urgency.ARRIVAL, NOBODY):
            request = asyncio.create_task(one_request(slots, Urgency.CHECK, done))
            await turns()
        await turns()
        assert done == []
    await request


async def test_however_much_comes_in_they_go_on() -> None:
    way = RightOfWay(timedelta(milliseconds=1))
    with way.taken():
        await way.give()
        await way.give()


async def test_one_that_gives_up_while_it_waits_takes_nothing() -> None:
    slots, done = Slots(1), list[str]()
    with work(Urgency.ARRIVAL, NOBODY):
        request = asyncio.create_task(one_request(slots, Urgency.CHECK, done))
        await turns()
        request.cancel()
        await turns()
    assert request.cancelled()
    await one_request(slots, Urgency.CHECK, done)
    assert done == ["CHECK"]


async def test_a_failure_of_what_has_come_in_ends_its_right_of_way() -> None:
    slots, done = Slots(SLOTS), list[str]()
    with pytest.raises(LookupError), work(Urgency.ARRIVAL, NOBODY):
        raise LookupError
    request = asyncio.create_task(one_request(slots, Urgency.CHECK, done))
    await turns(3)
    assert request.done()
