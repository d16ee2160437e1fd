"""Traces: what belongs together across messages, passes, requests and heartbeats. The thin way in for everybody.

Off until `install`: then each call here costs a look at one variable, and the OpenTelemetry SDK is not even loaded
(`runtime.tracing_sdk` is, by who installs it). A span is active inside its `with` and in tasks that are begun there.
Attributes hold no header, no query and no body; secrets in them are hidden like those in the logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

TRACEPARENT = "traceparent"
"""The header of W3C Trace Context: `00-<trace id>-<span id>-<flags>`."""

Attributes = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What a span is about, in the words of OpenTelemetry."""

    INTERNAL = "INTERNAL"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a trace comes from. Without a (sound) `traceparent` a new one begins.

    `seed` gives the new trace its id: equal seeds, one trace, in every process and without anything to remember.
    """

    traceparent: str | None = None
    seed: str = ""


NO_ORIGIN = Origin()
"""A new trace, with an id by chance."""


class Span:
    """What is under way. This one belongs to no trace: it takes everything and keeps nothing."""

    def note(self, attributes: Attributes) -> None:
        """Add what has become known."""

    def fail(self, kind: str) -> None:
        """It did not succeed, which matters. `kind` is a short stable word, never a text: texts may hold anything."""

    def matters(self) -> None:
        """The pass that this belongs to has changed something, or tried to: it is worth keeping."""


class Tracer(Protocol):
    """Makes spans (`runtime.tracing_sdk.SdkTracer`). What its methods promise stands at the functions below."""

    def child(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[Span]: ...

    def begin(self, name: str, kind: Kind, attributes: Attributes, origin: Origin) -> AbstractContextManager[Span]: ...

    def attempt(self, name: str, attributes: Attributes, origin: Origin) -> AbstractContextManager[Span]: ...

    def ids(self) -> tuple[str, str] | None:
        """Trace id and span id of the active span."""
        ...

    def traceparent(self) -> str | None: ...


UNTRACED: AbstractContextManager[Span] = nullcontext(Span())
_tracer: Tracer | None = None


@contextmanager
def install(tracer: Tracer) -> Iterator[None]:
    """Traces are made inside."""
    global _tracer
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


def is_on() -> bool:
    """Whether traces are made."""
    return _tracer is not None


def is_within() -> bool:
    """Whether a span is active: what `child` would make belongs to something."""
    return _tracer is not None and _tracer.ids() is not None


def child(name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span under the active one; none where none is active: what belongs to nothing begins no trace.

    An exception passes through and is noted by the name of its kind, never with its text.
    """
    return _tracer.child(name, kind, attributes) if _tracer is not None and is_within() else UNTRACED


def begin(name: str, kind: Kind, attributes: Attributes, origin: Origin) -> AbstractContextManager[Span]:
    """A span that continues what its origin says, whatever is active here."""
    return _tracer.begin(name, kind, attributes, origin) if _tracer is not None else UNTRACED


def attempt(name: str, attributes: Attributes, origin: Origin) -> AbstractContextManager[Span]:
    """As `begin`, for what is done again and again and mostly only looks: kept, with all below it, where it matters.

    That is when `Span.matters` was called in it, when something in it failed, or when it took long.
    """
    return _tracer.attempt(name, attributes, origin) if _tracer is not None else UNTRACED


def traceparent() -> str | None:
    """The active span, as messages and objects carry it; None where there is none."""
    return _tracer.traceparent() if _tracer is not None else None


def carried() -> dict[str, str]:
    """The headers that take the active span along in a message; none where there is none."""
    found = traceparent()
    return {} if found is None else {TRACEPARENT: found}


def log_fields() -> dict[str, str]:
    """What a log line says of the active span."""
    found = _tracer.ids() if _tracer is not None else None
    return {} if found is None else {"trace_id": found[0], "span_id": found[1]}
