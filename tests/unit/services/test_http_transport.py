"""The pool itself, against a small server on loopback: no redirects, no cookies, no endless bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import BODY_LIMIT, AiohttpTransport, Http, Request


class Vendor:
    """Answers as each test needs it."""

    def __init__(self) -> None:
        self.url = ""
        self.cookies: list[str | None] = []

    async def redirect(self, _: web.Request) -> web.Response:
        return web.Response(status=303, headers={"Location": "/plain"})

    async def plain(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("Cookie"))
        response = web.Response(text=request.raw_path, headers={"X-Mixed-Case": "Kept"})
        response.set_cookie("session", "1")
        return response

    async def long(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(BODY_LIMIT // 2**20 + 1):
            await response.write(b"x" * 2**20)
        return response

    async def lines(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"a"', b": 1}\n\n  \n{", b"}\n", b'{"cut": '):
            await response.write(piece)
        return response

    async def refused(self, _: web.Request) -> web.Response:
        return web.Response(status=403, text="not you", content_type="text/plain")


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    vendor = Vendor()
    app = web.Application()
    for name in ("redirect", "plain", "long", "lines", "refused"):
        app.router.add_get(f"/{name}{{rest:.*}}", getattr(vendor, name))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield vendor
    await runner.cleanup()


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(connections=2)
    yield transport
    await transport.close()
    await transport.close()


def get(vendor: Vendor, path: str, method: str = "GET") -> Request:
    return Request(method, vendor.url + path, {}, None, timedelta(seconds=10))


async def test_a_redirect_is_an_answer_not_a_way(vendor: Vendor, transport: AiohttpTransport) -> None:
    response = await transport.send(get(vendor, "/redirect"))
    assert (response.status, response.headers["location"]) == (303, "/plain")
    assert vendor.cookies == []


async def test_no_cookie_is_kept(vendor: Vendor, transport: AiohttpTransport) -> None:
    for _ in range(2):
        assert "set-cookie" in (await transport.send(get(vendor, "/plain"))).headers
    assert vendor.cookies == [None, None]


async def test_an_encoded_path_arrives_as_it_was_encoded(vendor: Vendor, transport: AiohttpTransport) -> None:
    path = "/plain/a%252Fb%20c%2F?x=%2B"
    assert (await transport.send(get(vendor, path))).text() == path


async def test_header_names_are_lower_case(vendor: Vendor, transport: AiohttpTransport) -> None:
    assert (await transport.send(get(vendor, "/plain"))).headers["x-mixed-case"] == "Kept"


async def test_a_head_has_headers_and_no_body(vendor: Vendor, transport: AiohttpTransport) -> None:
    response = await transport.send(get(vendor, "/plain", "HEAD"))
    assert (response.status, response.body) == (200, b"")


async def test_a_body_that_is_too_long_is_an_error(vendor: Vendor, transport: AiohttpTransport) -> None:
    client = Http("vendor", vendor.url, transport, FakeClock())
    with pytest.raises(ExternalServiceError, match="longer than"):
        await client.request("get thing", "GET", "/long")


async def test_a_stream_gives_whole_lines_only(vendor: Vendor, transport: AiohttpTransport) -> None:
    async with transport.stream(get(vendor, "/lines")) as (head, lines):
        assert head.status == 200
        assert [line async for line in lines] == [b'{"a": 1}', b"{}"]


async def test_a_stream_that_is_refused_gives_the_reason(vendor: Vendor, transport: AiohttpTransport) -> None:
    async with transport.stream(get(vendor, "/refused")) as (head, _):
        assert (head.status, head.text()) == (403, "not you")


async def test_a_server_that_is_not_there_has_not_done_anything(transport: AiohttpTransport) -> None:
    client = Http("vendor", "http://127.0.0.1:9", transport, FakeClock())
    with pytest.raises(ExternalServiceError) as caught:
        await client.request("put thing", "PUT", "/x")
    assert not caught.value.maybe_applied
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)
