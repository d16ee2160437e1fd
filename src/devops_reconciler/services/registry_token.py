"""Bearer tokens of a registry: read its challenge, fetch a token where that is allowed, keep it while it is good.

Source: the distribution project's token specification. A token is no proof of access: the scope that was asked for is
silently cut down to what the account may do.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from datetime import timedelta

from yarl import URL

from ..api.conditions import Reason
from ..api.errors import CredentialsError, ExternalServiceError, Refused
from ..runtime.clock import Clock
from .dockerhub_login import LoginGate, usable_seconds
from .http import Http, Response, detail_text, details_of

DEFAULT_LIFETIME = 60
"""Seconds that a token is good for when the answer does not say (token specification)."""
LONGEST_LIFETIME = 3600
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|$)")


@dataclass(frozen=True)
class Challenge:
    """One challenge of a WWW-Authenticate header. Scheme and names of values are lower case."""

    scheme: str
    values: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges in a WWW-Authenticate header (RFC 9110, without token68). Reading stops at what is malformed."""
    challenges: list[Challenge] = []
    at = 0
    while (scheme := _SCHEME.match(header, at)) is not None:
        at = scheme.end()
        values: dict[str, str] = {}
        while (parameter := _PARAMETER.match(header, at)) is not None:
            at = parameter.end()
            quoted, plain = parameter.group(2), parameter.group(3)
            values[parameter.group(1).lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        challenges.append(Challenge(scheme.group(1).lower(), values))
    return challenges


def basic(identity: tuple[str, str]) -> str:
    """The value of an Authorization header for Basic authentication."""
    return "Basic " + base64.b64encode(":".join(identity).encode()).decode()


@dataclass(frozen=True)
class _Kept:
    token: str
    good_until: float


class RegistryTokens:
    """Tokens by identity and scope. Credentials go to the registry's own host and to `hosts`, nowhere else.

    `operation` is what asking for one is called in errors and metrics. `gate`: that of others who ask with this name.
    """

    def __init__(
        self,
        http: Http,
        clock: Clock,
        hosts: frozenset[str],
        operation: str = "get token",
        gate: LoginGate | None = None,
    ) -> None:
        self._http = http
        self._clock = clock
        self._hosts = frozenset(host.lower() for host in hosts)
        self._operation = operation
        self._gate = gate or LoginGate(http.service, clock)
        self._kept: dict[tuple[tuple[str, str], str], _Kept] = {}
        self._named: Challenge | None = None

    def cached(self, identity: tuple[str, str], scope: str) -> str:
        """A token that is still good, or ""."""
        kept = self._kept.get((identity, scope))
        return kept.token if kept is not None and self._clock.monotonic() < kept.good_until else ""

    async def ahead(self, identity: tuple[str, str], scope: str) -> str:
        """A token from the service that the registry named last, without waiting for its 401; "" when it named none."""
        named = self._named
        if named is None:
            return ""
        try:
            return await self.fetch(named, identity, scope)
        except (ExternalServiceError, Refused):
            self._named = None  # it may have moved: next time the registry says where to
            raise

    def drop(self, token: str) -> None:
        """Forget `token`, which the registry does not take."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept.token != token}

    async def fetch(self, challenge: Challenge, identity: tuple[str, str], scope: str) -> str:
        """A token for `scope`, which is ours: what the challenge asks for beyond reading is not for us to ask.

        Raises CredentialsError when the realm may not be given our credentials or the service refuses them.
        """
        url = self._realm(challenge)
        if service := challenge.values.get("service"):
            url = url.update_query(service=service)
        if scope:
            url = url.update_query(scope=scope)
        async with self._gate.turn(identity, scope):
            token = self.cached(identity, scope) or await self._request(url, identity, scope)
        self._named = challenge
        return token

    def _realm(self, challenge: Challenge) -> URL:
        """The token service's address, proven to be one that our credentials are for."""
        text = challenge.values.get("realm", "")
        registry = URL(self._http.base)
        try:
            url = URL(text)
            own = url.origin() == registry.origin()
        except ValueError:
            raise self._http.malformed(self._operation, "the realm of the challenge is no address") from None
        named = not self._hosts.isdisjoint({(url.host or "").lower(), f"{url.host}:{url.port}".lower()})
        secure = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host or ""))
        if own or (named and secure):
            return url.with_fragment(None).with_user(None)
        raise CredentialsError(
            f"{self._http.service}: {self._operation}: the registry wants its credentials sent to "
            f"{url.scheme}://{url.host}, which is not an allowed token service of this registry",
            reason=Reason.PERMISSION_DENIED,
        )

    async def _request(self, url: URL, identity: tuple[str, str], scope: str) -> str:
        operation = self._operation
        headers = {"Accept": "application/json"}
        if identity[0]:
            headers["Authorization"] = basic(identity)
        reply = await self._http.request(operation, "GET", str(url), headers=headers, accept=(401, 403))
        details = details_of(reply)
        if reply.status in (401, 403):
            raise self._refusal(operation, url, identity[0] or "anonymous users", scope, reply)
        token = details.get("token") or details.get("access_token")
        if reply.status == 404 or not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise self._http.malformed(operation, f"no token in an answer with status {reply.status}")
        self._keep(identity, scope, token, details.get("expires_in"))
        return token

    def _refusal(self, operation: str, url: URL, who: str, scope: str, reply: Response) -> CredentialsError:
        """A 403 for a scope is about that one: GHCR and Google say it of a missing repository (argo-cd#26260)."""
        details = details_of(reply)
        said = self._http.hidden(str(details.get("details") or "")) or detail_text(reply, details, self._http.hidden)
        forbidden = reply.status == 403 and bool(scope)
        if forbidden:
            repository = scope.removeprefix("repository:").removesuffix(":pull")
            what = f"the repository {repository} is not found, or there is no access to it for {who}"
        else:
            what = f"{url.host} refuses the credentials of {who}"
        return CredentialsError(
            f"{self._http.service}: {operation}: {what}: {reply.status} {said}".rstrip(": "),
            reason=Reason.PERMISSION_DENIED if forbidden else None,
            status=reply.status,
            details=details,
        )

    def _keep(self, identity: tuple[str, str], scope: str, token: str, expires_in: object) -> None:
        said = expires_in if isinstance(expires_in, int) and expires_in > 0 else DEFAULT_LIFETIME
        now = self._clock.monotonic()
        good_until = now + usable_seconds(timedelta(seconds=min(said, LONGEST_LIFETIME)))
        self._kept = {key: kept for key, kept in self._kept.items() if kept.good_until > now}
        self._kept[identity, scope] = _Kept(token, good_until)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
