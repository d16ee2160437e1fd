"""What the start does while a service that it needs does not answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.cli.start import LONGEST_PAUSE, Start, StoppedEarly
from devops_reconciler.runtime.clock import FakeClock


class Service:
    """Answers after so many failures."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise ExternalServiceError("kubernetes: no answer within 2 s", service="kubernetes")
        return "answer"


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_asks_again_until_there_is_an_answer() -> None:
    clock, service = FakeClock(), Service(failures=2)
    start = Start(clock, asyncio.Event())
    reaching = asyncio.create_task(start.reach(service.ask))
    await turn()
    assert service.asked == 1
    with pytest.raises(RuntimeError, match="no answer within 2 s"):
        await start.check()

    clock.advance(timedelta(seconds=1))
    await turn()
    assert service.asked == 2
    clock.advance(timedelta(seconds=2))

    assert await reaching == "answer"
    start.done()
    assert await start.check() == "done"


async def test_the_pauses_grow_to_a_longest() -> None:
    clock, service = FakeClock(), Service(failures=20)
    reaching = asyncio.create_task(Start(clock, asyncio.Event()).reach(service.ask))
    await turn()
    for _ in range(20):
        clock.advance(LONGEST_PAUSE)
        await turn()

    assert await reaching == "answer"


async def test_a_refused_login_ends_the_start() -> None:
    async def refused() -> str:
        raise CredentialsError("the login is refused")

    with pytest.raises(CredentialsError):
        await Start(FakeClock(), asyncio.Event()).reach(refused)


async def test_the_signal_to_stop_ends_the_waiting() -> None:
    clock, stop = FakeClock(), asyncio.Event()
    reaching = asyncio.create_task(Start(clock, stop).reach(Service(failures=9).ask))
    await turn()

    stop.set()

    with pytest.raises(StoppedEarly):
        await reaching
