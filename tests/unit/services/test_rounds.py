"""Reads in rounds: who asks while one is on its way gets the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import CredentialsError, ReconcilerError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.slots import Slots
from devops_reconciler.services.rounds import FRESH, InTurn, Rounds

SECOND = timedelta(seconds=1)


class Source:
    """Something that is read. Each read hangs until it is let go, and gives its number."""

    def __init__(self) -> None:
        self.hanging: deque[asyncio.Future[None]] = deque()
        self.started = 0
        self.cancelled = 0

    async def read(self) -> int:
        self.started += 1
        number = self.started
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hanging.append(future)
        try:
            await future
        except asyncio.CancelledError:
            self.hanging.remove(future)
            self.cancelled += 1
            raise
        return number

    async def let_go(self, error: Exception | None = None) -> None:
        """The one that has hung longest."""
        await settle()
        future = self.hanging.popleft()
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        await settle()


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


class Asked:
    """Rounds of one source, and who asks for them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rounds: Rounds[int] = Rounds(self.clock)
        self.source = Source()

    async def ask(self, max_age: timedelta = FRESH, key: str = "queue") -> asyncio.Task[int]:
        task = asyncio.create_task(self.rounds.get(key, self.source.read, max_age))
        await settle()
        return task


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_who_asks_while_a_read_is_on_its_way_gets_the_next_one_and_shares_it(asked: Asked) -> None:
    first = await asked.ask()
    later = [await asked.ask() for _ in range(20)]
    assert asked.source.started == 1
    await asked.source.let_go()
    assert await first == 1
    assert not any(each.done() for each in later)
    await asked.source.let_go()
    assert [await each for each in later] == [2] * 20
    assert asked.source.started == 2


async def test_what_has_arrived_is_nothing_for_who_asks_later(asked: Asked) -> None:
    first = await asked.ask()
    await asked.source.let_go()
    second = await asked.ask()
    await asked.source.let_go()
    assert (await first, await second) == (1, 2)


async def test_an_answer_is_as_old_as_its_question(asked: Asked) -> None:
    first = await asked.ask()
    asked.clock.advance(timedelta(seconds=0.9))
    joins = await asked.ask(SECOND)
    strict = await asked.ask()
    asked.clock.advance(timedelta(seconds=0.2))
    too_late = await asked.ask(SECOND)
    await asked.source.let_go()
    assert (await first, await joins) == (1, 1)
    assert not strict.done()
    assert not too_late.done()
    await asked.source.let_go()
    assert (await strict, await too_late) == (2, 2)
    asked.clock.advance(timedelta(seconds=0.5))
    assert await (await asked.ask(SECOND)) == 2


async def test_a_failure_reaches_all_who_waited_for_it_and_only_them(asked: Asked) -> None:
    first = await asked.ask()
    failing = [await asked.ask() for _ in range(3)]
    await asked.source.let_go(ValueError("one"))
    with pytest.raises(ValueError, match="one"):
        await first
    await asked.source.let_go(ValueError("two"))
    assert [str(each) for each in await asyncio.gather(*failing, return_exceptions=True)] == ["two"] * 3
    again = await asked.ask(SECOND)
    await asked.source.let_go()
    assert await again == 3


async def test_one_who_gives_up_does_not_disturb_the_others(asked: Asked) -> None:
    first = await asked.ask()
    gives_up, stays = await asked.ask(), await asked.ask()
    gives_up.cancel()
    await asked.source.let_go()
    await asked.source.let_go()
    assert (await first, await stays) == (1, 2)
    assert gives_up.cancelled()
    assert asked.source.cancelled == 0


async def test_a_read_that_nobody_waits_for_is_cancelled_and_the_next_one_begins(asked: Asked) -> None:
    first = await asked.ask()
    second = await asked.ask()
    first.cancel()
    await settle()
    assert (asked.source.started, asked.source.cancelled) == (2, 1)
    await asked.source.let_go()
    assert await second == 2


async def test_a_round_that_nobody_waits_for_never_begins_and_the_one_after_still_waits_its_turn(asked: Asked) -> None:
    first = await asked.ask()
    gives_up = await asked.ask()
    gives_up.cancel()
    await settle()
    third = await asked.ask()
    assert asked.source.started == 1
    await asked.source.let_go()
    await asked.source.let_go()
    assert (await first, await third, asked.source.started) == (1, 2, 2)


async def test_keys_are_apart_and_rounds_that_are_over_are_not_kept_in_a_chain(asked: Asked) -> None:
    one, two = await asked.ask(key="one"), await asked.ask(key="two")
    await asked.source.let_go()
    await asked.source.let_go()
    assert (await one, await two) == (1, 2)
    assert [each.before for each in asked.rounds._last.values()] == [None, None]


async def test_who_waits_for_the_read_of_another_one_holds_up_nobody(asked: Asked) -> None:
    slots = Slots(2)

    async def work() -> int:
        async with slots.slot():
            return await asked.rounds.get("queue", asked.source.read)

    async def other() -> None:
        async with slots.slot():
            return

    waiting = []
    for _ in range(3):
        waiting.append(asyncio.create_task(work()))
        await settle()
    await asyncio.wait_for(other(), 1)
    await asked.source.let_go()
    await asked.source.let_go()
    assert await asyncio.gather(*waiting) == [1, 2, 2]
    async with slots.slot(), slots.slot():
        pass


# The same without a task


class InTurnAsked(Asked):
    def __init__(self) -> None:
        super().__init__()
        self.thing: InTurn[int] = InTurn(self.clock)

    async def ask(self, max_age: timedelta = FRESH, key: str = "queue") -> asyncio.Task[int]:
        task = asyncio.create_task(self.thing.get(self.source.read, max_age))
        await settle()
        return task


@pytest.fixture
def in_turn() -> InTurnAsked:
    return InTurnAsked()


async def test_in_turn_who_asks_meanwhile_gets_the_next_one_and_shares_it(in_turn: InTurnAsked) -> None:
    first = await in_turn.ask()
    later = [await in_turn.ask() for _ in range(5)]
    await in_turn.source.let_go()
    assert await first == 1
    await in_turn.source.let_go()
    assert await asyncio.gather(*later) == [2] * 5
    assert in_turn.thing.last == 2
    assert await (await in_turn.ask(SECOND)) == 2
    in_turn.clock.advance(SECOND)
    await in_turn.ask(SECOND)
    assert in_turn.source.started == 3


async def test_in_turn_a_failure_reaches_all_who_waited_for_it_and_what_was_read_before_is_kept(
    in_turn: InTurnAsked,
) -> None:
    first = await in_turn.ask()
    await in_turn.source.let_go()
    failing = [await in_turn.ask()]
    failing += [await in_turn.ask() for _ in range(3)]
    await in_turn.source.let_go(CredentialsError("one"))
    await in_turn.source.let_go(CredentialsError("two"))
    found = await asyncio.gather(*failing, return_exceptions=True)
    assert [str(each) for each in found] == ["one", "two", "two", "two"]
    assert (await first, in_turn.thing.last) == (1, 1)
    again = await in_turn.ask(SECOND)
    await in_turn.source.let_go()
    assert await again == 4


@pytest.mark.parametrize("own", [ReconcilerError("a look may not"), ValueError("a fault")], ids=repr)
async def test_in_turn_what_says_nothing_of_the_service_concerns_only_who_has_met_it(
    in_turn: InTurnAsked, own: Exception
) -> None:
    first, meets = await in_turn.ask(), await in_turn.ask()
    others = [await in_turn.ask() for _ in range(3)]
    await in_turn.source.let_go()
    await in_turn.source.let_go(own)
    with pytest.raises(type(own), match=str(own)):
        await meets
    await in_turn.source.let_go()
    assert (await first, await asyncio.gather(*others)) == (1, [3] * 3)


async def test_in_turn_another_one_reads_where_who_reads_gives_up(in_turn: InTurnAsked) -> None:
    first, other = await in_turn.ask(), await in_turn.ask()
    first.cancel()
    await settle()
    await in_turn.source.let_go()
    assert await other == 2
