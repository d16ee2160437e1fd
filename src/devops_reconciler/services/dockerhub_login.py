"""Logging in at Docker without being locked out.

Failed logins lock a user name for ten minutes, also for those who know the right secret (docker/hub-feedback#2201).
Management API and registry token service count together, so both clients go through a `LoginGate`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from ..api.conditions import Reason
from ..api.errors import CredentialsError, ExternalServiceError, Refused
from ..runtime.clock import Clock
from .http import Http

LOGIN_LIFETIME = timedelta(minutes=10)
"""How long an access token of Docker Hub is good for, at most (Docker's API reference)."""
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=10)
SPARE = 60.0
"""Seconds before its end when a token is no longer used: a request takes time, clocks differ."""


class LoginGate:
    """One login at a time, and a pause after one that was refused.

    Who waited while a login failed shares its failure instead of trying again. A refused identity (name and secret)
    is not tried again before a pause that doubles from one minute to ten; a changed secret is tried at once.

    `any_secret`: nor is another secret. For logins that others say: one name may come with many wrong ones. The refusal
    is told without a time, since who asks keeps its text.
    """

    def __init__(self, service: str, clock: Clock, *, any_secret: bool = False) -> None:
        self._service = service
        self._any_secret = any_secret
        self._clock = clock
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failed_text = ""
        self._refused: tuple[str, str] | None = None
        self._refusals = 0
        self._until = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is lost with it: nobody logs in, it is not paused, and the last login was no refused one."""
        return not (self._lock.locked() or self._refusals or self._until > self._clock.monotonic())

    @asynccontextmanager
    async def turn(self, identity: tuple[str, str], scope: str = "") -> AsyncIterator[None]:
        """Hold the gate for one login with `identity`. Look into the cache again inside: another may have filled it.

        A login for a `scope` may be refused because of that: only a 401 to somebody with a name closes the gate then.

        Raises CredentialsError while the identity is paused, ExternalServiceError when the login that we waited for
        failed or the service asked for a pause.
        """
        seen = self._failures
        async with self._lock:
            self._check(identity, seen)
            try:
                yield
            except Refused as error:
                if not scope or (error.status == 401 and identity[0]):
                    self._remember_refusal(identity, error)
                raise
            except ExternalServiceError as error:
                if (
                    error.reason is not Reason.BREAKER_OPEN
                ):  # nothing was sent, and the breaker refuses the next by itself
                    self._remember_failure(error)
                raise
            self._refused, self._refusals, self._until = None, 0, 0.0

    def _check(self, identity: tuple[str, str], seen: int) -> None:
        left = timedelta(seconds=max(0.0, self._until - self._clock.monotonic()))
        if self._refused == identity and left:
            raise CredentialsError(self._failed_text + ("" if self._any_secret else self._again(left)), status=401)
        if self._refused is not None and self._any_secret and left:
            text = f"{self._service}: a login of {identity[0]} was refused just now, and failed ones lock the account"
            raise ExternalServiceError(text, service=self._service, after=left, maybe_applied=False)
        if self._refused is None and (left or self._failures != seen):
            raise ExternalServiceError(
                self._failed_text, service=self._service, after=left or None, maybe_applied=False
            )

    def _again(self, left: timedelta) -> str:
        until = (self._clock.now() + left).strftime("%H:%M:%S")
        why = "since failed logins lock the account; a changed secret is tried at once"
        return f" (not tried again before {until} UTC, {why})"

    def _remember_refusal(self, identity: tuple[str, str], error: Refused) -> None:
        self._refusals = self._refusals + 1 if self._any_secret or self._refused == identity else 1
        self._refused = identity
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._refusals - 1, 10))
        self._until = self._clock.monotonic() + pause.total_seconds()
        self._failed_text = error.message

    def _remember_failure(self, error: ExternalServiceError) -> None:
        self._failures += 1
        self._failed_text = error.message
        self._refused = None
        pause = error.after.total_seconds() if error.after is not None else 0.0
        self._until = self._clock.monotonic() + pause


class HubLogin:
    """The access token of one Docker Hub account, cached below its ten minutes.

    `username` is a user with a password or personal access token, or an organisation with one of its access tokens.
    """

    def __init__(self, http: Http, *, username: Callable[[], str], secret: Callable[[], str], clock: Clock) -> None:
        self._http = http
        self._username = username
        self._secret = secret
        self._clock = clock
        self._gate = LoginGate(http.service, clock)
        self._token = ""
        self._identity: tuple[str, str] | None = None
        self._good_until = 0.0

    async def token(self) -> str:
        """The current token; logs in when there is none, it is about to end, or the secret was changed."""
        identity = (self._username(), self._secret())
        if self._is_good(identity):
            return self._token
        if not all(identity):
            raise CredentialsError(f"{self._http.service}: there is no user name or no token to log in with")
        async with self._gate.turn(identity):
            if not self._is_good(identity):
                await self._log_in(identity)
        return self._token

    def drop(self, token: str) -> None:
        """Forget `token`, which the service no longer takes. One that was renewed since stays."""
        if self._token == token:
            self._token = ""

    def _is_good(self, identity: tuple[str, str]) -> bool:
        fresh = self._clock.monotonic() < self._good_until
        return bool(self._token) and self._identity == identity and fresh

    async def _log_in(self, identity: tuple[str, str]) -> None:
        body = {"identifier": identity[0], "secret": identity[1]}
        try:
            reply = await self._http.behind(None).request("log in", "POST", "/v2/auth/token", json_body=body)
        except CredentialsError:
            raise
        except Refused as error:
            raise CredentialsError(error.message, status=error.status, details=error.details) from error
        token = _access_token(reply.body)
        if reply.status == 404 or not token:
            raise self._http.malformed("log in", f"no access_token in an answer with status {reply.status}")
        lifetime = lifetime_of(token, self._clock)
        self._token, self._identity = token, identity
        self._good_until = self._clock.monotonic() + usable_seconds(lifetime)


def _access_token(body: bytes) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    token = value.get("access_token") if isinstance(value, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""


def usable_seconds(lifetime: timedelta) -> float:
    """How long to use a token that lives for `lifetime`: a minute less, but at least half of it."""
    seconds = lifetime.total_seconds()
    return max(seconds - SPARE, seconds / 2)


def lifetime_of(token: str, clock: Clock) -> timedelta:
    """How long a JWT is good for, from its claims; ten minutes when it does not say, and never longer.

    Issue and end come from the same clock, so their difference holds also when our clock is wrong.
    """
    claims = _claims(token)
    end, start = claims.get("exp"), claims.get("iat", clock.now().timestamp())
    if not isinstance(end, (int, float)) or not isinstance(start, (int, float)):
        return LOGIN_LIFETIME
    return min(LOGIN_LIFETIME, timedelta(seconds=min(max(0.0, end - start), 86400.0)))


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
