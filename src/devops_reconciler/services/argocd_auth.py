"""How the Argo CD client proves who it is: a token that somebody made for us, or logins with name and password.

Source: Argo CD's util/session and server/session. A login's token lives 24 h by default; its renewal comes as a cookie
only, which we do not keep. After five refused logins within 300 s Argo CD refuses the right password too, with the same
words, so a refused login is not repeated before `REFUSED_PAUSE` unless name or password changed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from ..api.errors import CredentialsError
from ..runtime.clock import Clock
from .http import Http

RENEW_MARGIN = timedelta(minutes=5)
"""How long before its end a token is no longer used; a tenth of its life where that is shorter."""
REFUSED_PAUSE = timedelta(seconds=90)
"""Pause after a refused login with the same credentials: at most four in 300 s, of which Argo CD allows five."""


class Auth(Protocol):
    """Where the bearer token comes from."""

    async def token(self, http: Http) -> str:
        """The token to send now. May log in, one at a time. Raises CredentialsError, ExternalServiceError."""
        ...

    def drop(self, token: str) -> bool:
        """Argo CD refused this token (401). True when another one can be had, so that one more try makes sense."""
        ...


class TokenAuth:
    """A token of a local account with the capability `apiKey`. `current` gives its value at each call (rotation)."""

    def __init__(self, current: Callable[[], str]) -> None:
        self._current = current

    async def token(self, http: Http) -> str:
        return self._current()

    def drop(self, token: str) -> bool:
        return self._current() != token


class SessionAuth:
    """Name and password, turned into a token by `POST /api/v1/session` and kept until shortly before its end.

    The end is reckoned on our monotonic clock from the life time that the token states, so clocks may differ.
    """

    def __init__(self, username: Callable[[], str], password: Callable[[], str], clock: Clock) -> None:
        self._username = username
        self._password = password
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._until = 0.0
        self._refused: tuple[tuple[str, str], float, CredentialsError] | None = None

    async def token(self, http: Http) -> str:
        async with self._lock:
            if self._token is None or self._clock.monotonic() >= self._until:
                self._token = await self._login(http)
            return self._token

    def drop(self, token: str) -> bool:
        if self._token == token:
            self._token = None
        return True

    async def _login(self, http: Http) -> str:
        credentials = (self._username(), self._password())
        self._check_refused(credentials)
        started = self._clock.monotonic()
        body = {"username": credentials[0], "password": credentials[1]}
        try:
            response = await http.behind(None).request("log in", "POST", "/api/v1/session", json_body=body)
        except CredentialsError as error:
            self._refused = (credentials, self._clock.monotonic() + REFUSED_PAUSE.total_seconds(), error)
            raise
        self._refused = None
        try:
            answer: Any = response.json()
        except ValueError as error:
            raise http.malformed("log in", "not JSON") from error
        token = answer.get("token") if isinstance(answer, dict) else None
        if response.status != 200 or not isinstance(token, str) or not token:
            raise http.malformed("log in", f"status {response.status} without a token")
        self._until = started + usable_seconds(token)
        return token

    def _check_refused(self, credentials: tuple[str, str]) -> None:
        if self._refused is None:
            return
        refused, until, error = self._refused
        if refused == credentials and self._clock.monotonic() < until:
            raise CredentialsError(
                f"{error.message} (not tried again yet: Argo CD locks an account after five refused logins)",
                status=error.status,
                code=error.code,
                details=error.details,
            )


def usable_seconds(token: str) -> float:
    """How long a fresh JWT is used, from its own `iat` and `exp`; without them (no expiry) until it is refused."""
    claims = claims_of(token)
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, (int, float)) or not isinstance(expires, (int, float)):
        return float("inf")
    life = max(0.0, float(expires) - float(issued))
    return life - min(RENEW_MARGIN.total_seconds(), life / 10)


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified: it is our own token. {} when it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}
