"""Logging in at the stand-in Docker Hub: short-lived tokens, the deprecated login with its second factor, lock-out."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from aiohttp import web

from .registry_accounts import Accounts, LockedError, Login, Tokens
from .registry_auth import LOCKED

WRONG = "Incorrect authentication credentials"
SECOND_FACTOR = "Require secondary authentication on MFA enabled account"


class HubDoor:
    """Issues and reads the tokens of the management API."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._tokens = Tokens(accounts)
        self._second: dict[str, Login] = {}
        self.lifetime = timedelta(minutes=10)
        self.code = "123456"
        """The second factor that is right."""

    async def token(self, request: web.Request) -> web.Response:
        """POST /v2/auth/token {identifier, secret}."""
        body = await json_object(request)
        login = self._verify(body.get("identifier"), body.get("secret"))
        if login is None or (login.account.two_factor and login.secret.kind == "password"):
            return web.json_response({"detail": WRONG}, status=401)
        return web.json_response({"access_token": self._issue(login)})

    async def deprecated(self, request: web.Request) -> web.Response:
        """POST /v2/users/login {username, password}: 401 with a token for the second step where there is one."""
        body = await json_object(request)
        login = self._verify(body.get("username"), body.get("password"))
        if login is None:
            return web.json_response({"detail": WRONG}, status=401)
        if login.account.two_factor and login.secret.kind == "password":
            second = secrets.token_hex(16)
            self._second[second] = login
            return web.json_response({"detail": SECOND_FACTOR, "login_2fa_token": second}, status=401)
        return web.json_response({"token": self._issue(login)})

    async def second_factor(self, request: web.Request) -> web.Response:
        """POST /v2/users/2fa-login {login_2fa_token, code}."""
        body = await json_object(request)
        login = self._second.pop(str(body.get("login_2fa_token")), None)
        if login is None or body.get("code") != self.code:
            return web.json_response({"detail": WRONG}, status=401)
        return web.json_response({"token": self._issue(login)})

    def who(self, request: web.Request) -> Login | None:
        """Who asks, or None for nobody. A token that is wrong or over is refused also where none is needed."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        claims = self._tokens.read(token) if scheme in ("Bearer", "JWT") else None
        login = self._accounts.find(claims["sub"], claims["secret"]) if claims else None
        if login is None:
            raise web.HTTPUnauthorized(
                text='{"detail": "Token is invalid or expired"}', content_type="application/json"
            )
        return login

    def _verify(self, name: object, value: object) -> Login | None:
        try:
            return self._accounts.verify(str(name), str(value))
        except LockedError:
            raise web.HTTPUnauthorized(text=f'{{"detail": "{LOCKED}"}}', content_type="application/json") from None

    def _issue(self, login: Login) -> str:
        claims = {"sub": login.account.name, "secret": login.secret.value, "source": login.secret.kind}
        return self._tokens.issue(self.lifetime, claims)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body, or 400."""
    try:
        value = await request.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text='{"message": "invalid request body"}', content_type="application/json")
    return value
