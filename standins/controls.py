"""What a test can do to a stand-in: read what was asked of it, slow it down, break it, take it down.

`Controls.middleware` goes first into the aiohttp application of each stand-in. Bodies are read here, so a route must
take them by `request.read()`, `.text()`, `.json()` or `.post()`, never from `request.content`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Middleware

from devops_reconciler.runtime.clock import Clock, SystemClock

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
Kind = Literal["timeout", "reset", "html", "truncated", "garbled"]
"""timeout: no answer until the client gives up. reset: the connection is cut. html: a page with status 200.
truncated: the connection ends in the middle of the body. garbled: a complete answer whose JSON is cut short."""

Moment = Literal["before", "late", "after_effect", "after_reply"]
"""before: nothing has happened, nor will it. late: nothing yet, but the request goes through afterwards.
after_effect: it has happened, and the answer is withheld. after_reply: the answer is out."""

SUMMARY_LIMIT = 4000
CALLS_LIMIT = 50_000
"""Records kept; beyond it the older half goes. `counts` goes on."""
HTML_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"


@dataclass
class Call:
    """One request that arrived. `status` is None while it runs, and 0 when the connection was cut without an answer."""

    method: str
    path: str
    query: str
    template: str
    body: str
    at: datetime
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    status: int | None = None


@dataclass
class Fault:
    """An ordered failure. `kind` is a status (int) or one of `Kind`; `times` None means until cleared."""

    method: str
    path: re.Pattern[str]
    kind: Kind | int
    times: int | None
    after_effect: bool
    retry_after: str | None
    body: str | None
    only: Callable[[Call], bool] | None = None
    fired: int = 0
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, request: web.Request, call: Call) -> bool:
        left = self.times is None or self.fired < self.times
        chosen = left and self.method in ("*", request.method) and self.path.search(request.raw_path) is not None
        return chosen and (self.only is None or self.only(call))


@dataclass
class Trap:
    """Something of the caller's at one moment of the `nth` request that matches (from 1): a kill, for example."""

    matches: Callable[[Call], bool]
    nth: int
    moment: Moment
    act: Callable[[Call], Awaitable[None]]
    seen: int = 0
    sprung: bool = False


class Controls:
    """Records, latency, faults and traps of one stand-in."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.calls: list[Call] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.latency = timedelta(0)
        self.down = False
        self.faults: list[Fault] = []
        self.traps: list[Trap] = []
        self.observers: list[Callable[[Call], None]] = []
        """Told of each request when it has had its effect."""
        self.template_of: Callable[[web.Request], str] = canonical
        self.errors: list[Exception] = []
        """Faults of the stand-in itself: leaving it raises the first one, so that no test lives with a broken one."""
        self._closing = asyncio.Event()

    def fault(
        self,
        method: str,
        path_regex: str,
        kind: Kind | int,
        *,
        times: int | None = 1,
        after_effect: bool = False,
        retry_after: str | None = None,
        body: str | None = None,
        only: Callable[[Call], bool] | None = None,
    ) -> Fault:
        """Break the next `times` requests of `method` ("*": any) whose raw path with query has a match of `path_regex`.

        With `after_effect` the route does its work first, and its answer is withheld or damaged. For a status,
        `retry_after` is sent as Retry-After when given, and `body` replaces the plain text. `only` chooses among them.
        """
        fault = Fault(method.upper(), re.compile(path_regex), kind, times, after_effect, retry_after, body, only)
        self.faults.append(fault)
        return fault

    def trap(
        self, moment: Moment, matches: Callable[[Call], bool], act: Callable[[Call], Awaitable[None]], nth: int = 1
    ) -> Trap:
        """Call `act` at this moment of the `nth` request from now on that matches.

        The request has no answer then, unless the moment is after the reply.
        """
        trap = Trap(matches, nth, moment, act)
        self.traps.append(trap)
        return trap

    def clear(self) -> None:
        """No faults, no traps, no latency, up again. Records stay."""
        self.faults.clear()
        self.traps.clear()
        self.latency = timedelta(0)
        self.down = False

    def forget(self) -> None:
        """Empty the records."""
        self.calls.clear()
        self.counts.clear()

    def seen(self, method: str = "*", path_regex: str = "") -> list[Call]:
        """The recorded calls of `method` whose path has a match, in order of arrival."""
        pattern = re.compile(path_regex)
        return [call for call in self.calls if method in ("*", call.method) and pattern.search(call.path)]

    @property
    def writes(self) -> list[Call]:
        """All calls that may change something."""
        return [call for call in self.calls if call.method not in ("GET", "HEAD", "OPTIONS")]

    def close(self) -> None:
        """Let go of every request that hangs: the server stops."""
        self._closing.set()

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def controlled(request: web.Request, handler: Route) -> web.StreamResponse:
            return await self._pass(request, handler)

        return controlled

    async def _pass(self, request: web.Request, route: Route) -> web.StreamResponse:
        if self.down:
            return cut(request)
        call = await self._record(request)
        if self.latency > timedelta(0):
            await self.clock.sleep(self.latency)
        trap = self._springs(call)
        fault = next((each for each in self.faults if each.matches(request, call)), None)
        if fault is not None:
            fault.fired += 1
        try:
            if trap is not None:
                response = await _spring(trap, call, request, route)
            elif fault is None:
                response = await route(request)
            else:
                response = await self._break(fault, request, route)
        except web.HTTPException as raised:
            call.status = raised.status
            raise
        except ConnectionError:
            call.status = 0
            if request.transport is None or request.transport.is_closing():
                return cut(request)  # the caller was killed in the middle of its answer
            raise
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            for observer in self.observers:
                observer(call)
        call.status = 0 if request.transport is None or request.transport.is_closing() else response.status
        return response

    def _springs(self, call: Call) -> Trap | None:
        """The trap whose turn this request is. Every trap counts it."""
        found = None
        for trap in self.traps:
            if not trap.sprung and trap.matches(call):
                trap.seen += 1
                if trap.seen == trap.nth and found is None:
                    trap.sprung, found = True, trap
        return found

    async def _record(self, request: web.Request) -> Call:
        template = self.template_of(request)
        body = (await request.read())[:SUMMARY_LIMIT].decode("utf-8", errors="replace")
        call = Call(
            method=request.method,
            path=request.raw_path.partition("?")[0],
            query=request.raw_path.partition("?")[2],
            template=template,
            body=body,
            at=self.clock.now(),
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        self.calls.append(call)
        if len(self.calls) > CALLS_LIMIT:
            del self.calls[: CALLS_LIMIT // 2]
        self.counts[call.method, template] += 1
        return call

    async def _break(self, fault: Fault, request: web.Request, route: Route) -> web.StreamResponse:
        real: web.StreamResponse | None = None
        if fault.after_effect:
            try:
                real = await route(request)
            except web.HTTPException as raised:
                real = raised
        fault.happened.set()
        if isinstance(fault.kind, int):
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            text = fault.body if fault.body is not None else f"ordered failure {fault.kind}"
            return web.Response(status=fault.kind, text=text, headers=headers)
        if fault.kind == "html":
            return web.Response(body=HTML_PAGE, content_type="text/html", charset="utf-8")
        if fault.kind == "timeout":
            await self._hang(request)
            return cut(request)
        if fault.kind == "reset":
            return cut(request)
        return await _halve(fault.kind, request, real)

    async def _hang(self, request: web.Request) -> None:
        """Until the client has gone, or the server stops."""
        while not self._closing.is_set() and request.transport is not None and not request.transport.is_closing():
            try:
                await asyncio.wait_for(self._closing.wait(), timeout=0.02)
            except TimeoutError:
                continue


def canonical(request: web.Request) -> str:
    """The template of the route, for example /v2/{name}/tags."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else request.path


def cut(request: web.Request) -> web.Response:
    """Reset the connection: with no linger time the peer sees RST, not an orderly end."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


async def _spring(trap: Trap, call: Call, request: web.Request, route: Route) -> web.StreamResponse:
    if trap.moment in ("before", "late"):
        await trap.act(call)
        return await route(request) if trap.moment == "late" else cut(request)
    try:
        response = await route(request)
    except web.HTTPException as raised:
        response = raised
    if trap.moment == "after_effect":
        await trap.act(call)
        return cut(request)
    await response.prepare(request)
    await response.write_eof()
    await trap.act(call)
    return response


async def _halve(kind: Kind, request: web.Request, real: web.StreamResponse | None) -> web.StreamResponse:
    body = b'{"items": [{"name": "cut in the mid'
    status, content_type = 200, "application/json"
    if isinstance(real, web.Response) and isinstance(real.body, bytes) and real.body:
        body, status, content_type = real.body, real.status, real.content_type
        body = body[: max(1, len(body) // 2)]
    if kind == "garbled":
        return web.Response(body=body, status=status, content_type=content_type)
    response = web.StreamResponse(status=status, headers={"Content-Type": content_type})
    response.content_length = len(body) * 2 + 10
    await response.prepare(request)
    await response.write(body)
    if request.transport is not None:
        request.transport.close()
    return response
