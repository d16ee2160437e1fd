"""Below the policies of `Http`: one request goes out, one answer comes back, on a pool of connections."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from yarl import URL

BODY_LIMIT = 16 * 1024 * 1024
"""Longest body that is read, in bytes: a longer one is an error, not a reason to run out of memory."""
CertificateSeen = Callable[[str, float], None]
"""Told the origin of a server (`https://host:port`) and when its certificate ends (unix time), with each answer."""


@dataclass(frozen=True)
class Request:
    """One request, as the transport sends it. `url` is absolute and already encoded."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: timedelta
    server_name: str | None = None
    """Name asked for by TLS where it is not the URL's host."""
    by_line: bool = True
    """Of a stream: False gives its bytes as they come."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Transport(Protocol):
    """What is below the policies: sends one request, raises OSError or TimeoutError. Tests swap it."""

    async def send(self, request: Request) -> Response: ...

    def stream(self, request: Request) -> Any: ...

    async def close(self) -> None: ...


class _Reply(aiohttp.ClientResponse):
    """An answer that remembers the server's certificate: a short one has given its connection back when it is here."""

    certificate: Mapping[str, Any] = MappingProxyType({})

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        transport = connection.transport
        found = transport.get_extra_info("peercert") if transport is not None else None
        self.certificate = found or {}
        return await super().start(connection)


class AiohttpTransport:
    """The pool: one per process and kind of TLS, at most `connections` sockets."""

    def __init__(
        self,
        *,
        connections: int = 100,
        tls: ssl.SSLContext | bool = True,
        agent: str = "devops-reconciler",
        on_certificate: CertificateSeen | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`agent` is the User-Agent: it tells the services which replica calls. `resolver`: not the system's."""
        self._resolver = resolver
        self._on_certificate = on_certificate
        self._connections = connections
        self._tls = tls
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections, ssl=self._tls, ttl_dns_cache=30, resolver=self._resolver
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._agent},
                auto_decompress=True,
                response_class=_Reply,
            )
        return self._session

    @asynccontextmanager
    async def _request(self, request: Request, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._open().request(
            request.method,
            URL(request.url, encoded=True),
            headers=dict(request.headers),
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
            server_hostname=request.server_name,
        ) as reply:
            self._tell_certificate(request.url, reply)
            yield reply

    def _tell_certificate(self, url: str, reply: aiohttp.ClientResponse) -> None:
        ends = reply.certificate.get("notAfter") if isinstance(reply, _Reply) else None
        if ends and self._on_certificate is not None:
            self._on_certificate(str(URL(url, encoded=True).origin()), ssl.cert_time_to_seconds(ends))

    async def send(self, request: Request) -> Response:
        timeout = aiohttp.ClientTimeout(total=request.timeout.total_seconds())
        async with self._request(request, timeout) as reply:
            body = await _read(reply.content) if request.method != "HEAD" else b""
            return Response(reply.status, {name.lower(): value for name, value in reply.headers.items()}, body)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """The head of an answer and its lines (or its bytes), for what may be long.

        No total deadline: `timeout` bounds each read.
        """
        seconds = request.timeout.total_seconds()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds)
        async with self._request(request, timeout) as reply:
            head = Response(reply.status, {name.lower(): value for name, value in reply.headers.items()})
            if reply.status >= 400:
                head = Response(head.status, head.headers, await reply.content.read(64 * 1024))
            try:
                yield head, _lines(reply.content) if request.by_line else reply.content.iter_any()
            finally:
                _cut(reply)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _cut(reply: aiohttp.ClientResponse) -> None:
    """End the connection of an answer without an end. In order, TLS waits half a minute for the other side to agree."""
    if reply.connection is not None and reply.connection.transport is not None:
        reply.connection.transport.abort()


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise aiohttp.ClientPayloadError(f"the body is longer than {BODY_LIMIT} bytes")
    return bytes(body)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        rest += chunk
        if len(rest) > BODY_LIMIT:
            raise aiohttp.ClientPayloadError(f"a line is longer than {BODY_LIMIT} bytes")
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line.strip():
                yield line
