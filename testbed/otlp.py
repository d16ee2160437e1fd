"""A collector: takes traces by OTLP over HTTP and keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from standins.serve import Server


@dataclass(frozen=True)
class Span:
    """A span as it came: ids in hex, the parent's empty for a root. ``process`` tells the senders apart."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: Mapping[str, Any]
    process: str


class Collector:
    """Listens from entry to exit, and answers with ``status`` while ``answers`` is set.

    ``bodies`` and ``headers`` (names in lower case) are those of the requests as they came.
    """

    def __init__(self, status: int = 200) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self._status = status
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.spans: list[Span] = []
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/traces", self._take)
        self._server = Server(app)

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> Collector:
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._server.stop()

    def of(self, trace: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace == trace]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        await self.answers.wait()
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = str(_plain(resource.resource.attributes).get("service.instance.id", ""))
            for scope in resource.scope_spans:
                self.spans += [_span(each, process) for each in scope.spans]
        return web.Response(status=self._status, content_type="application/x-protobuf")


def _span(span: Any, process: str) -> Span:
    trace, own, parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return Span(span.name, trace, own, parent, int(span.kind), _plain(span.attributes), process)


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
