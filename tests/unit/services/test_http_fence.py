"""A replica that may not act sends nothing that changes anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import Fenced, Waiting
from devops_reconciler.runtime.clock import FakeClock, Instant
from devops_reconciler.runtime.fence import Fence
from devops_reconciler.services.breaker import CircuitBreaker, State
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import CONFIG_MAP, LEASE, Kubernetes
from tests.unit.messages.broker import until


class Sent:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, {}, b'{"metadata": {}}')

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_changes_something_is_not_sent_while_the_fence_is_closed(method: str) -> None:
    clock, sent = FakeClock(), Sent()
    fence = Fence(clock)
    http = Http("jenkins", "http://jenkins", sent, clock).behind(fence)
    with pytest.raises(Fenced, match="jenkins: trigger build: not sent, because this replica does not hold the Lease"):
        await http.request("trigger build", method, "/build")
    assert sent.requests == []
    fence.open_for(timedelta(seconds=1), Instant.of(clock))
    await http.request("trigger build", method, "/build")
    assert len(sent.requests) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_reads_need_no_fence(method: str) -> None:
    clock, sent = FakeClock(), Sent()
    await Http("jenkins", "http://jenkins", sent, clock).behind(Fence(clock)).request("look", method, "/")
    assert len(sent.requests) == 1


async def test_a_login_needs_no_fence() -> None:
    clock, sent = FakeClock(), Sent()
    http = Http("argocd", "http://argocd", sent, clock).behind(Fence(clock))
    await http.behind(None).request("log in", "POST", "/api/v1/session")
    assert len(sent.requests) == 1


async def test_a_request_that_waited_for_its_budget_is_judged_when_its_turn_comes() -> None:
    clock, sent = FakeClock(), Sent()
    fence = Fence(clock)
    fence.open_for(timedelta(seconds=30), Instant.of(clock))
    http = Http("godaddy", "http://godaddy", sent, clock, budget=RequestBudget(clock, 2, burst=1)).behind(fence)
    await http.request("put records", "PUT", "/")
    waiting = asyncio.create_task(http.request("put records", "PUT", "/"))
    await until(lambda: clock.sleepers > 0)
    clock.advance(timedelta(seconds=60))
    with pytest.raises(Fenced):
        await waiting
    assert len(sent.requests) == 1


async def test_the_fence_is_no_failure_of_the_service() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker("jenkins", failure_threshold=1, clock=clock)
    http = Http("jenkins", "http://jenkins", Sent(), clock, breaker=breaker).behind(Fence(clock))
    with pytest.raises(Waiting):
        await http.request("trigger build", "POST", "/build")
    await asyncio.sleep(0)
    assert (breaker.state, breaker.failures) == (State.CLOSED, 0)


async def test_of_one_kubernetes_client_there_is_one_behind_the_fence_and_one_before_it() -> None:
    clock, sent = FakeClock(), Sent()
    fenced = Kubernetes(Http("kubernetes", "http://api", sent, clock)).behind(Fence(clock))
    with pytest.raises(Fenced):
        await fenced.merge_patch(CONFIG_MAP, "default", "one", {})
    await fenced.behind(None).within(timedelta(seconds=3)).merge_patch(LEASE, "default", "one", {})
    assert [request.timeout for request in sent.requests] == [timedelta(seconds=3)]
