"""Traces on their way out: that the collector is away or hangs is said once, and holds nothing up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from devops_reconciler.runtime import tracing
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.settings_variables import TracingVariables
from devops_reconciler.runtime.tracing import Kind, Origin
from devops_reconciler.runtime.tracing_export import LIBRARY, TOLD_EVERY, Exporter, exported, resource_of
from devops_reconciler.runtime.tracing_sdk import SdkTracer, tracing_to

LONG = timedelta(seconds=60)


class Collector(SpanExporter):
    """Takes spans while it is `up`; while it is not `free`, it answers nothing."""

    def __init__(self, headers: str | None = None) -> None:
        self.headers = headers
        self.up = True
        self.free = threading.Event()
        self.free.set()
        self.asked = threading.Event()
        self.names: list[str] = []
        self.threads: set[str] = set()
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.free.wait()
        self.threads.add(threading.current_thread().name)
        if not self.up:
            return SpanExportResult.FAILURE
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed = True


def one_span(name: str = "take") -> None:
    with tracing.begin(name, Kind.CONSUMER, {}, Origin()):
        pass


def span_of(name: str) -> ReadableSpan:
    return ReadableSpan(name)


def test_what_is_left_is_sent_at_the_end_and_never_by_who_makes_it() -> None:
    collector = Collector()
    with tracing_to(collector, Resource({}), str, LONG):
        for number in range(700):
            one_span(f"span {number}")
    assert collector.names == [f"span {number}" for number in range(700)]
    assert threading.current_thread().name not in collector.threads
    assert collector.closed
    assert not tracing.is_on()


def test_a_collector_that_hangs_holds_up_neither_the_work_nor_the_end() -> None:
    collector = Collector()
    collector.free.clear()
    tracer = SdkTracer(BatchSpanProcessor(collector, max_export_batch_size=1), Resource({}))
    with tracing.install(tracer):
        one_span()
        assert collector.asked.wait(30)
        for _ in range(5000):
            one_span()
    tracer.close(timedelta(milliseconds=50))  # comes back, though the exporter does not
    assert collector.names == []
    collector.free.set()


def test_a_collector_that_is_away_is_told_of_once_and_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    collector, clock = Collector(), FakeClock()
    exporter = Exporter(lambda _: collector, clock, why=lambda: "connection refused")
    collector.up = False

    def told() -> list[tuple[str, object]]:
        lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        return [(line["event"].partition(":")[0], line["lost"]) for line in lines]

    with caplog.at_level(logging.INFO):
        for _ in range(100):
            exporter.export([span_of("a"), span_of("b")])
        assert told() == [("Traces are lost", 2)]
        clock.advance(TOLD_EVERY)
        exporter.export([span_of("a")])
        collector.up = True
        exporter.export([span_of("a")])
        exporter.export([span_of("a")])
    assert told() == [("Traces are lost", 2), ("Traces are lost", 201), ("Traces are exported again", 201)]


def test_a_new_login_is_taken_without_a_restart() -> None:
    made: list[Collector] = []
    now = ["authorization=Bearer one"]

    def make(headers: str | None) -> SpanExporter:
        made.append(Collector(headers))
        return made[-1]

    exporter = Exporter(make, FakeClock(), headers=lambda: now[0])
    exporter.export([span_of("a")])
    now[0] = "authorization=Bearer two"
    exporter.export([span_of("b")])
    exporter.export([span_of("c")])
    assert [(each.headers, each.names, each.closed) for each in made] == [
        ("authorization=Bearer one", ["a"], True),
        ("authorization=Bearer two", ["b", "c"], False),
    ]


def test_a_collector_that_is_not_there_is_one_line_of_ours_and_none_of_the_library(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    settings = TracingVariables(otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    with (
        caplog.at_level(logging.DEBUG),
        exported(settings, "1.0", FakeClock(), lambda: None, str, LONG),
    ):
        one_span()
    ours = [record for record in caplog.records if record.name.startswith("devops_reconciler")]
    assert [record.levelname for record in ours] == ["WARNING"]
    assert "Failed to export" in str(ours[0].msg)
    assert [record for record in caplog.records if record.name.startswith(LIBRARY)] == []


def test_who_we_are_is_in_each_trace() -> None:
    found = resource_of(TracingVariables(otel_service_name="reconciler-eu"), "1.2.3").attributes
    assert found["service.name"] == "reconciler-eu"
    assert found["service.version"] == "1.2.3"
    assert found["service.instance.id"]
