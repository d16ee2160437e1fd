"""Traces by the OpenTelemetry SDK. Only this and `tracing_export` load it, and only where traces are asked for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import tracing
from .ambient import ambient
from .tracing import TRACEPARENT, Attributes, Kind, Origin, Span

LONG = timedelta(seconds=1)
"""An attempt that took longer is kept, though it changed nothing: somebody will ask what it waited for."""
SCOPE = "devops_reconciler"

_propagator = TraceContextTextMapPropagator()
_seed: ContextVar[str] = ContextVar("trace_seed", default="")


class _Attempt:
    """The ended spans of one attempt, until it is known whether they are worth keeping."""

    def __init__(self, forward: Callable[[ReadableSpan], None]) -> None:
        self._forward = forward
        self._spans: list[ReadableSpan] = []
        self.kept: bool | None = None

    def take(self, span: ReadableSpan) -> None:
        if self.kept is None:
            self._spans.append(span)
        elif self.kept:
            self._forward(span)

    def decide(self, keep: bool) -> None:
        """The first word counts, but for one: what was thrown away is gone."""
        if self.kept is None:
            self.kept = keep
            spans, self._spans = self._spans, []
            for span in spans if keep else ():
                self._forward(span)


_attempt: ContextVar[_Attempt | None] = ContextVar("trace_attempt", default=None)


class _Chosen(SpanProcessor):
    """Hands spans on, those of attempts only once they are worth it."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner

    def on_end(self, span: ReadableSpan) -> None:
        attempt = _attempt.get()
        if attempt is None:
            self._inner.on_end(span)
        else:
            attempt.take(span)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _Ids(RandomIdGenerator):
    """Random, but for a trace that has a seed."""

    def generate_trace_id(self) -> int:
        seed = _seed.get()
        if not seed:
            return super().generate_trace_id()
        return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16], "big")


class _SdkSpan(Span):
    def __init__(self, span: trace.Span, hide: Callable[[str], str]) -> None:
        self._span = span
        self._hide = hide

    def note(self, attributes: Attributes) -> None:
        if self._span.is_recording():
            self._span.set_attributes(_hidden(attributes, self._hide))

    def fail(self, kind: str) -> None:
        self.note({"error.type": kind})
        self._span.set_status(trace.StatusCode.ERROR)
        self.matters()

    def matters(self) -> None:
        attempt = _attempt.get()
        if attempt is not None:
            attempt.decide(True)

    @property
    def took_long(self) -> bool:
        """Whether it took longer than `LONG`. To be asked when it has ended."""
        began, ended = getattr(self._span, "start_time", None), getattr(self._span, "end_time", None)
        return began is not None and ended is not None and ended - began > LONG.total_seconds() * 1e9


class SdkTracer:
    """The `tracing.Tracer` on a provider. `hide` replaces secrets in a text."""

    def __init__(self, processor: SpanProcessor, resource: Resource, hide: Callable[[str], str] = str) -> None:
        self._processor = processor
        # Its end is ours to bring about, within our own time.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=_Ids())
        self._provider.add_span_processor(_Chosen(processor))
        self._tracer = self._provider.get_tracer(SCOPE)
        self._hide = hide

    def child(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[Span]:
        return self._span(name, kind, attributes, None)

    @contextmanager
    def begin(self, name: str, kind: Kind, attributes: Attributes, origin: Origin) -> Iterator[Span]:
        with ambient(_attempt, None), self._span(name, kind, attributes, origin) as span:
            yield span

    @contextmanager
    def attempt(self, name: str, attributes: Attributes, origin: Origin) -> Iterator[Span]:
        attempt = _Attempt(self._processor.on_end)
        with ambient(_attempt, attempt):
            span = None
            try:
                with self._span(name, Kind.INTERNAL, attributes, origin) as span:
                    yield span
            finally:
                attempt.decide(span is not None and span.took_long)

    @contextmanager
    def _span(self, name: str, kind: Kind, attributes: Attributes, origin: Origin | None) -> Iterator[_SdkSpan]:
        context = None if origin is None else _context_of(origin)
        with ambient(_seed, "" if origin is None else origin.seed):
            made = self._tracer.start_span(name, context, trace.SpanKind[kind.name], _hidden(attributes, self._hide))
        span = _SdkSpan(made, self._hide)
        with trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                span.fail(_kind_of(error))
                raise

    def ids(self) -> tuple[str, str] | None:
        found = trace.get_current_span().get_span_context()
        return (trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)) if found.is_valid else None

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(TRACEPARENT)

    def close(self, within: timedelta) -> None:
        """Send what is left, and give up what is not sent in time."""
        # A thread that nobody waits for: a collector that hangs must not hold up the end of the process.
        last = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        last.start()
        last.join(within.total_seconds())


def _context_of(origin: Origin) -> Context:
    """What is named there; an empty one, which begins a trace, where that is nothing or nonsense."""
    return _propagator.extract({TRACEPARENT: origin.traceparent or ""}, Context())


def _kind_of(error: BaseException) -> str:
    """Our own reason, else the name of the class. A `reason` of others may be any text."""
    reason = getattr(error, "reason", None)
    return reason.value if isinstance(reason, StrEnum) else type(error).__name__


def _hidden(attributes: Attributes, hide: Callable[[str], str]) -> dict[str, str | int | float | bool]:
    return {name: hide(value) if isinstance(value, str) else value for name, value in attributes.items()}


@contextmanager
def tracing_to(
    exporter: SpanExporter, resource: Resource, hide: Callable[[str], str], flush: timedelta
) -> Iterator[None]:
    """Spans made inside go to the exporter, in batches and from a thread of its own: nobody waits for it."""
    tracer = SdkTracer(BatchSpanProcessor(exporter), resource, hide)
    try:
        with tracing.install(tracer):
            yield
    finally:
        tracer.close(flush)
