"""A zone at GoDaddy, in memory, and its client: each request takes its time, and is kept."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.godaddy import GoDaddy
from devops_reconciler.services.http import Http, Request, Response

ZONE = "example.com"
TAKES = timedelta(milliseconds=10)


class ZoneInMemory:
    """A transport to GoDaddy with one zone. Reads of it as a whole hang while `hold` is set."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.records: list[dict[str, Any]] = [{"type": "NS", "name": "@", "data": "ns1.example.net", "ttl": 3600}]
        self.hold: asyncio.Event | None = None
        self.under_way = self.most_under_way = 0
        self.asked: list[str] = []
        """Method and path of each request; `GET` alone for a page of the zone."""

    def client(self, share_at_rest: timedelta = timedelta(0)) -> GoDaddy:
        http = Http("godaddy", "https://api.example.net", self, self.clock)
        return GoDaddy(http, key=lambda: "key", secret=lambda: "secret", clock=self.clock, share_at_rest=share_at_rest)

    @property
    def pages(self) -> int:
        return self.asked.count("GET")

    async def send(self, request: Request) -> Response:
        url = urlsplit(request.url)
        type_and_name = [unquote(each) for each in url.path.split("/")[5:]]
        self.asked.append(" ".join((request.method, *type_and_name)))
        answer = await self._zone(url.query) if not type_and_name else await self._set(request, *type_and_name)
        self.clock.advance(TAKES)
        return answer

    async def _zone(self, query: str) -> Response:
        """As it is when the read begins."""
        offset = int(parse_qs(query).get("offset", ["0"])[0])
        page = json.dumps(self.records[offset : offset + 500]).encode()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await (self.hold.wait() if self.hold is not None else asyncio.sleep(0))
        finally:
            self.under_way -= 1
        return Response(200, {}, page)

    async def _set(self, request: Request, type: str, name: str) -> Response:
        await asyncio.sleep(0)
        there = [each for each in self.records if (each["type"], each["name"]) == (type, name)]
        if request.method == "GET":
            return Response(200, {}, json.dumps(there).encode())
        new = json.loads(request.body or b"[]")
        self.records = [each for each in self.records if each not in there]
        self.records += [{"type": type, "name": name, **each} for each in new]
        return Response(200)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None
