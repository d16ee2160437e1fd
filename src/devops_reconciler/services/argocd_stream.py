"""Argo CD's watch: newline-delimited `{"result": {"type", "application"}}`, or one `{"error"}` and the end."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from ..api.errors import ReconcilerError, Refused, ValidationError
from .argocd_calls import Calls, Json, meaning
from .http import Request, Response


async def watch_events(
    calls: Calls, operation: str, path: str, idle: timedelta
) -> AsyncGenerator[tuple[str, Json], None]:
    """The events of a stream, until it ends. Raises what Argo CD reports in it, and on a line that is none of its."""
    async with aclosing(calls.lines(operation, path, idle=idle)) as lines:
        async for line in lines:
            event = _event(calls, operation, path, line)
            if event is not None:
                yield event


def _event(calls: Calls, operation: str, path: str, line: bytes) -> tuple[str, Json] | None:
    try:
        value: Any = json.loads(line)
    except ValueError as error:
        raise calls.http.malformed(operation, "a line that is not JSON") from error
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        raise _error(calls, operation, path, value["error"])
    result = value.get("result") if isinstance(value, dict) else None
    kind = result.get("type") if isinstance(result, dict) else None
    application = result.get("application") if isinstance(result, dict) else None
    if not isinstance(kind, str) or not isinstance(application, dict):
        raise calls.http.malformed(operation, "a line without type and application")
    return (kind, application) if kind in ("ADDED", "MODIFIED", "DELETED") else None


def _error(calls: Calls, operation: str, path: str, said: Json) -> ReconcilerError:
    """An error inside of a stream has its status in `http_code`; it goes through the same tables as any other."""
    status = said.get("http_code")
    body = {"code": said.get("grpc_code"), "message": said.get("message")}
    request = Request("GET", calls.http.base + path, {}, None, calls.http.timeout)
    response = Response(status if isinstance(status, int) else 500, {}, json.dumps(body).encode())
    error = calls.http.error(operation, request, response)
    if isinstance(error, ValidationError) and response.status == 404:
        return calls.http.malformed(operation, str(said.get("message")))
    return meaning(error, calls.http.service) if isinstance(error, Refused) else error
