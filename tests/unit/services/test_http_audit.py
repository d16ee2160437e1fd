"""Each request that changes something outside is in the audit trail before it is sent, and again after it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devops_reconciler.api.errors import ConflictError, ExternalServiceError, Fenced, ReconcilerError
from devops_reconciler.runtime.audit import AuditTrail
from devops_reconciler.runtime.audit_file import AuditFile
from devops_reconciler.runtime.audit_verify import verify
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.fence import Fence
from devops_reconciler.services.audited import Audit
from devops_reconciler.services.breaker import CircuitBreaker, State
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import (
    DEPLOYMENT_RECORD,
    EVENT,
    INGRESS,
    LEASE,
    PEERING,
    SECRET,
    Kubernetes,
)


class Answers:
    """A transport that answers with one status, or fails; it notes what the trail held when it was asked."""

    def __init__(self, path: Path, answer: int | BaseException = 200) -> None:
        self.path = path
        self.answer = answer
        self.lines_before: list[int] = []

    async def send(self, request: Request) -> Response:
        self.lines_before.append(len(lines_of(self.path)))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Response(self.answer, {}, b'{"metadata": {}}')

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def trail_at(path: Path) -> AuditTrail:
    return AuditTrail(FakeClock(), replica="one", file=AuditFile(path))


def client(path: Path, transport: Answers, **more: Any) -> Http:
    return Http("jenkins", "http://jenkins:8080", transport, FakeClock(), **more).recorded(Audit(trail_at(path)))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_intent_is_there_when_the_request_goes_out_and_the_outcome_after_it(path: Path, method: str) -> None:
    transport = Answers(path, 201)
    await client(path, transport).request("create item", method, "/job/shop/createItem?name=x&token=hunter2")
    intent, outcome = lines_of(path)
    assert transport.lines_before == [1]
    assert (intent["phase"], outcome["phase"]) == ("intent", "outcome")
    assert outcome["outcome"] == {"result": "applied", "code": "201"}
    assert (outcome["method"], outcome["target"]) == (method, "jenkins:8080/job/shop/createItem")
    assert "hunter2" not in str(lines_of(path))
    assert verify([path]).ok


async def test_reads_are_not_recorded(path: Path) -> None:
    await client(path, Answers(path)).request("look", "GET", "/")
    assert lines_of(path) == []


async def test_a_login_is_not_recorded(path: Path) -> None:
    await client(path, Answers(path)).behind(None).request("log in", "POST", "/session")
    assert lines_of(path) == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (302, {"result": "applied", "code": "302"}),
        (404, {"result": "refused", "code": "404"}),
        (409, {"result": "refused", "code": "409"}),
        (408, {"result": "unknown", "code": "408"}),
        (500, {"result": "unknown", "code": "500"}),
        (TimeoutError(), {"result": "unknown", "code": "TimeoutError"}),
        (aiohttp.ServerDisconnectedError(), {"result": "unknown", "code": "ServerDisconnectedError"}),
        (asyncio.CancelledError(), {"result": "unknown", "code": "CancelledError"}),
    ],
    ids=str,
)
async def test_the_outcome_says_what_came_of_it(
    path: Path, answer: int | BaseException, outcome: dict[str, str]
) -> None:
    raised: AbstractContextManager[Any] = (
        nullcontext() if answer in (302, 404) else (pytest.raises((ReconcilerError, asyncio.CancelledError)))
    )
    with raised:
        await client(path, Answers(path, answer)).request("create item", "POST", "/", accept=(302,))
    assert [line["outcome"] for line in lines_of(path)] == [None, outcome]


async def test_what_never_left_says_so(path: Path) -> None:
    clock, transport = FakeClock(), Answers(path)
    fence = Fence(clock)
    http = Http("jenkins", "http://jenkins", transport, clock).behind(fence).recorded(Audit(trail_at(path)))
    with pytest.raises(Fenced):
        await http.request("create item", "POST", "/")
    assert lines_of(path) == []


async def test_an_open_breaker_leaves_no_line(path: Path) -> None:
    breaker = CircuitBreaker("jenkins", failure_threshold=1, clock=FakeClock())
    http = client(path, Answers(path, 500), breaker=breaker)
    for _ in range(2):
        with pytest.raises(ExternalServiceError):
            await http.request("create item", "POST", "/")
    assert breaker.state is State.OPEN
    assert len(lines_of(path)) == 2


async def test_nothing_is_sent_that_cannot_be_recorded_and_the_service_is_not_blamed(path: Path) -> None:
    nowhere, transport = path / "missing" / "audit", Answers(path)
    breaker = CircuitBreaker("jenkins", failure_threshold=1, clock=FakeClock())
    with pytest.raises(ExternalServiceError, match="not sent, because the audit trail cannot be written") as raised:
        await client(nowhere, transport, breaker=breaker).request("create item", "POST", "/")
    await asyncio.sleep(0)
    assert (transport.lines_before, raised.value.maybe_applied, breaker.state) == ([], False, State.CLOSED)


async def test_of_the_cluster_only_what_is_not_our_own_is_recorded(path: Path) -> None:
    transport = Answers(path)
    kubernetes = Kubernetes(Http("kubernetes", "http://api", transport, FakeClock())).recorded(trail_at(path))
    for kind in (DEPLOYMENT_RECORD, LEASE, PEERING, EVENT):
        await kubernetes.merge_patch(kind, "team", "one", {})
    assert lines_of(path) == []
    await kubernetes.apply(INGRESS, "shop", {"metadata": {"name": "shop"}})
    await kubernetes.within(timedelta(seconds=3)).delete(SECRET, "shop", "pull")
    assert [line["target"] for line in lines_of(path)][::2] == [
        "api/apis/networking.k8s.io/v1/namespaces/shop/ingresses/shop",
        "api/api/v1/namespaces/shop/secrets/pull",
    ]


async def test_a_refusal_is_raised_as_ever(path: Path) -> None:
    with pytest.raises(ConflictError):
        await client(path, Answers(path, 409)).request("create item", "POST", "/")
