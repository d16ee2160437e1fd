"""Who asks: Basic with password or API token, sessions, crumbs, permissions, as Jenkins treats them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field

from aiohttp import web

COOKIE = "JSESSIONID.5f2a91c0"
CRUMB_FIELD = "Jenkins-Crumb"
UNPROTECTED = ("login", "whoAmI", "robots.txt")


@dataclass
class User:
    """An account. `password` logs a person in, `token` a program. `denied` are permissions that it lacks."""

    name: str
    token: str
    password: str | None = None
    denied: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from. `exempt`: authenticated by API token, so no crumb is asked for."""

    user: User | None
    exempt: bool
    session: str | None


class Gate:
    """Accounts, sessions and crumbs."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self._sessions: dict[str, str] = {}
        self._salt = secrets.token_hex(8)

    def identify(self, request: web.Request) -> Caller | None:
        """The caller, or None for credentials that are wrong (401).

        A session that is logged in comes first: then the Basic header is not looked at, and the request is not exempt.
        """
        session = request.cookies.get(COOKIE)
        if session in self._sessions:
            return Caller(self.users.get(self._sessions[session]), False, session)
        header = request.headers.get("Authorization")
        if header is None:
            return Caller(None, False, None)
        name, _, secret = _decode(header).partition(":")
        user = self.users.get(name)
        if user is not None and secret == user.token:
            return Caller(user, True, None)
        if user is not None and user.password is not None and secret == user.password:
            return Caller(user, False, None)
        return None

    def open_session(self, user: User) -> str:
        session = f"node0{secrets.token_hex(8)}.node0"
        self._sessions[session] = user.name
        return session

    def end_sessions(self) -> None:
        """As a restart does."""
        self._sessions.clear()

    def crumb(self, user: User | None, session: str) -> str:
        text = f"{user.name if user else 'anonymous'};{session};{self._salt}"
        return hashlib.sha256(text.encode()).hexdigest()

    def crumb_is_valid(self, request: web.Request, caller: Caller) -> bool:
        given = request.headers.get(CRUMB_FIELD)
        return given is not None and caller.session is not None and given == self.crumb(caller.user, caller.session)


def _decode(header: str) -> str:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
