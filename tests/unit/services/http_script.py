"""A client of which a script says what it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response

SECRET = "s3cret-value"
Answer = Response | Exception


class Script:
    """A transport that gives what it is told, and keeps what it was asked."""

    def __init__(self, *answers: Answer, clock: FakeClock | None = None, lines: tuple[bytes, ...] = ()) -> None:
        self._answers = list(answers)
        self._clock = clock
        self._lines = lines
        self.asked: list[Request] = []

    def _next(self, request: Request) -> Response:
        self.asked.append(request)
        if self._clock is not None:
            self._clock.advance(timedelta(seconds=2))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, request: Request) -> Response:
        return self._next(request)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        yield self._next(request), self._all()

    async def _all(self) -> AsyncIterator[bytes]:
        for line in self._lines:
            yield line

    async def close(self) -> None:
        return None


def http(script: Script, clock: FakeClock | None = None, **options: object) -> Http:
    return Http("vendor", "https://vendor.example.com/base/", script, clock or FakeClock(), **options)  # type: ignore[arg-type]


def refused_connection() -> aiohttp.ClientConnectorError:
    key = ConnectionKey("vendor.example.com", 443, True, True, None, None, None)
    return aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused"))
