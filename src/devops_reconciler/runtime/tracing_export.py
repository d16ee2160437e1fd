"""Where traces go: to a collector by OTLP over HTTP. That it is away stops nothing, and is said once, not each time."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.re import parse_env_headers

from .clock import Clock
from .logs import get_logger
from .settings_variables import TracingVariables
from .tracing_sdk import tracing_to

TOLD_EVERY = timedelta(minutes=5)
"""How often it is said that traces are still lost."""
LIBRARY = "opentelemetry"
UNKNOWN = "the collector did not take them"

_log = get_logger(__name__)


class _LastWords(logging.Handler):
    """Keeps the last lines of the library: it has one for each try, and the cause stands in the last but one."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=2)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def said(self) -> str:
        """What it has said since this was asked last."""
        lines = list(self._lines)
        self._lines.clear()
        return " ".join(lines) or UNKNOWN


class Exporter(SpanExporter):
    """Sends batches through an exporter made by `make`, made anew when the headers have changed (they hold a login).

    Runs in the thread of the batches. A batch that is not taken is lost.
    """

    def __init__(
        self,
        make: Callable[[str | None], SpanExporter],
        clock: Clock,
        headers: Callable[[], str | None] = lambda: None,
        why: Callable[[], str] = lambda: UNKNOWN,
    ) -> None:
        self._make = make
        self._clock = clock
        self._headers = headers
        self._why = why
        self._current = headers()
        self._inner = make(self._current)
        self._lost = 0
        self._told = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        headers = self._headers()
        if headers != self._current:
            self._inner.shutdown()
            self._current, self._inner = headers, self._make(headers)
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._note_success()
        else:
            self._note_loss(len(spans))
        return result

    def _note_success(self) -> None:
        if self._lost:
            _log.info("Traces are exported again", lost=self._lost)
        self._lost = 0

    def _note_loss(self, count: int) -> None:
        now, first = self._clock.monotonic(), self._lost == 0
        self._lost += count
        if first or now - self._told >= TOLD_EVERY.total_seconds():
            self._told = now
            _log.warning("Traces are lost: they cannot be exported", error=self._why(), lost=self._lost)

    def shutdown(self) -> None:
        self._inner.shutdown()


@contextmanager
def exported(
    settings: TracingVariables,
    version: str,
    clock: Clock,
    headers: Callable[[], str | None],
    hide: Callable[[str], str],
    flush: timedelta,
) -> Iterator[None]:
    """Traces made inside are exported as the settings say. `headers` as OTEL_EXPORTER_OTLP_HEADERS has them, now."""

    def make(text: str | None) -> SpanExporter:
        return OTLPSpanExporter(endpoint=settings.traces_url, headers=parse_env_headers(text or "", liberal=True))

    with ExitStack() as stack:
        words = stack.enter_context(_quiet_library())
        exporter = Exporter(make, clock, headers, words.said)
        stack.enter_context(tracing_to(exporter, resource_of(settings, version), hide, flush))
        yield


def resource_of(settings: TracingVariables, version: str) -> Resource:
    """Who we are in traces. OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return Resource.create(
        {
            "service.name": settings.otel_service_name,
            "service.version": version,
            "service.instance.id": str(uuid4()),
            "host.name": socket.gethostname(),
        }
    )


@contextmanager
def _quiet_library() -> Iterator[_LastWords]:
    logger, words = logging.getLogger(LIBRARY), _LastWords()
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(words)
    try:
        yield words
    finally:
        logger.removeHandler(words)
        logger.propagate = before
