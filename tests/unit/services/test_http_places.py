"""No more requests to a service at a time than it has places, and who waits for one holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.slots import Slots
from devops_reconciler.runtime.urgency import Urgency, urgency
from devops_reconciler.services.http import Http, Request, Response


class Slow:
    """A transport that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def send(self, request: Request) -> Response:
        self.asked.append(request.url.rpartition("/")[2])
        await self.answers.wait()
        return Response(200)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        yield Response(200), self._no_lines()

    async def _no_lines(self) -> AsyncIterator[bytes]:
        for line in ():
            yield line

    async def close(self) -> None:
        """It has nothing open."""


class Passes:
    """Passes in slots of their own; each asks a slow service for the page of its name, if it has one."""

    def __init__(self, slots: int, places: int, *, aside: bool = True) -> None:
        self.slow = Slow()
        self._http = Http("vendor", "http://vendor", self.slow, FakeClock(), places=Slots(places, aside=aside))
        self._slots = Slots(slots)
        self._tasks: list[asyncio.Task[None]] = []
        self.others: list[str] = []

    async def begin(self, *names: str, of: Urgency = Urgency.CHANGE, asks: bool = True) -> None:
        with urgency(of):
            self._tasks += [asyncio.create_task(self._one(name, asks=asks)) for name in names]
        for _ in range(50):
            await asyncio.sleep(0)

    async def _one(self, name: str, *, asks: bool) -> None:
        async with self._slots.slot():
            if asks:
                await self._http.request("get page", "GET", f"/{name}")
            else:
                self.others.append(name)

    def give_up(self) -> None:
        """The first of those that are under way."""
        self._tasks.pop(0).cancel()

    async def end(self) -> None:
        self.slow.answers.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*self._tasks)


async def test_no_more_requests_are_under_way_than_there_are_places() -> None:
    passes = Passes(slots=3, places=2)
    await passes.begin("a", "b", "c", "d")
    assert passes.slow.asked == ["a", "b"]
    await passes.end()
    assert passes.slow.asked == ["a", "b", "c", "d"]


async def test_a_slow_service_holds_no_more_slots_than_it_has_places() -> None:
    passes = Passes(slots=3, places=2)
    await passes.begin("a", "b", "c", "d")
    await passes.begin("other", asks=False)
    assert passes.others == ["other"]
    await passes.end()


async def test_who_waits_for_what_all_need_keeps_its_slot() -> None:
    passes = Passes(slots=3, places=2, aside=False)
    await passes.begin("a", "b", "c")
    await passes.begin("other", asks=False)
    assert passes.others == []
    await passes.end()
    assert passes.others == ["other"]


async def test_a_deployment_does_not_wait_for_a_place_behind_everything_else() -> None:
    passes = Passes(slots=8, places=4)
    await passes.begin("a", "b", "c", "d")
    assert passes.slow.asked == ["a", "b", "c"], "one of four is kept for deployments"
    await passes.begin("deployment", of=Urgency.DEPLOYMENT)
    assert passes.slow.asked == ["a", "b", "c", "deployment"]
    await passes.end()


async def test_a_request_that_is_given_up_gives_its_place_back() -> None:
    passes = Passes(slots=4, places=1)
    await passes.begin("a", "b")
    passes.give_up()
    await passes.begin()
    assert passes.slow.asked == ["a", "b"]
    await passes.end()
