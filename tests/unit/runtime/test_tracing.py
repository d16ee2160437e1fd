"""The thin way into traces: nothing where they are off, and what belongs to what where they are on."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.trace import StatusCode

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime import tracing
from devops_reconciler.runtime.tracing import Kind, Origin
from tests.unit.traces import id_of, parent_of, said, trace_of, traces_kept

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"
NOTHING: dict[str, str] = {}


def test_where_traces_are_off_nothing_is_made_and_nothing_is_carried() -> None:
    with tracing.begin("a", Kind.CONSUMER, NOTHING, Origin(SENT)) as span, tracing.child("b", Kind.CLIENT, NOTHING):
        span.note({"x": 1})
        span.fail("y")
        assert tracing.traceparent() is None
        assert tracing.carried() == tracing.log_fields() == {}
        assert not tracing.is_within()
    with tracing.attempt("c", NOTHING, Origin()) as span:
        span.matters()


def test_where_traces_are_off_the_sdk_is_not_loaded() -> None:
    code = "import sys, devops_reconciler.cli.run; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_trace_goes_on_from_what_the_sender_says() -> None:
    with traces_kept() as kept, tracing.begin("take", Kind.CONSUMER, NOTHING, Origin(SENT)):
        assert tracing.carried()["traceparent"].startswith(f"00-{TRACE}-")
        with tracing.child("call", Kind.CLIENT, {"n": 1}):
            pass
    call, take = kept.spans
    assert f"{trace_of(take):032x}" == f"{trace_of(call):032x}" == TRACE
    assert f"{parent_of(take):016x}" == SPAN
    assert parent_of(call) == id_of(take)


@pytest.mark.parametrize("nonsense", [None, "", "no", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", "0" * 9999])
def test_nonsense_begins_a_new_trace(nonsense: str | None) -> None:
    with traces_kept() as kept, tracing.begin("take", Kind.CONSUMER, NOTHING, Origin(nonsense)):
        pass
    assert parent_of(kept.one("take")) is None
    assert f"{trace_of(kept.one('take')):032x}" != TRACE


def test_what_the_sender_does_not_sample_is_not_exported_and_goes_on_so() -> None:
    with traces_kept() as kept, tracing.begin("take", Kind.CONSUMER, NOTHING, Origin(f"00-{TRACE}-{SPAN}-00")):
        carried = tracing.carried()["traceparent"]
    assert kept.spans == []
    assert carried.startswith(f"00-{TRACE}-")
    assert carried.endswith("-00")


def test_a_seed_gives_one_trace_in_every_process() -> None:
    found = []
    for _ in range(2):
        with traces_kept() as kept:
            for seed in ("uid-1", "uid-1", "uid-2", ""):
                with tracing.begin("pass", Kind.INTERNAL, NOTHING, Origin(None, seed)):
                    pass
        found.append([trace_of(span) for span in kept.spans])
    first, second = found
    assert first[0] == first[1] == second[0]
    assert first[:3] == second[:3]
    assert len({*first, *second}) == 4


def test_what_belongs_to_nothing_begins_no_trace() -> None:
    with traces_kept() as kept, tracing.child("renew the Lease", Kind.CLIENT, NOTHING):
        pass
    assert kept.spans == []


def test_an_attempt_that_only_looks_is_left_out_with_all_below_it() -> None:
    with (
        traces_kept() as kept,
        tracing.attempt("pass", NOTHING, Origin(SENT)),
        tracing.child("look", Kind.CLIENT, NOTHING),
    ):
        pass
    assert kept.spans == []


def test_an_attempt_that_matters_is_kept_from_its_beginning_to_its_end() -> None:
    with traces_kept() as kept, tracing.attempt("pass", NOTHING, Origin(SENT)):
        with tracing.child("look", Kind.CLIENT, NOTHING):
            pass
        assert kept.names == []
        with tracing.child("write", Kind.CLIENT, NOTHING) as span:
            span.matters()
        with tracing.child("look again", Kind.CLIENT, NOTHING):
            pass
    assert kept.names == ["look", "write", "look again", "pass"]
    assert {parent_of(span) for span in kept.spans[:3]} == {id_of(kept.one("pass"))}


async def test_attempts_side_by_side_are_judged_each_by_itself() -> None:
    both = asyncio.Barrier(2)

    async def attempt(name: str, *, matters: bool) -> None:
        with tracing.attempt(name, NOTHING, Origin()) as span:
            await both.wait()
            if matters:
                span.matters()
            await both.wait()

    with traces_kept() as kept:
        await asyncio.gather(attempt("looks", matters=False), attempt("writes", matters=True))
    assert kept.names == ["writes"]


def test_a_failure_is_named_and_never_told() -> None:
    with traces_kept() as kept, tracing.attempt("pass", NOTHING, Origin()):
        with pytest.raises(ExternalServiceError), tracing.child("call", Kind.CLIENT, NOTHING):
            raise ExternalServiceError("the body said hunter22", service="jenkins")
        with pytest.raises(OSError, match="hunter22"), tracing.child("connect", Kind.CLIENT, NOTHING):
            raise OSError("hunter22")
    assert [said(span).get("error.type") for span in kept.spans] == ["ExternalServiceError", "OSError", None]
    assert [span.status.status_code for span in kept.spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert not any(span.events or span.status.description for span in kept.spans)


def test_secrets_in_attributes_are_hidden() -> None:
    with traces_kept("hunter22") as kept, tracing.begin("a", Kind.CLIENT, {"url.full": "/x/hunter22"}, Origin()) as it:
        it.note({"more": "hunter22!"})
    assert said(kept.one("a")) == {"url.full": "/x/****", "more": "****!"}
