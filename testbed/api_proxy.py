"""A proxy between the operator and the API server, with the controls of a stand-in: what passes can be watched, broken
and held up. It speaks plain HTTP to the operator and TLS to the API server, and passes the operator's login on.

It remembers every answer to a read, so that it can give an old one again; see `disturb`. Writes go through.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import aiohttp
import yaml
from aiohttp import web

from standins.controls import Call, Controls, cut
from standins.serve import Server

BODY_LIMIT = 16 * 1024 * 1024
PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
PASSED_BACK = ("Content-Type", "Retry-After", "Warning")
PATH = re.compile(r"^(?P<root>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<rest>.+)$")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


Staleness = Literal["old", "late", "lost"]
"""old: reads give what they last gave, and watches are silent. late: events alone are held, so that they come after
those of other kinds that were later. lost: events are lost, and their stream is cut at the end."""


@dataclass(frozen=True)
class ApiWrite:
    """A write that the API server answered. ``path`` is without the query."""

    method: str
    path: str
    body: str
    status: int


@dataclass
class _Disturbed:
    kind: Staleness
    over: asyncio.Event = field(default_factory=asyncio.Event)


class ApiProxy:
    """``async with ApiProxy(server, authority) as proxy``; the operator's kubeconfig is made by :meth:`kubeconfig`."""

    def __init__(self, server: str, authority: Path) -> None:
        self.controls = Controls()
        self.controls.template_of = lambda request: template_of(request.path)
        self.writes: list[ApiWrite] = []
        """Every write with the status of its effect, also where the answer was withheld."""
        self.written: list[Callable[[ApiWrite], None]] = []
        self._upstream = server
        self._tls = ssl.create_default_context(cafile=str(authority))
        self.stale = 0
        """How many reads got an old answer, and events were held or lost."""
        self._disturbed: dict[str, _Disturbed] = {}
        self._remembered: dict[str, tuple[int, dict[str, str], bytes]] = {}
        application = web.Application(middlewares=[self.controls.middleware], client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._server = Server(application, self.controls)
        self._session: aiohttp.ClientSession | None = None
        self._streams: set[aiohttp.ClientResponse] = set()

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> ApiProxy:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls), timeout=aiohttp.ClientTimeout(total=None)
        )
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.thaw()
        # Those of a client that was killed would wait for news for ever.
        for stream in self._streams:
            stream.close()
        await self._server.stop()
        if self._session is not None:
            await self._session.close()

    def kubeconfig(self, direct: Path) -> Path:
        """A copy of a kubeconfig of the API server that leads through this proxy; returns its path."""
        config = yaml.safe_load(direct.read_text())
        for cluster in config["clusters"]:
            cluster["cluster"] = {"server": self.url}
        path = direct.with_name(f"{direct.stem}-by-{self.url.rpartition(':')[2]}.yaml")
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    # Stale reads

    def disturb(self, plural: str, kind: Staleness) -> None:
        """From now until :meth:`thaw`: what of this kind is seen is old."""
        self._disturbed.setdefault(plural, _Disturbed(kind))

    def thaw(self) -> None:
        """Reads are true again; held events go out in their order, and streams that lost some are cut."""
        disturbed, self._disturbed = self._disturbed, {}
        for each in disturbed.values():
            each.over.set()

    # Passing on

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._forward(request)
        except aiohttp.ClientError:
            return cut(request)  # what the operator would see of an API server that is down

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        if request.query.get("watch") in ("true", "1"):
            return await self._stream(request, headers)
        old = self._old(request)
        if old is not None:
            self.stale += 1
            return web.Response(status=old[0], headers=old[1], body=old[2])
        assert self._session is not None
        url = self._upstream + request.raw_path
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None
        ) as reply:
            body = await reply.read()
            back = {name: reply.headers[name] for name in PASSED_BACK if name in reply.headers}
        if request.method in WRITES:
            self._note(ApiWrite(request.method, request.path, (await request.text()), reply.status))
        elif reply.status in (200, 404):
            self._remembered[request.raw_path] = (reply.status, back, body)
        return web.Response(status=reply.status, headers=back, body=body)

    def _note(self, write: ApiWrite) -> None:
        self.writes.append(write)
        for listener in self.written:
            listener(write)

    def _old(self, request: web.Request) -> tuple[int, dict[str, str], bytes] | None:
        disturbed = self._disturbed.get(plural_of(request.path))
        if request.method != "GET" or disturbed is None or disturbed.kind != "old":
            return None
        return self._remembered.get(request.raw_path)

    async def _stream(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        assert self._session is not None
        async with self._session.get(self._upstream + request.raw_path, headers=headers) as reply:
            back = {name: reply.headers[name] for name in PASSED_BACK if name in reply.headers}
            response = web.StreamResponse(status=reply.status, headers=back)
            await response.prepare(request)
            self._streams.add(reply)
            try:
                return await self._copy(reply, request, response)
            finally:
                self._streams.discard(reply)

    async def _copy(
        self, reply: aiohttp.ClientResponse, request: web.Request, response: web.StreamResponse
    ) -> web.StreamResponse:
        plural = plural_of(request.path)
        async for chunk in reply.content.iter_any():
            disturbed = self._disturbed.get(plural)
            if disturbed is not None:
                self.stale += 1
                await disturbed.over.wait()
                if disturbed.kind == "lost":
                    cut(request)
                    return response
            await response.write(chunk)
        await response.write_eof()
        return response


def template_of(path: str) -> str:
    """The path with ``{namespace}`` and ``{name}`` in place of the names."""
    found = PATH.match(path)
    if found is None:
        return path
    parts = found["rest"].split("/")
    if len(parts) > 1:
        parts[1] = "{name}"
    scope = "/namespaces/{namespace}" if found["namespace"] else ""
    return f"{found['root']}{scope}/{'/'.join(parts)}"


def plural_of(path: str) -> str:
    """The kind that a path is about, in the plural, as it stands in the path."""
    found = PATH.match(path)
    return found["rest"].split("/")[0] if found else ""


def is_write(call: Call) -> bool:
    """Whether a request may change something."""
    return call.method in WRITES
