"""The door of the stand-in registry: no authentication, Basic, or bearer tokens like Docker Hub's.

A token service gives a token to everybody; what is asked for is cut down silently to what the account may do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from aiohttp import web

from .registry_accounts import Accounts, LockedError, Login, Tokens, parse_basic
from .registry_store import Store

Auth = Literal["none", "basic", "token"]
SERVICE = "registry.docker.io"
LOCKED = "Too many failed login attempts for username or IP address"


class Door:
    """Decides about each request to the registry, and issues the tokens."""

    def __init__(self, auth: Auth, accounts: Accounts, store: Store, realm: Callable[[], str]) -> None:
        self.auth = auth
        self.accounts = accounts
        self._store = store
        self._realm = realm
        self._tokens = Tokens(accounts)
        self.token_lifetime = timedelta(seconds=300)
        self.says_expiry = True
        """False: the answer has no expires_in, which means 60 seconds."""
        self.token_field = "token"
        """`token` or `access_token`: registries use either."""
        self.creates_repositories = True

    def pass_in(self, request: web.Request, name: str, action: str) -> str:
        """Let the request in and say who it is ("" for nobody), or raise 401. `name` is "" for the API's root."""
        if self.auth == "none":
            return ""
        header = request.headers.get("Authorization", "")
        if self.auth == "basic":
            return self._pass_basic(header, name, action)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise self._unauthorized(name, action, None)
        claims = self._tokens.read(token)
        if claims is None:
            raise self._unauthorized(name, action, "invalid_token")
        if name and action not in claims["access"].get(name, []):
            raise self._unauthorized(name, action, "insufficient_scope")
        return str(claims["sub"])

    def _pass_basic(self, header: str, name: str, action: str) -> str:
        given = parse_basic(header)
        try:
            login = self.accounts.verify(*given) if given else None
        except LockedError:
            login = None
        if login is None:
            headers = {"WWW-Authenticate": 'Basic realm="registry"'}
            raise web.HTTPUnauthorized(text=_errors("UNAUTHORIZED"), headers=headers, content_type="application/json")
        if name and not self._granted(login, name, {action}):
            raise web.HTTPForbidden(text=_errors("DENIED"), content_type="application/json")
        return login.account.name

    def _unauthorized(self, name: str, action: str, error: str | None) -> web.HTTPUnauthorized:
        challenge = f'Bearer realm="{self._realm()}",service="{SERVICE}"'
        if name:
            actions = action if action == "pull" else "pull,push"
            challenge += f',scope="repository:{name}:{actions}"'
        if error:
            challenge += f',error="{error}"'
        return web.HTTPUnauthorized(
            text=_errors("UNAUTHORIZED"), headers={"WWW-Authenticate": challenge}, content_type="application/json"
        )

    async def token(self, request: web.Request) -> web.Response:
        """GET /token?service=&scope=: a token for whoever asks; wrong credentials are refused."""
        header = request.headers.get("Authorization", "")
        given = parse_basic(header)
        login = None
        if given is not None:
            try:
                login = self.accounts.verify(*given)
            except LockedError:
                return web.json_response({"details": LOCKED}, status=401)
        if header and login is None:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        access: dict[str, list[str]] = {}
        for scope in " ".join(request.query.getall("scope", [])).split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind == "repository":
                access[name] = sorted(self._granted(login, name, set(actions.split(","))))
        subject = login.account.name if login else ""
        token = self._tokens.issue(self.token_lifetime, {"sub": subject, "access": access})
        answer: dict[str, object] = {self.token_field: token, "issued_at": self.accounts.clock.now().isoformat()}
        if self.says_expiry:
            answer["expires_in"] = int(self.token_lifetime.total_seconds())
        return web.json_response(answer)

    def _granted(self, login: Login | None, name: str, wanted: set[str]) -> set[str]:
        """What of `wanted` the login gets. A missing repository grants nothing but the right to create it by a push."""
        record = self._store.repositories.get(name)
        namespace = name.rpartition("/")[0]
        own = {action for action in wanted if login is not None and login.may(action, namespace)}
        if record is None:
            return own if "push" in own and self.creates_repositories else set()
        return own | ({"pull"} & wanted if not record.private else set())


def _errors(code: str) -> str:
    return f'{{"errors":[{{"code":"{code}","message":"access to the requested resource is not authorized"}}]}}'
