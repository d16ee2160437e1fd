"""What goes out as spans: what they say, and what they never say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from devops_reconciler.api.errors import ExternalServiceError, ReconcilerError
from devops_reconciler.runtime import tracing
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.tracing import Kind, Origin
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.probe import Prober
from devops_reconciler.services.traced import git_span
from tests.unit.traces import Kept, id_of, parent_of, said, traces_kept


class Wire:
    """Answers each request with `answer`, or raises it."""

    def __init__(self, answer: Response | BaseException) -> None:
        self.answer = answer
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


async def asked(answer: Response | BaseException, method: str = "GET", **options: Any) -> tuple[Kept, Wire]:
    """One request within a message."""
    wire = Wire(answer)
    http = Http("jenkins", "https://jenkins.test:8443/ci", wire, FakeClock(), headers={"Authorization": "hunter22"})
    with traces_kept() as kept, tracing.begin("message", Kind.CONSUMER, {}, Origin()):
        try:
            await http.request("get job", method, "/job/shop?token=hunter22#hunter22", body=b"hunter22", **options)
        except ReconcilerError:
            assert options.get("accept") is None
    return kept, wire


async def test_a_request_is_a_client_span_without_query_header_and_body() -> None:
    kept, wire = await asked(Response(200, {"set-cookie": "hunter22"}, b"hunter22"), "POST")
    span, message = kept.spans
    assert (span.name, span.kind, parent_of(span)) == ("jenkins get job", SpanKind.CLIENT, id_of(message))
    assert said(span) == {
        "peer.service": "jenkins",
        "freeleaps.operation": "get job",
        "http.request.method": "POST",
        "server.address": "jenkins.test",
        "server.port": 8443,
        "url.full": "https://jenkins.test:8443/ci/job/shop",
        "http.response.status_code": 200,
    }
    assert "hunter22" not in span.to_json()
    assert "traceparent" not in wire.sent[0].headers


@pytest.mark.parametrize(
    ("answer", "accept", "failure"),
    [
        (Response(404), (), None),
        (Response(400), (400,), None),
        (Response(400), (), "400"),
        (Response(401), (), "401"),
        (Response(302), (), "302"),
        (Response(500), (500,), "500"),
        (TimeoutError("hunter22"), (), "ExternalServiceError"),
        (OSError("hunter22"), (), "ExternalServiceError"),
    ],
)
async def test_a_failure_is_what_nobody_reckoned_with(
    answer: Response | BaseException, accept: tuple[int, ...], failure: str | None
) -> None:
    kept, _ = await asked(answer, **({"accept": accept} if accept else {}))
    span = kept.one("jenkins get job")
    assert said(span).get("error.type") == failure
    assert span.status.status_code is (StatusCode.UNSET if failure is None else StatusCode.ERROR)
    assert "hunter22" not in span.to_json()


@pytest.mark.parametrize(
    ("method", "answer", "kept_names"),
    [
        ("GET", Response(200), []),
        ("GET", Response(404), []),
        ("GET", Response(503), ["jenkins get job", "pass"]),
        ("POST", Response(200), ["jenkins get job", "pass"]),
        ("DELETE", Response(404), ["jenkins get job", "pass"]),
    ],
)
async def test_a_pass_is_kept_where_a_request_changes_something_or_fails(
    method: str, answer: Response, kept_names: list[str]
) -> None:
    http = Http("jenkins", "https://jenkins.test", Wire(answer), FakeClock())
    with traces_kept() as kept, tracing.attempt("pass", {}, Origin()):
        try:
            await http.request("get job", method, "/job/shop")
        except ExternalServiceError:
            assert answer.status == 503
    assert kept.names == kept_names


async def test_a_request_of_no_message_and_no_pass_is_no_trace() -> None:
    with traces_kept() as kept:
        await Http("kubernetes", "https://api.test", Wire(Response(200)), FakeClock()).request("renew", "PUT", "/lease")
    assert kept.spans == []


async def test_a_visit_is_a_span_under_the_name_of_the_host() -> None:
    wire = Wire(Response(502))
    with traces_kept() as kept, tracing.begin("message", Kind.CONSUMER, {}, Origin()):
        await Prober(wire, timeout=timedelta(seconds=1)).get("203.0.113.7", 80, "shop.example.com", "/", tls=False)
    span = kept.one("address probe")
    assert said(span)["url.full"] == "http://shop.example.com:80/"
    assert said(span)["error.type"] == "502"


async def test_an_operation_of_git_says_where_and_not_as_whom() -> None:
    with (
        traces_kept() as kept,
        tracing.begin("message", Kind.CONSUMER, {}, Origin()),
        git_span("resolve", "https://user:hunter22@git.example.com/shop.git"),
    ):
        pass
    assert said(kept.one("git resolve"))["url.full"] == "https://git.example.com/shop.git"
    assert "hunter22" not in kept.one("git resolve").to_json()
