"""Slots: never more at a time than allowed, and who waits elsewhere holds up nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.slots import ASIDE, Slots, step_aside
from devops_reconciler.runtime.urgency import Urgency, current_urgency, urgency
from devops_reconciler.runtime.urgency import work as working
from devops_reconciler.services.budget import RequestBudget


class Work:
    """Pieces of work in one slot each, which run until they are let go."""

    def __init__(self, count: int) -> None:
        self.slots = Slots(count)
        self.running = 0
        self.aside = asyncio.Event()
        self.end = asyncio.Event()

    async def run(self) -> None:
        async with self.slots.slot():
            self.running += 1
            waits = [asyncio.create_task(self.aside.wait()), asyncio.create_task(self.end.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self.aside.is_set():
                step_aside()
            await self.end.wait()
            for each in waits:
                each.cancel()
            self.running -= 1


async def settle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def ended(work: Work, tasks: list[asyncio.Task[None]]) -> None:
    work.end.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


async def test_no_more_run_than_there_are_slots() -> None:
    work = Work(2)
    tasks = [asyncio.create_task(work.run()) for _ in range(5)]
    await settle()
    assert work.running == 2
    await ended(work, tasks)
    assert work.running == 0


async def test_who_steps_aside_lets_others_run_and_gives_back_one_slot_only() -> None:
    work = Work(1)
    tasks = [asyncio.create_task(work.run()) for _ in range(3)]
    work.aside.set()
    await settle()
    assert work.running == 3
    await ended(work, tasks)
    again = Work(1)
    again.slots = work.slots
    later = [asyncio.create_task(again.run()) for _ in range(3)]
    await settle()
    assert again.running == 1
    await ended(again, later)


async def test_not_all_may_step_aside() -> None:
    work = Work(1)
    tasks = [asyncio.create_task(work.run()) for _ in range(ASIDE + 5)]
    work.aside.set()
    await settle()
    assert work.running == ASIDE + 1
    await ended(work, tasks)


async def test_work_without_a_slot_may_step_aside_too() -> None:
    step_aside()


async def test_who_waits_for_a_budget_holds_up_nobody_else() -> None:
    clock, slots, done = FakeClock(), Slots(1), list[str]()
    budget = RequestBudget(clock, 2, burst=1)

    async def one(name: str, *, asks: bool) -> None:
        async with slots.slot():
            if asks:
                await budget.take()
            done.append(name)

    tasks = [asyncio.create_task(one(name, asks=name != "free")) for name in ("first", "second", "free")]
    await settle()
    assert done == ["first", "free"]
    clock.advance(timedelta(minutes=1))
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert done == ["first", "free", "second"]


async def test_urgent_work_has_slots_of_its_own_and_goes_first() -> None:
    work = Work(4)
    calm = [asyncio.create_task(work.run()) for _ in range(5)]
    await settle()
    assert work.running == 3, "one of four is kept for urgent work"
    with urgency(Urgency.DEPLOYMENT):
        urgent = [asyncio.create_task(work.run()) for _ in range(2)]
    await settle()
    assert work.running == 4
    order: list[str] = []
    calm[4].add_done_callback(lambda _: order.append("calm"))
    urgent[1].add_done_callback(lambda _: order.append("urgent"))
    await ended(work, calm + urgent)
    assert order == ["urgent", "calm"]


async def test_one_slot_is_there_for_what_has_just_come_in_though_deployments_hold_all_others() -> None:
    work = Work(4)
    work.slots = Slots(4, arrivals=1)
    with urgency(Urgency.DEPLOYMENT):
        tasks = [asyncio.create_task(work.run()) for _ in range(5)]
    await settle()
    assert work.running == 3
    with urgency(Urgency.ARRIVAL):
        tasks.append(asyncio.create_task(work.run()))
    await settle()
    assert work.running == 4
    await ended(work, tasks)


async def test_the_only_slot_is_for_everybody() -> None:
    work = Work(1)
    work.slots = Slots(1, arrivals=1)
    tasks = [asyncio.create_task(work.run())]
    await settle()
    assert work.running == 1
    await ended(work, tasks)


async def test_who_gives_up_waiting_for_a_slot_takes_none_with_it() -> None:
    work = Work(1)
    tasks = [asyncio.create_task(work.run()) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    await ended(work, [tasks[0], tasks[2]])
    again = Work(1)
    again.slots = work.slots
    later = [asyncio.create_task(again.run()) for _ in range(2)]
    await settle()
    assert again.running == 1
    later[1].cancel()
    again.end.set()  # its slot is given to somebody who gives up in the same moment
    await asyncio.gather(*later, return_exceptions=True)
    async with asyncio.timeout(10), work.slots.slot():
        pass


async def test_what_urgent_work_starts_is_urgent_too() -> None:
    async def seen() -> Urgency:
        return current_urgency()

    with urgency(Urgency.DEPLOYMENT):
        task = asyncio.create_task(seen())
    assert await task is Urgency.DEPLOYMENT
    assert current_urgency() is Urgency.CHANGE


async def test_a_change_goes_before_checks_and_each_fourth_turn_is_for_who_has_waited_longest() -> None:
    slots, all_wait = Slots(1), asyncio.Event()
    order: list[str] = []

    async def work(name: str) -> None:
        async with slots.slot():
            order.append(name)
            await all_wait.wait()

    tasks = []
    for of, names in ((Urgency.CHECK, "abc"), (Urgency.CHANGE, "uvwxyz")):
        with urgency(of):
            for name in names:
                tasks.append(asyncio.create_task(work(name)))
                await asyncio.sleep(0)
    all_wait.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert "".join(order) == "auvbwxycz"


async def test_what_has_just_come_in_has_a_slot_when_deployments_hold_all_of_theirs() -> None:
    work = Work(8)
    tasks = []
    for of, running in ((Urgency.CHANGE, 6), (Urgency.DEPLOYMENT, 7), (Urgency.ARRIVAL, 8)):
        with urgency(of):
            tasks += [asyncio.create_task(work.run()) for _ in range(9)]
        await settle()
        assert work.running == running
    await ended(work, tasks)


async def test_tenants_have_turns_at_the_slots() -> None:
    slots, order = Slots(1), list[str]()

    async def one(namespace: str) -> None:
        async with slots.slot():
            order.append(namespace)
            await settle()

    tasks = []
    for namespace in ("noisy",) * 4 + ("quiet",) * 2:
        with working(Urgency.CHANGE, (namespace, "shop")):
            tasks.append(asyncio.create_task(one(namespace)))
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert order == ["noisy", "noisy", "quiet", "noisy", "quiet", "noisy"], "the first one found a free slot"
