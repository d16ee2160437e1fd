"""A watch that lasts: one stream after the other, each from where the last one ended.

The server ends a stream every few minutes; that is normal and goes unseen. Bookmarks come once a minute also when
nothing changes, so a longer silence is a dead connection, not a quiet one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from ..api.errors import ExternalServiceError, Refused
from .http import Http, Response
from .kubernetes_errors import SERVICE, refusal, unknown_kind, watch_failure
from .kubernetes_kinds import Ref

STREAM_SECONDS = 240
SILENCE = timedelta(seconds=75)
"""The API server's watch cache sends a bookmark each minute (`bookmarkFrequency`); a little spread on top."""

Headers = Callable[[], Mapping[str, str]]
Change = tuple[str, dict[str, Any]]


async def watch_events(
    http: Http, headers: Headers, ref: Ref, resource_version: str | None
) -> AsyncGenerator[Change, None]:
    """Yield changes for ever.

    Raises ConflictError with code 410 (list again), CredentialsError, ExternalServiceError (a lost or silent
    connection, a stream without a single line): go on from the last resourceVersion that was seen, after a pause.
    """
    version = resource_version
    while True:
        silent = True
        async with aclosing(_lines(http, headers, ref, version)) as lines:
            async for line in lines:
                silent = False
                change = _change(http, ref, line)
                version = change[1].get("metadata", {}).get("resourceVersion") or version
                yield change
        if silent:
            raise ExternalServiceError(f"Kubernetes: watch {ref}: the stream ended without a line", service=SERVICE)


async def _lines(http: Http, headers: Headers, ref: Ref, version: str | None) -> AsyncGenerator[bytes, None]:
    path = f"{ref.kind.path(ref.namespace)}?{_query(ref.name, version)}"
    try:
        async with http.lines(f"watch {ref.kind.plural}", path, idle=SILENCE, headers=headers()) as lines:
            async for line in lines:
                yield line
    except Refused as error:
        if error.status == 404:
            answer = Response(404, {}, json.dumps(error.details).encode())
            raise unknown_kind(answer, ref.kind) or refusal(error, f"watch {ref}") from error
        raise refusal(error, f"watch {ref}") from error


def _query(name: str | None, version: str | None) -> str:
    query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(STREAM_SECONDS)}
    if name is not None:
        query["fieldSelector"] = f"metadata.name={name}"
    if version is not None:
        query["resourceVersion"] = version
    return urlencode(query)


def _change(http: Http, ref: Ref, line: bytes) -> Change:
    operation = f"watch {ref.kind.plural}"
    try:
        event = json.loads(line)
    except ValueError:
        raise http.malformed(operation, "a line is not JSON") from None
    sort, obj = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
    if not isinstance(sort, str) or not isinstance(obj, dict):
        raise http.malformed(operation, "a line is no change of an object")
    if sort == "ERROR":
        raise watch_failure(obj, f"watch {ref}")
    return sort, obj
