"""One call to Argo CD: the token, the content type that it insists on, and its own meaning of a status.

Argo CD answers with gRPC codes in `{"code", "message"}`; the same HTTP status means several things, so what matters to
callers is told apart here, by message, in one table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from ..api.conditions import Reason
from ..api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    Refused,
    ValidationError,
    Waiting,
)
from .argocd_auth import Auth
from .http import Http, Response, details_of

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]

JSON_ONLY = {"Content-Type": "application/json"}
"""Exactly this, on every call that is no GET, DELETE included; a charset or nothing is answered with 415."""
NOT_FOUND = 5
"""The gRPC code of a thing that is not there."""

UNREADABLE = ("authentication required", "repository not found", "authorization failed", "could not read Username")
"""How Argo CD words that a repository cannot be read with what it has."""

GATEWAY_TIMEOUT = 504
"""What a proxy says when nothing came from Argo CD for a while (argo-cd#5576): of a stream no more than silence."""

OPERATION_RUNS = "another operation is already in progress"
"""What Argo CD says to a sync while one runs."""
BUSY_AFTER = timedelta(seconds=2)
SYNC_WINDOW_AFTER = timedelta(seconds=60)
PROJECT_AFTER = timedelta(seconds=5)


def segment(text: str) -> str:
    """One path segment, percent-encoded whole, slashes too."""
    return quote(text, safe="")


def path_of(*segments: str, query: Query = ()) -> str:
    """`/api/v1/` and the segments, with a query of those values that are not empty."""
    path = "/api/v1/" + "/".join(segment(part) for part in segments)
    text = urlencode([(name, value) for name, value in query if value])
    return f"{path}?{text}" if text else path


def flag(value: bool) -> str:
    return "true" if value else "false"


class Calls:
    """Sends calls with the current token; a refused token is dropped and replaced once."""

    def __init__(self, http: Http, auth: Auth) -> None:
        self.http = http
        self._auth = auth

    async def get(self, operation: str, path: str, *, timeout: timedelta | None = None) -> Json | None:
        """The object at `path`, or None when Argo CD itself says that it is not there (404 with code 5)."""
        return self._object(operation, await self._send(operation, "GET", path, None, timeout))

    async def items(self, operation: str, path: str) -> list[Json]:
        """The items of a list; null, which Argo CD writes for none, is the empty list."""
        answer = await self.get(operation, path)
        if answer is None or "items" not in answer:
            raise self.http.malformed(operation, "a list without `items`")
        items = answer["items"] if answer["items"] is not None else []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.http.malformed(operation, "`items` is not a list of objects")
        return items

    async def write(self, operation: str, method: str, path: str, body: Json | None = None) -> Json | None:
        """A call that changes something. None when what it should change is not there."""
        return self._object(operation, await self._send(operation, method, path, body, None))

    async def must_write(self, operation: str, method: str, path: str, body: Json | None = None) -> Json:
        """A call that cannot meet an absence: a 404 is an answer that makes no sense, for example of a proxy."""
        answer = await self.write(operation, method, path, body)
        if answer is None:
            raise self.http.malformed(operation, "404 where nothing can be missing; is the endpoint right?")
        return answer

    async def lines(self, operation: str, path: str, *, idle: timedelta) -> AsyncGenerator[bytes, None]:
        """The lines of a stream, until it ends, is cut, or is silent for `idle`. Raises only if it does not open.

        A service in doubt is tried with a short request first: a silent stream would keep all others waiting.
        """
        for attempt in (1, 2):
            token = await self._auth.token(self.http)
            if self.http.in_doubt:
                await self.get("get version", "/api/version")
            opened = False
            try:
                async with self.http.lines(operation, path, idle=idle, headers=_bearer(token)) as lines:
                    opened = True
                    async for line in lines:
                        yield line
                return
            except Refused as error:
                if error.status == 404:
                    raise self.http.malformed(operation, "404; is the endpoint right?") from error
                if error.status != 401 or not self._auth.drop(token) or attempt == 2:
                    raise meaning(error, self.http.service) from error
            except ExternalServiceError as error:
                # Silence, and proxies that cut a long answer, are the life of a stream and no illness of the service.
                # Not even the status comes before the first line: silence may look as if it had not been opened.
                if not opened and not _is_silence(error):
                    raise
                if not opened:
                    self.http.overlook()
                return

    async def _send(
        self, operation: str, method: str, path: str, body: Json | None, timeout: timedelta | None
    ) -> Response:
        try:
            token = await self._auth.token(self.http)
            try:
                return await self._request(operation, method, path, body, timeout, token)
            except CredentialsError as error:
                if error.status != 401 or not self._auth.drop(token):
                    raise
            token = await self._auth.token(self.http)
            return await self._request(operation, method, path, body, timeout, token)
        except Refused as error:
            raise meaning(error, self.http.service) from error

    async def _request(
        self, operation: str, method: str, path: str, body: Json | None, timeout: timedelta | None, token: str
    ) -> Response:
        headers = _bearer(token) if method == "GET" else {**_bearer(token), **JSON_ONLY}
        return await self.http.request(operation, method, path, headers=headers, json_body=body, timeout=timeout)

    def _object(self, operation: str, response: Response) -> Json | None:
        if response.status == 404:
            if details_of(response).get("code") != NOT_FOUND:
                raise self.http.malformed(operation, "404 that Argo CD did not write; is the endpoint right?")
            return None
        try:
            answer: Any = json.loads(response.body)
        except ValueError as error:
            kind = response.headers.get("content-type", "no content type")
            raise self.http.malformed(operation, f"not JSON ({kind})") from error
        if not isinstance(answer, dict):
            raise self.http.malformed(operation, "not an object")
        return answer


def _is_silence(error: ExternalServiceError) -> bool:
    """Whether a stream did not open because nothing was to be told, as far as one can see: by our time limit, or by
    that of a proxy on the way."""
    return error.status == GATEWAY_TIMEOUT or isinstance(error.__cause__, aiohttp.SocketTimeoutError)


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def meaning(error: Refused, service: str) -> ReconcilerError:
    """What a refusal of Argo CD means for us, by its message; anything not in this table stays what it is."""
    found = _meant(error, service)
    found.unhidden = error.unhidden
    return found


def _meant(error: Refused, service: str) -> ReconcilerError:
    said = error.details.get("message") or error.details.get("error")
    text = said if isinstance(said, str) else error.unhidden
    if error.status == 401 and ("not valid yet" in text or "used before issued" in text):
        # Two replicas whose clocks differ (terraform-provider-argocd#454): the token is right a moment later.
        return ExternalServiceError(error.message, service=service, after=BUSY_AFTER, maybe_applied=False)
    if OPERATION_RUNS in text or "application is deleting" in text:
        return Waiting(error.message, after=BUSY_AFTER)
    if "blocked by sync window" in text:
        return Waiting(error.message, after=SYNC_WINDOW_AFTER)
    if "app is not allowed in project" in text and "does not exist" in text:
        return Waiting(error.message, after=PROJECT_AFTER, reason=Reason.DEPENDENCY_NOT_READY)
    if "to a commit SHA" in text:
        return _refused(error, Reason.REVISION_NOT_FOUND)
    if any(words in text for words in ("repository not accessible", "failed to list refs", "Failed to fetch")):
        if any(word in text for word in UNREADABLE):
            return _refused(error, Reason.REPOSITORY_UNREADABLE)
        # Git is ill, not the spec: Argo CD looks into the repository on each patch and sync.
        return ExternalServiceError(error.message, service=service, maybe_applied=False)
    if "spec is different" in text or "already exists" in text:
        return ConflictError(error.message, status=error.status, code=error.code, details=error.details)
    if "the object has been modified" in text:
        return ConflictError(error.message, status=error.status, code=error.code, details=error.details)
    return error


def _refused(error: Refused, reason: Reason) -> ValidationError:
    return ValidationError(error.message, reason=reason, status=error.status, code=error.code, details=error.details)


def mixed_source(error: ReconcilerError) -> ReconcilerError:
    """Argo CD tells a source with blocks for two tools in the same way."""
    if "multiple application sources defined" in error.unhidden:
        hint = "in the application, leave the block of one tool in spec.source, that of argo.source.kind"
        return ValidationError(f"{error.message}; {hint}")
    return error


def unreadable_repository(error: ReconcilerError) -> ReconcilerError:
    """Argo CD tells a repository that it cannot read with code 2 and status 500, as if it were ill itself."""
    words = ("testing repository connectivity", *UNREADABLE)
    if isinstance(error, ExternalServiceError) and any(word in error.unhidden for word in words):
        return ValidationError(error.message, reason=Reason.REPOSITORY_UNREADABLE)
    return error
