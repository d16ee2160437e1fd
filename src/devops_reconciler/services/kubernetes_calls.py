"""Requests to the API server: the token of the moment, queries, JSON in and out, refusals in the server's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from ..api.errors import CredentialsError, ReconcilerError, Refused
from .http import Http, Request, Response
from .kubernetes_errors import broken_apply, refusal, unknown_kind
from .kubernetes_kinds import Ref

Object = dict[str, Any]
Query = Mapping[str, str | None]
JSON = "application/json"
APPLY = "application/apply-patch+yaml"

_UNLIKE_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What YAML forbids in a text, or takes for a line break, where JSON does not; and halves of characters."""


class Token(Protocol):
    """The bearer token of the moment, or None where TLS identifies us."""

    def __call__(self) -> str | None: ...

    def drop(self, refused: str) -> bool:
        """The server refused this token, which may be an old one by now. False where there is no other."""
        ...


class Calls:
    """Sends one request at a time under one identity."""

    def __init__(self, http: Http, token: Token | None) -> None:
        self.http = http
        self._token = token

    async def send(
        self, verb: str, method: str, ref: Ref, *, query: Query | None = None, body: Any = None, content: str = JSON
    ) -> Response:
        """One request about one object or collection. A 404 comes back only where it is the object that is absent."""
        path = ref.path if ref.name is None or method != "POST" else Ref(ref.kind, ref.namespace).path
        present = {key: value for key, value in (query or {}).items() if value is not None}
        path += "?" + urlencode(present) if present else ""
        data = None if body is None else _encoded(body, content)
        operation = f"{verb} {ref.operation}"
        try:
            response = await self._authorized(operation, method, path, data, content)
        except Refused as error:
            raise refusal(error, f"{verb} {ref}") from error
        if response.status == 500:
            raise broken_apply(response, f"{verb} {ref}") or self._table(operation, method, path, response)
        if response.status == 404 and (unknown := unknown_kind(response, ref.kind)):
            raise unknown
        return response

    async def read(self, operation: str, path: str) -> Object:
        """A page of the server that is no object of a kind, for example /version; {} where there is no such page."""
        response = await self._authorized(operation, "GET", path, None, JSON)
        return {} if response.status == 404 else self.parsed(response, operation)

    async def _authorized(self, operation: str, method: str, path: str, body: bytes | None, content: str) -> Response:
        async def once(token: str | None) -> Response:
            headers = _headers(token) | ({} if body is None else {"Content-Type": content})
            accept = (500,) if content == APPLY else ()
            return await self.http.request(operation, method, path, headers=headers, body=body, accept=accept)

        sent = self._bearer()
        try:
            return await once(sent)
        except CredentialsError as error:
            if error.status != 401 or self._token is None or sent is None or not self._token.drop(sent):
                raise
        return await once(self._bearer())

    def _table(self, operation: str, method: str, path: str, response: Response) -> ReconcilerError:
        request = Request(method, self.http.base + path, {}, None, self.http.timeout)
        return self.http.error(operation, request, response)

    def headers(self) -> dict[str, str]:
        return _headers(self._bearer())

    def _bearer(self) -> str | None:
        return self._token() if self._token is not None else None

    def parsed(self, response: Response, operation: str) -> Object:
        """The JSON object of an answer; anything else is an ExternalServiceError."""
        try:
            value = response.json()
        except ValueError:
            raise self.http.malformed(operation, "it is not JSON, or cut off") from None
        if not isinstance(value, dict):
            raise self.http.malformed(operation, "it is not a JSON object")
        return value


def _headers(token: str | None) -> dict[str, str]:
    return {"Accept": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})


def _encoded(body: Any, content: str) -> bytes:
    """JSON. What is applied the server reads as YAML, which knows no pair of escapes for one character."""
    if content != APPLY:
        return json.dumps(body).encode()
    text = json.dumps(body, ensure_ascii=False)
    return _UNLIKE_IN_YAML.sub(lambda found: f"\\u{ord(found.group()):04x}", text).encode()
