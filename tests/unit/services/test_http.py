"""The one way out: requests as they are sent, and answers as they are judged. Without any network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    ValidationError,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import Redactor
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.http import DETAIL_LIMIT, Request, Response

from .http_script import SECRET, Answer, Script, http, refused_connection


async def ask(answer: Answer, *, accept: tuple[int, ...] = ()) -> Response:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return await http(Script(answer)).request(
        "get thing", "GET", f"/things/1?key={SECRET}", headers=headers, accept=accept
    )


async def failure(answer: Answer) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as caught:
        await ask(answer)
    return caught.value


# What is sent


async def test_a_request_goes_below_the_base_with_the_headers_of_both() -> None:
    script = Script(Response(200))
    client = http(script, headers={"User-Agent": "reconciler", "Accept": "a"}, timeout=timedelta(seconds=7))
    await client.request("get thing", "GET", "/a%2Fb?x=1", headers={"Accept": "b"}, body=b"body")
    assert script.asked == [
        Request(
            "GET",
            "https://vendor.example.com/base/a%2Fb?x=1",
            {"User-Agent": "reconciler", "Accept": "b"},
            b"body",
            timedelta(seconds=7),
        )
    ]


async def test_an_absolute_address_is_taken_as_it_is() -> None:
    script = Script(Response(200))
    await http(script).request("get token", "GET", "https://auth.example.com/token", timeout=timedelta(seconds=1))
    assert script.asked[0].url == "https://auth.example.com/token"
    assert script.asked[0].timeout == timedelta(seconds=1)


async def test_json_is_sent_as_exactly_application_json_unless_the_caller_says_otherwise() -> None:
    script = Script(Response(200), Response(200))
    client = http(script)
    await client.request("put thing", "PUT", "/x", json_body={"ä": None})
    await client.request(
        "put thing", "PUT", "/x", json_body=[], headers={"Content-Type": "application/merge-patch+json"}
    )
    first, second = script.asked
    assert first.headers["Content-Type"] == "application/json"
    assert json.loads(first.body or b"") == {"ä": None}
    assert second.headers["Content-Type"] == "application/merge-patch+json"
    assert second.body == b"[]"


# Answers that are no errors


@pytest.mark.parametrize("status", [200, 201, 204, 299, 404])
async def test_success_and_absence_are_returned(status: int) -> None:
    assert (await ask(Response(status))).status == status


@pytest.mark.parametrize("status", [302, 303, 409, 400])
async def test_a_status_that_the_caller_knows_is_returned(status: int) -> None:
    assert (await ask(Response(status), accept=(status,))).status == status


# The table


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (301, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (303, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (400, ValidationError, Reason.INVALID_SPEC),
        (401, CredentialsError, Reason.CREDENTIALS_INVALID),
        (403, CredentialsError, Reason.PERMISSION_DENIED),
        (405, ValidationError, Reason.INVALID_SPEC),
        (408, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (409, ConflictError, Reason.OWNERSHIP_CONFLICT),
        (415, ValidationError, Reason.INVALID_SPEC),
        (422, ValidationError, Reason.INVALID_SPEC),
        (425, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (429, ExternalServiceError, Reason.RATE_LIMITED),
        (500, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (502, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (503, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (504, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
    ],
)
async def test_each_status_is_one_error(status: int, kind: type[ReconcilerError], reason: Reason) -> None:
    error = await failure(Response(status))
    assert (type(error), error.reason) == (kind, reason)
    assert error.message == f"vendor: get thing (GET vendor.example.com/base/things/1): {status}"


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_a_refusal_carries_status_code_and_fields(status: int) -> None:
    body = {"code": "INVALID_BODY", "message": "wrong", "fields": [{"path": "records[0].ttl", "message": "min 600"}]}
    error = await failure(Response(status, {"content-type": "application/json"}, json.dumps(body).encode()))
    assert isinstance(error, (ValidationError, CredentialsError, ConflictError))
    assert (error.status, error.code, error.details) == (status, "INVALID_BODY", body)
    assert 'wrong [{"path": "records[0].ttl", "message": "min 600"}]' in error.message


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"x-error": "A job already exists"}, b"<html>long page</html>", "A job already exists"),
        ({}, b'{"detail": "Incorrect\\n  password"}', "Incorrect password"),
        ({}, b'{"error": "bad", "message": "permission denied"}', "permission denied"),
        (
            {},
            b'{"errors": [{"code": "DENIED", "message": "access denied"}, {"code": "NAME_UNKNOWN"}, 7, {}]}',
            "access denied; NAME_UNKNOWN",
        ),
        ({}, b'{"errors": "broken"}', ""),
        ({"content-type": "text/plain; charset=utf-8"}, b"You are abusing us\n", "You are abusing us"),
        ({"content-type": "text/html"}, b"<html>a page</html>", ""),
        ({"content-type": "application/json"}, b'{"message": "cut he', ""),
        ({"content-type": "application/json"}, b'{"message": {"odd": 1}, "code": {"odd": 2}}', ""),
        ({"content-type": "application/json"}, b"[1, 2]", ""),
        ({"content-type": "application/json"}, b"\xff\xfe", ""),
        ({"content-type": "text/plain"}, b"x" * 5000, "x" * 300),
    ],
)
async def test_the_words_of_the_service_are_given_in_one_line(
    headers: Mapping[str, str], body: bytes, said: str
) -> None:
    error = await failure(Response(400, headers, body))
    assert error.message == f"vendor: get thing (GET vendor.example.com/base/things/1): 400 {said}".rstrip()


@pytest.mark.parametrize("answer", [Response(401), Response(500), TimeoutError(), OSError("reset")])
async def test_no_error_holds_a_header_or_a_query(answer: Answer) -> None:
    error = await failure(answer)
    assert SECRET not in str(error)
    assert "/things/1" in str(error)


# When to come back


@pytest.mark.parametrize(
    ("headers", "body", "after"),
    [
        ({"retry-after": "17"}, b"", timedelta(seconds=17)),
        ({"retry-after": "0"}, b"", timedelta(0)),
        ({"x-ratelimit-reset": "1767225690"}, b"", timedelta(seconds=90)),
        ({"x-ratelimit-reset": "1"}, b"", timedelta(0)),
        ({"x-ratelimit-reset": "1767229230", "date": "Thu, 01 Jan 2026 01:00:00 GMT"}, b"", timedelta(seconds=30)),
        ({"x-ratelimit-reset": "1767229230", "date": "Thu, 01 Jan 2026 01:00:00 -0000"}, b"", timedelta(seconds=30)),
        ({"x-ratelimit-reset": "1767225690", "date": "yesterday"}, b"", timedelta(seconds=90)),
        ({}, b'{"code": "TOO_MANY_REQUESTS", "retryAfterSec": 12}', timedelta(seconds=12)),
        ({}, b'{"retryAfterSec": -3}', timedelta(0)),
        ({"retry-after": "9" * 400}, b"", timedelta(days=1)),
        ({"retry-after": "²"}, b"", None),
        ({"retry-after": "soon"}, b"", None),
        ({}, b'{"retryAfterSec": "soon"}', None),
        ({}, b"plain words", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_the_service_asks_for(
    status: int, headers: Mapping[str, str], body: bytes, after: timedelta | None
) -> None:
    error = await failure(Response(status, headers, body))
    assert isinstance(error, ExternalServiceError)
    assert error.after == after


# Without an answer


@pytest.mark.parametrize(
    ("trouble", "text", "maybe_applied"),
    [
        (TimeoutError(), "no answer within 10 s", True),
        (ConnectionResetError("reset by peer"), "reset by peer", True),
        (aiohttp.ServerDisconnectedError(), "Server disconnected", True),
        (aiohttp.ClientPayloadError("cut"), "cut", True),
        (refused_connection(), "Cannot connect", False),
    ],
)
async def test_a_lost_answer_says_whether_the_request_may_have_had_its_effect(
    trouble: Exception, text: str, maybe_applied: bool
) -> None:
    error = await failure(trouble)
    assert isinstance(error, ExternalServiceError)
    assert text in error.message
    assert (error.maybe_applied, error.service) == (maybe_applied, "vendor")


@pytest.mark.parametrize(("status", "maybe_applied"), [(429, False), (500, True), (503, True), (302, True)])
async def test_an_error_of_the_service_may_have_had_its_effect(status: int, maybe_applied: bool) -> None:
    error = await failure(Response(status))
    assert isinstance(error, ExternalServiceError)
    assert error.maybe_applied is maybe_applied


async def test_what_is_no_trouble_of_the_network_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await ask(ZeroDivisionError())


async def test_an_answer_that_is_not_usable_is_an_error_of_the_service() -> None:
    error = http(Script()).malformed("get thing", "a page")
    assert isinstance(error, ExternalServiceError)
    assert error.message == "vendor: get thing: the answer is not usable: a page"


# Around a call


async def test_each_call_is_observed_once_with_its_time() -> None:
    seen: list[tuple[str, str, str, float]] = []
    clock = FakeClock()
    script = Script(Response(200), Response(503), TimeoutError(), clock=clock)
    client = http(script, clock, observer=lambda *what: seen.append(what))
    await client.request("get thing", "GET", "/x")
    for _ in range(2):
        with pytest.raises(ExternalServiceError):
            await client.request("get thing", "GET", "/x")
    assert seen == [("vendor", "get thing", code, 2.0) for code in ("200", "503", "TimeoutError")]


async def test_a_call_takes_from_its_budget_before_it_goes_out() -> None:
    clock = FakeClock()
    script = Script(Response(200), Response(200))
    client = http(script, clock, budget=RequestBudget(clock, 1))
    await client.request("get thing", "GET", "/x", budget_key="GET /x")
    waiting = client.request("get thing", "GET", "/x", budget_key="GET /x")
    await advance_until(clock, waiting, seconds=60)
    assert clock.monotonic() == 60.0
    assert len(script.asked) == 2


async def test_a_429_stops_what_has_its_key_and_says_until_when() -> None:
    clock = FakeClock()
    script = Script(Response(429, {"retry-after": "120"}), Response(200), Response(200))
    client = http(script, clock, budget=RequestBudget(clock, 60))
    with pytest.raises(ExternalServiceError):
        await client.request("get thing", "GET", "/x", budget_key="a")
    await client.request("get thing", "GET", "/x", budget_key="b")
    clock.advance(timedelta(seconds=20))
    with pytest.raises(ExternalServiceError) as caught:
        await client.request("get thing", "GET", "/x", budget_key="a")
    assert caught.value.message == (
        "vendor: get thing: not sent, because there were too many requests (429); the next try is at 00:02:00 UTC"
    )
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, timedelta(seconds=100))
    assert not caught.value.maybe_applied
    assert len(script.asked) == 2
    clock.advance(timedelta(seconds=100))
    await client.request("get thing", "GET", "/x", budget_key="a")


async def advance_until(clock: FakeClock, call: Coroutine[Any, Any, Response], *, seconds: int) -> None:
    """Move the clock second by second until the call has ended, at most `seconds`."""
    task = asyncio.create_task(call)
    for _ in range(seconds):
        await asyncio.sleep(0)
        assert not task.done()
        clock.advance(timedelta(seconds=1))
    await task


# Line by line


async def test_lines_are_handed_on_as_they_come() -> None:
    script = Script(Response(200), lines=(b"{}", b"[1]"))
    async with http(script).lines("watch", "/stream", idle=timedelta(seconds=30), headers={"A": "b"}) as lines:
        assert [line async for line in lines] == [b"{}", b"[1]"]
    assert script.asked[0] == Request(
        "GET", "https://vendor.example.com/base/stream", {"A": "b"}, None, timedelta(seconds=30)
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, ValidationError), (401, CredentialsError), (503, ExternalServiceError), (302, ExternalServiceError)],
)
async def test_a_stream_that_does_not_begin_raises(status: int, kind: type[ReconcilerError]) -> None:
    client = http(Script(Response(status)))
    with pytest.raises(kind, match=str(status)):
        async with client.lines("watch", "/stream", idle=timedelta(seconds=30)):
            raise AssertionError("the stream has begun")


@pytest.mark.parametrize("make", [TimeoutError, lambda: OSError("cut"), lambda: aiohttp.ClientPayloadError("cut")])
async def test_a_stream_that_breaks_is_an_error_of_the_service(make: Callable[[], Exception]) -> None:
    client = http(Script(Response(200), lines=(b"{}",)))

    async def watch() -> None:
        async with client.lines("watch", "/stream", idle=timedelta(seconds=30)) as lines:
            async for _ in lines:
                raise make()

    with pytest.raises(ExternalServiceError, match="watch"):
        await watch()


@pytest.mark.parametrize("status", [400, 401, 403, 409, 429, 500])
async def test_what_a_service_quotes_of_our_secrets_is_not_in_its_error(status: int) -> None:
    said = Response(status, {"content-type": "text/plain"}, f"bad login {SECRET}".encode())
    hiding = http(Script(said)).hiding(lambda text: text.replace(SECRET, "****"))
    with pytest.raises(ReconcilerError, match=r"bad login \*\*\*\*") as caught:
        await hiding.behind(None).request("get thing", "GET", "/things/1")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("at", range(DETAIL_LIMIT - len(SECRET) - 30, DETAIL_LIMIT + 1))
async def test_a_secret_does_not_show_where_the_words_of_a_service_are_cut(at: int) -> None:
    text = "x" * at + SECRET
    plain = Response(400, {"content-type": "text/plain"}, text.encode())
    told = Response(400, {}, json.dumps({"message": text}).encode())
    for said in (plain, told, Response(400, {"x-error": text})):
        with pytest.raises(ValidationError) as caught:
            await http(Script(said)).hiding(Redactor(lambda: [SECRET])).request("get thing", "GET", "/things/1")
        assert SECRET[:4] not in str(caught.value)
