"""Accounts of the stand-in Argo CD: logins and their throttle, signed tokens with an end, and what each may do."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from devops_reconciler.runtime.clock import Clock

from .argocd_errors import PERMISSION_DENIED, UNAUTHENTICATED, GrpcError, invalid

ADMIN = (("*", "*", "*"),)
LOGIN_FAILURES = 5
FAILURE_WINDOW = 300.0
RENEW_BELOW = 300.0


@dataclass
class Account:
    """`rights` are (resource, action, object) with wildcards; objects of applications are `project/name`."""

    name: str
    password: str = ""
    rights: tuple[tuple[str, str, str], ...] = ADMIN
    enabled: bool = True


def restricted(name: str, password: str = "", *, projects: tuple[str, ...] = ()) -> Account:
    """An account that may do everything with the applications of these projects, and read these projects."""
    rights = [("applications", "*", f"{project}/*") for project in projects]
    rights += [("projects", "get", project) for project in projects]
    return Account(name, password, tuple(rights))


@dataclass
class Session:
    """Who asks."""

    account: Account
    claims: Mapping[str, Any] = field(default_factory=dict)

    def may(self, resource: str, action: str, thing: str) -> bool:
        wanted = (resource, action, thing)
        return any(
            all(fnmatch.fnmatchcase(word, pattern) for word, pattern in zip(wanted, right, strict=True))
            for right in self.account.rights
        )

    def must(self, resource: str, action: str, thing: str) -> None:
        """As Argo CD's EnforceErr: 403 that names what was asked."""
        if not self.may(resource, action, thing):
            sub, iat = self.account.name, self.claims.get("iat", 0)
            raise GrpcError(
                PERMISSION_DENIED, f"permission denied: {resource}, {action}, {thing}, sub: {sub}, iat: {iat}"
            )


class Accounts:
    """All accounts. Tokens are JWTs, signed by a key of this process."""

    def __init__(self, clock: Clock, accounts: tuple[Account, ...]) -> None:
        self._clock = clock
        self.accounts = {account.name: account for account in accounts}
        self.login_seconds = timedelta(hours=24)
        self.skew = timedelta(0)
        """How far the clock of the replica that signs is ahead of the one that checks."""
        self._key = secrets.token_bytes(32)
        self._revoked: set[str] = set()
        self._issued: set[str] = set()
        self._failures: dict[str, tuple[int, float]] = {}

    def login(self, username: str, password: str) -> str:
        """A new login token, or 401. A locked account gets the same words as a wrong password."""
        if not password:
            raise GrpcError(UNAUTHENTICATED, "Blank passwords are not allowed")
        if len(username) > 32:
            raise invalid("Username is too long (32 bytes max)")
        count, last = self._failures.get(username, (0, 0.0))
        now = self._clock.monotonic()
        locked = count >= LOGIN_FAILURES and now - last <= FAILURE_WINDOW
        account = self.accounts.get(username)
        if locked or account is None or not account.password or account.password != password:
            if not locked:
                count = count if now - last <= FAILURE_WINDOW else 0
                self._failures[username] = (count + 1, now)
            raise GrpcError(UNAUTHENTICATED, "Invalid username or password")
        if not account.enabled:
            raise GrpcError(UNAUTHENTICATED, f"Account {username} is disabled")
        self._failures.pop(username, None)
        return self.sign(f"{username}:login", self.login_seconds)

    def sign(self, subject: str, life: timedelta | None) -> str:
        """A token for `name:login` or `name:apiKey`; without a life it never ends."""
        issued = int((self._clock.now() + self.skew).timestamp())
        claims: dict[str, Any] = {"iss": "argocd", "sub": subject, "iat": issued, "nbf": issued}
        claims["jti"] = secrets.token_hex(16)
        self._issued.add(claims["jti"])
        if life is not None:
            claims["exp"] = int(issued + life.total_seconds())
        text = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{text}.{self._signature(text)}"

    def revoke_all(self) -> None:
        """Every token issued until now is refused from now on, whatever its end."""
        self._revoked |= self._issued

    def session(self, authorization: str | None) -> Session:
        """Who sends this header. 401 with Argo CD's words otherwise."""
        if authorization is None:
            raise GrpcError(UNAUTHENTICATED, "no session information")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise GrpcError(UNAUTHENTICATED, "no session information")
        if token.count(".") != 2:
            # What does not look like a JWT is not looked at.
            raise GrpcError(UNAUTHENTICATED, "no session information")
        claims = self._claims(token)
        now = self._clock.now().timestamp()
        if "exp" in claims and claims["exp"] <= now:
            raise _bad("token has invalid claims: token is expired")
        if claims["nbf"] > now:
            raise _bad("token has invalid claims: token is not valid yet")
        if claims["jti"] in self._revoked:
            raise _bad("token is revoked, please re-login")
        name = str(claims["sub"]).partition(":")[0]
        account = self.accounts.get(name)
        if account is None:
            raise _bad(f"account '{name}' does not exist")
        if not account.enabled:
            raise _bad(f"account {name} is disabled")
        return Session(account, claims)

    def renewed(self, session: Session) -> str | None:
        """The new token that goes out as a cookie in the last five minutes of a login."""
        left = session.claims.get("exp", float("inf")) - self._clock.now().timestamp()
        if left >= RENEW_BELOW or not str(session.claims.get("sub", "")).endswith(":login"):
            return None
        return self.sign(f"{session.account.name}:login", self.login_seconds)

    def _claims(self, token: str) -> Mapping[str, Any]:
        parts = token.split(".")
        try:
            json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
        except ValueError:
            raise _bad("token is malformed: could not base64 decode header") from None
        if not hmac.compare_digest(self._signature(".".join(parts[:2])), parts[2]):
            raise _bad("token signature is invalid: signature is invalid")
        claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return claims

    def _signature(self, text: str) -> str:
        return _plain(hmac.new(self._key, text.encode(), hashlib.sha256).digest())


def _bad(why: str) -> GrpcError:
    return GrpcError(UNAUTHENTICATED, f"invalid session: {why}")


def _encode(value: Mapping[str, Any]) -> str:
    return _plain(json.dumps(value).encode())


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
