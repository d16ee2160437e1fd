"""Traces as a collector gets them: where to, as whom, in which form; and a collector that refuses or hangs."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from devops_reconciler.cli.traces import traced
from devops_reconciler.runtime import tracing
from devops_reconciler.runtime.settings import load_group
from devops_reconciler.runtime.settings_variables import TracingVariables
from devops_reconciler.runtime.tracing import Kind, Origin
from testbed.otlp import Collector

TRACE, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LONG = timedelta(seconds=60)


def work(variables: dict[str, str], flush: timedelta = LONG) -> None:
    """What a command does: a message, and a request within it."""
    with traced(load_group(TracingVariables, variables), flush=flush):
        origin = Origin(f"00-{TRACE}-{SENDER}-01")
        with (
            tracing.begin("process q", Kind.CONSUMER, {"freeleaps.project": "shop"}, origin),
            tracing.child("jenkins get job", Kind.CLIENT, {"http.response.status_code": 200}),
        ):
            pass


async def test_a_collector_gets_whole_spans_with_the_login_and_who_we_are() -> None:
    async with Collector() as collector:
        variables = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20t0ken,x-tenant=shop"}
        await asyncio.to_thread(work, variables | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/"})
        await asyncio.to_thread(work, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"})
    call, message, *others = collector.spans
    assert (message.name, message.trace, message.parent) == ("process q", TRACE, SENDER)
    assert (call.name, call.trace, call.parent) == ("jenkins get job", TRACE, message.id)
    assert message.attributes == {"freeleaps.project": "shop"}
    assert call.attributes == {"http.response.status_code": 200}
    assert [other.name for other in others] == ["jenkins get job", "process q"]
    assert call.process == message.process != others[0].process
    first, second = collector.headers
    assert (first["authorization"], first["x-tenant"]) == ("Bearer t0ken", "shop")
    assert first["content-type"] == "application/x-protobuf"
    assert "authorization" not in second
    assert b"devops-reconciler" in collector.bodies[0]


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
async def test_a_collector_gets_nothing_where_traces_are_switched_off(variable: str) -> None:
    name, _, value = variable.partition("=")
    async with Collector() as collector:
        await asyncio.to_thread(work, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, name: value})
    assert collector.bodies == []


async def test_a_collector_that_refuses_is_one_line_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    async with Collector(status=401) as collector:
        with caplog.at_level(logging.INFO):
            await asyncio.to_thread(work, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    (line,) = [record.msg for record in caplog.records if record.name.startswith("devops_reconciler")]
    assert isinstance(line, dict)
    assert (line["level"], line["lost"]) == ("warning", 2)
    assert "401" in line["error"]


async def test_a_collector_that_hangs_does_not_keep_the_process_from_its_end() -> None:
    async with Collector() as collector:
        collector.answers.clear()
        await asyncio.to_thread(work, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, timedelta(milliseconds=100))
        collector.answers.set()
