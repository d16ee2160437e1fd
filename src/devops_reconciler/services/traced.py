"""The spans of what goes out: requests, and runs of git. By OpenTelemetry's conventions for HTTP clients and programs.

Only within something that is traced (a message, a pass): the Lease, health checks and watches would be traces without
an end and without a beginning.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from ..runtime import tracing
from ..runtime.tracing import UNTRACED, Attributes, Kind, Span

READS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing, by RFC 9110."""


def request_span(service: str, operation: str, method: str, url: str) -> AbstractContextManager[Span]:
    """Of one request, from the moment when it is sent. `url` is absolute; of its query nothing is kept."""
    if not tracing.is_within():
        return UNTRACED
    about: Attributes = {
        "peer.service": service,
        "freeleaps.operation": operation,
        "http.request.method": method,
        **_place(url),
    }
    return tracing.child(f"{service} {operation}", Kind.CLIENT, about)


def note_sending(span: Span, method: str) -> None:
    """The request goes out: what changes something makes its pass one that matters."""
    if method not in READS:
        span.matters()


def note_status(span: Span, status: int, *, expected: bool) -> None:
    """The answer. One that was reckoned with, such as a 404, is a fact and no failure."""
    span.note({"http.response.status_code": status})
    if not expected:
        span.fail(str(status))


def lookup_span(name: str, server: str, port: int) -> AbstractContextManager[Span]:
    """Of one question to a nameserver."""
    if not tracing.is_within():
        return UNTRACED
    about: Attributes = {
        "peer.service": "dns",
        "dns.question.name": name,
        "server.address": server,
        "server.port": port,
    }
    return tracing.child("dns ask", Kind.CLIENT, about)


def git_span(operation: str, url: str) -> AbstractContextManager[Span]:
    """Of one operation on a repository. `url` holds no login."""
    if not tracing.is_within():
        return UNTRACED
    about: Attributes = {"peer.service": "git", "freeleaps.operation": operation, **_place(url)}
    return tracing.child(f"git {operation}", Kind.CLIENT, about)


def command_span(program: str, command: str) -> AbstractContextManager[Span]:
    """Of one run of a program. Arguments are not kept."""
    if not tracing.is_within():
        return UNTRACED
    return tracing.child(f"{program} {command}", Kind.INTERNAL, {"process.executable.name": program})


def _place(url: str) -> Attributes:
    """Host, port and URL, without user, query and fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    given = f":{parts.port}" if parts.port else ""
    return {
        "server.address": host,
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.full": f"{parts.scheme}://{name}{given}{parts.path}",
    }
