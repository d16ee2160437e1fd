"""The one way out and its breaker: which answers count, and what is not sent while it is open."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ExternalServiceError,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.breaker import CircuitBreaker
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.http import Http, Request, Response

from .http_script import Answer, Script, http, refused_connection

# The breaker


def guarded(script: Script, clock: FakeClock, **options: object) -> tuple[Http, CircuitBreaker]:
    breaker = CircuitBreaker("vendor", failure_threshold=2, clock=clock)
    return http(script, clock, breaker=breaker, **options), breaker


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        *((Response(status), 1) for status in (302, 408, 425, 500, 502, 503, 504)),
        *((Response(status), 0) for status in (200, 204, 400, 401, 403, 404, 409, 410, 415, 422, 429)),
        (TimeoutError(), 1),
        (refused_connection(), 1),
        (ConnectionResetError(104, "Connection reset by peer"), 1),
        (aiohttp.ClientPayloadError("cut"), 1),
    ],
    ids=lambda value: str(getattr(value, "status", "") or type(value).__name__),
)
async def test_which_answers_count_as_failures_of_the_service(answer: Answer, failures: int) -> None:
    client, breaker = guarded(Script(answer), FakeClock())
    await asyncio.gather(client.request("get thing", "GET", "/x"), return_exceptions=True)
    assert breaker.failures == failures


async def test_an_accepted_status_is_an_answer_whatever_it_is() -> None:
    client, breaker = guarded(Script(Response(500)), FakeClock())
    await client.request("get thing", "GET", "/x", accept=(500,))
    assert breaker.failures == 0


async def test_a_malformed_answer_counts_in_place_of_the_success_of_its_status() -> None:
    client, breaker = guarded(Script(Response(200), Response(200)), FakeClock())
    for count in (1, 2):
        await client.request("get thing", "GET", "/x")
        client.malformed("get thing", "HTML")
        assert breaker.failures == count
    assert breaker.state == "OPEN"


async def test_an_acquitted_failure_does_not_count() -> None:
    client, breaker = guarded(Script(Response(500)), FakeClock())
    with pytest.raises(ExternalServiceError):
        await client.request("create repository", "POST", "/x")
    client.acquit()
    assert breaker.failures == 0


async def test_while_the_breaker_is_open_nothing_is_sent_counted_or_taken_from_the_budget() -> None:
    clock, seen = FakeClock(), []
    script = Script(Response(500), Response(500), Response(200))
    budget = RequestBudget(clock, 60, burst=3)
    client, _ = guarded(script, clock, budget=budget, observer=lambda *call: seen.append(call))
    for _ in range(10):
        with pytest.raises(ExternalServiceError):
            await client.request("get thing", "GET", "/x")
    assert len(script.asked) == len(seen) == 2
    async with asyncio.timeout(5):
        await budget.take()  # the third of the burst is still there


class Slow(Script):
    """A transport whose answers wait for `go`."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        self.go = asyncio.Event()

    async def send(self, request: Request) -> Response:
        await self.go.wait()
        return self._next(request)


async def test_a_request_that_waited_for_its_turn_meets_the_breaker_that_opened_meanwhile() -> None:
    clock, script = FakeClock(), Slow(Response(500), Response(500))
    client, _ = guarded(script, clock, budget=RequestBudget(clock, 6, burst=2))
    asking = [asyncio.create_task(client.request("get thing", "GET", "/x")) for _ in range(3)]
    await asyncio.sleep(0)
    assert clock.sleepers == 1  # the third one
    script.go.set()
    await asyncio.wait(asking[:2])
    clock.advance(timedelta(seconds=15))
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [getattr(each, "reason", None) for each in results].count(Reason.BREAKER_OPEN) == 1
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("head", "failures"),
    [
        (Response(200), 0),
        (Response(503), 1),
        (Response(404), 0),
        (Response(200, {"content-type": "text/html; charset=utf-8"}), 1),
        (TimeoutError(), 1),
    ],
    ids=["200", "503", "404", "html", "timeout"],
)
async def test_a_stream_is_judged_by_how_it_opens(head: Answer, failures: int) -> None:
    client, breaker = guarded(Script(head), FakeClock())

    async def read() -> None:
        async with client.lines("watch", "/stream", idle=timedelta(seconds=1)) as lines:
            async for _ in lines:
                pass

    await asyncio.gather(read(), return_exceptions=True)
    assert breaker.failures == failures


async def test_how_a_stream_ends_is_no_verdict_and_its_refusal_comes_before_it_is_opened() -> None:
    script = Script(*[Response(200)] * 3, Response(503), Response(503))
    client, breaker = guarded(script, FakeClock())
    for _ in range(3):
        with pytest.raises(ExternalServiceError):
            async with client.lines("watch", "/stream", idle=timedelta(seconds=1)):
                raise TimeoutError
    assert breaker.failures == 0
    for _ in range(3):
        with pytest.raises(ExternalServiceError):
            async with client.lines("watch", "/stream", idle=timedelta(seconds=1)):
                pass
    assert len(script.asked) == 5
