"""What runs under the Lease runs in its terms, and only there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.duties import ROUND, Duties
from devops_reconciler.host.lease import Term
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.manager import ReconcilerManager
from devops_reconciler.runtime.metrics import Metrics
from tests.unit.messages.broker import turns, until

AWAY = ExternalServiceError("kubernetes: no answer", service="kubernetes")


class Terms:
    """A Lease whose terms the test gives."""

    def __init__(self) -> None:
        self._given: asyncio.Queue[Term] = asyncio.Queue()

    async def next_term(self) -> Term:
        term = await self._given.get()
        term.at_work = True
        return term

    def give(self) -> Term:
        term = Term(asyncio.Event())
        self._given.put_nowait(term)
        return term


class Work:
    """A loop that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[Exception] = []
        self.rounds = 0
        self.round_fails: Exception | None = None
        self.busy = asyncio.Event()
        """While it is not set, passes in flight do not end."""
        self.busy.set()

    async def take_over(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self.told.append("take over")

    async def look_round(self) -> None:
        self.rounds += 1
        if self.round_fails is not None:
            raise self.round_fails

    async def stand_down(self, within: timedelta) -> None:
        await self.busy.wait()
        self.told.append(f"stand down within {within.total_seconds():g} s")


class Desk:
    """Duties with fakes around."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.terms, self.work = Terms(), Work()
        self.manager = ReconcilerManager(self.clock, Metrics())
        self.running = 0
        self.manager.register("heartbeat_sender", self._send)
        self.duties = Duties(
            cast(Any, self.terms), cast(Any, self.work), self.manager, self.clock, timedelta(seconds=20)
        )
        self.duties.include("heartbeat_sender")
        self.task = asyncio.create_task(self.duties.run())

    async def _send(self) -> None:
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.task.cancel()
    await asyncio.wait({made.task})


async def test_nothing_runs_without_a_term(desk: Desk) -> None:
    await turns()
    assert (desk.work.told, desk.running) == ([], 0)
    assert await desk.manager.check("heartbeat_sender") == "not started here"


async def test_a_term_begins_with_all_and_is_ended_when_nothing_is_at_work(desk: Desk) -> None:
    term = desk.terms.give()
    await until(lambda: desk.work.told == ["take over"] and desk.running == 1)
    desk.work.busy.clear()
    term.over.set()
    await turns()
    assert term.at_work
    desk.work.busy.set()
    await until(lambda: not term.at_work)
    assert desk.work.told[1:] == ["stand down within 20 s"]
    assert desk.running == 0
    assert term.wake.is_set(), "the Lease learns it at once"


async def test_each_term_begins_anew(desk: Desk) -> None:
    for number in (1, 2):
        term = desk.terms.give()
        await until(lambda number=number: desk.work.told.count("take over") == number)  # type: ignore[misc]
        term.over.set()
        await until(lambda term=term: not term.at_work)  # type: ignore[misc]


async def test_a_listing_that_fails_is_tried_again(desk: Desk) -> None:
    desk.work.failures = [AWAY, AWAY]
    desk.terms.give()
    for _ in range(2):
        await until(lambda: desk.clock.sleepers > 0)
        assert desk.work.told == []
        desk.clock.advance(timedelta(seconds=1))
        await turns()
    assert desk.work.told == ["take over"]


async def test_a_term_that_is_over_before_it_has_begun_is_ended_too(desk: Desk) -> None:
    desk.work.failures = [AWAY] * 1000
    term = desk.terms.give()
    await until(lambda: desk.clock.sleepers > 0)
    term.over.set()
    await until(lambda: not term.at_work)
    assert desk.work.told == ["stand down within 20 s"]


async def test_the_end_of_the_process_ends_the_term_in_order(desk: Desk) -> None:
    term = desk.terms.give()
    await until(lambda: desk.running == 1)
    desk.task.cancel()
    await until(lambda: not term.at_work)
    assert desk.running == 0


async def test_in_a_term_the_namespaces_are_looked_at_again_and_again(desk: Desk) -> None:
    desk.work.round_fails = AWAY
    term = desk.terms.give()
    for number in (1, 2, 3):
        await until(lambda number=number: desk.work.rounds == number and desk.clock.sleepers > 0)  # type: ignore[misc]
        desk.clock.advance(ROUND)
    term.over.set()
    await until(lambda: not term.at_work)
    rounds = desk.work.rounds
    desk.clock.advance(ROUND)
    await turns()
    assert desk.work.rounds == rounds
