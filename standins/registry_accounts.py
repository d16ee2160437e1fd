"""Who may do what at the stand-ins of Docker Hub and its registry, and for how long a name is locked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from devops_reconciler.runtime.clock import Clock

Scope = Literal["admin", "write", "read", "public_read"]
RIGHTS: dict[Scope, frozenset[str]] = {
    "admin": frozenset({"pull", "push", "delete"}),
    "write": frozenset({"pull", "push"}),
    "read": frozenset({"pull"}),
    "public_read": frozenset(),
}


@dataclass(frozen=True)
class Secret:
    """A password, a personal access token, or an organisation's access token, with its scope."""

    value: str
    kind: Literal["password", "pat", "oat"] = "pat"
    scope: Scope = "admin"


@dataclass
class Account:
    """A user or an organisation. It owns the namespace of its name and is a member of `namespaces`."""

    name: str
    secrets: list[Secret]
    namespaces: frozenset[str] = field(default_factory=frozenset)
    two_factor: bool = False


@dataclass(frozen=True)
class Login:
    """An account that came with one of its secrets."""

    account: Account
    secret: Secret

    def may(self, action: str, namespace: str) -> bool:
        """Whether it may `pull` (private ones), `push` or `delete` in the namespace."""
        member = namespace == self.account.name or namespace in self.account.namespaces
        return member and action in RIGHTS[self.secret.scope]


class LockedError(Exception):
    """The name is locked after failed logins; the right secret does not help."""


class Accounts:
    """All accounts, and the count of failed logins that is shared by everything that takes a secret."""

    def __init__(self, accounts: Iterable[Account], clock: Clock) -> None:
        self.by_name = {account.name: account for account in accounts}
        self.clock = clock
        self.lock_after = 5
        self.lock_for = timedelta(minutes=10)
        self.passwords_allowed = True
        """False: the organisation enforces single sign-on."""
        self.logins = 0
        self.generation = 0
        self._failures: Counter[str] = Counter()
        self._locked_until: dict[str, float] = {}

    def verify(self, name: str, value: str) -> Login | None:
        """The login, or None when the secret is wrong. Raises LockedError."""
        self.logins += 1
        if self.clock.monotonic() < self._locked_until.get(name, 0.0):
            raise LockedError(name)
        login = self.find(name, value)
        if login is not None:
            del self._failures[name]
            return login
        self._failures[name] += 1
        if self._failures[name] >= self.lock_after:
            self._locked_until[name] = self.clock.monotonic() + self.lock_for.total_seconds()
            del self._failures[name]
        return None

    def find(self, name: str, value: str) -> Login | None:
        account = self.by_name.get(name)
        if account is None:
            return None
        for secret in account.secrets:
            usable = self.passwords_allowed or secret.kind != "password"
            if usable and hmac.compare_digest(secret.value.encode(), value.encode()):
                return Login(account, secret)
        return None

    def revoke_tokens(self) -> None:
        """Every token issued so far becomes invalid."""
        self.generation += 1


class Tokens:
    """Signs and reads tokens in the form of a JWT (HMAC-SHA256)."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._key = hashlib.sha256(str(id(self)).encode()).digest()

    def issue(self, lifetime: timedelta, claims: Mapping[str, Any]) -> str:
        now = self._accounts.clock.now().timestamp()
        full = {**claims, "iat": now, "exp": now + lifetime.total_seconds(), "gen": self._accounts.generation}
        text = f"{_encode(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_encode(json.dumps(full))}"
        return f"{text}.{self._sign(text)}"

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims, or None when the token is forged, revoked or over."""
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
            return None
        payload = text.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        over = claims["exp"] <= self._accounts.clock.now().timestamp()
        return None if over or claims["gen"] != self._accounts.generation else claims

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def parse_basic(header: str) -> tuple[str, str] | None:
    """Name and secret of an Authorization header for Basic, or None."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, separator, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, secret) if separator else None
