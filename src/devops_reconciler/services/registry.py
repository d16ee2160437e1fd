"""A container registry, read only: which digest a tag points to.

Works with Docker Hub's registry, and with any registry of the OCI distribution specification that asks for a bearer
token, for Basic authentication, or for nothing. Tags are deleted at Docker Hub, never here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from yarl import URL

from ..api.conditions import Reason
from ..api.errors import CredentialsError
from ..runtime.clock import Clock
from ..runtime.recent import Recent
from .dockerhub_login import LoginGate
from .http import Http, Response
from .registry_token import Challenge, RegistryTokens, basic, parse_challenges

ACCEPT = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
"""All four forms of an image: with fewer, registries convert (another digest) or answer 404 (distribution#2395)."""
VERSION = "docker-distribution-api-version"
"""The header by which a registry is known."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
MOST_GATES = 10_000
"""So many user names of others are remembered, with less than 1 KiB each: those first whose logins were refused."""
DOCKER_REGISTRIES = frozenset({"registry-1.docker.io", "index.docker.io"})
DOCKER_TOKEN_HOSTS = frozenset({"auth.docker.io"})


class Registry:
    """Questions to one registry under one account; without user name, anonymously.

    `token_hosts` are the hosts (`host` or `host:port`) besides the registry's own that may be given our credentials
    for a token. Default: `auth.docker.io` for Docker's registry, otherwise none. `asking` is what asking for one is
    called in errors and metrics; `gate` is shared with others who ask with this name.
    """

    def __init__(
        self,
        http: Http,
        *,
        username: Callable[[], str],
        secret: Callable[[], str],
        clock: Clock,
        token_hosts: frozenset[str] | None = None,
        asking: str = "get token",
        gate: LoginGate | None = None,
    ) -> None:
        self._http = http
        self._clock = clock
        self._username = username
        self._secret = secret
        self._docker = URL(http.base).host in DOCKER_REGISTRIES
        if token_hosts is None:
            token_hosts = DOCKER_TOKEN_HOSTS if self._docker else frozenset()
        self._token_hosts = token_hosts
        self._tokens = RegistryTokens(http, clock, token_hosts, asking, gate)
        self._gates: Recent[str, LoginGate] = Recent(MOST_GATES)
        self._basic = False

    async def ping(self) -> None:
        """Prove that the registry answers and takes our credentials."""
        self._found(await self._call("ping", "GET", "/v2/", ""))

    async def check_login(self, username: str, password: str) -> None:
        """Raise CredentialsError where the registry does not take this login, and ExternalServiceError while one of
        the same user name is paused after a refusal: Docker Hub locks an account after some failures, for everybody.
        Not to be asked often with a wrong one."""
        other = Registry(
            self._http,
            username=lambda: username,
            secret=lambda: password,
            clock=self._clock,
            token_hosts=self._token_hosts,
            asking="check login",  # "get token" is refused to the operator's account alone, which alerts
            gate=self._gate_of(username),
        )
        await other.ping()

    def _gate_of(self, username: str) -> LoginGate:
        known = self._gates.get(username)
        if known is not None:
            return known
        gate = LoginGate(self._http.service, self._clock, any_secret=True)
        return self._gates.put(username, gate, keep=lambda each: not each.idle)

    async def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a tag (or of a digest) as the registry stores it, or None when there is no such manifest.

        Asked by HEAD, which does not count as a pull. Raises CredentialsError with reason PermissionDenied for a
        repository that does not exist or that we may not read: the registry does not tell which.
        """
        if self._docker and "/" not in repository:
            repository = f"library/{repository}"
        operation = "get digest"
        name = "/".join(quote(segment, safe="") for segment in repository.split("/"))
        path = f"/v2/{name}/manifests/{quote(reference, safe=':')}"
        reply = await self._call(operation, "HEAD", path, repository)
        if reply.status == 404:
            await self._prove(reply)
            return None
        digest = reply.headers.get("docker-content-digest", "")
        if not DIGEST.fullmatch(digest):
            raise self._http.malformed(operation, "no Docker-Content-Digest in it")
        if ":" in reference and digest != reference:
            raise self._http.malformed(operation, f"{digest} for a question about {reference}")
        return digest

    async def _prove(self, absence: Response) -> None:
        """Raise ExternalServiceError for a 404 that is of no registry: of some proxy, or of another address.

        A HEAD has no body to tell. Docker's registry, and most others, name their version in each answer
        (distribution/distribution, `App.ServeHTTP`). Of those that do not, one is there if it answers under /v2/.
        """
        if VERSION not in absence.headers:
            self._found(await self._http.request("ping", "GET", "/v2/", accept=(401, 403)))

    def _found(self, root: Response) -> None:
        if root.status == 404:
            raise self._http.malformed("ping", "there is no registry under /v2/")

    async def _call(self, operation: str, method: str, path: str, repository: str) -> Response:
        """Ask; on 401 do what the registry asks for, and ask once more."""
        identity = (self._username(), self._secret())
        scope = f"repository:{repository}:pull" if repository else ""
        cached = self._tokens.cached(identity, scope)
        token = cached or await self._tokens.ahead(identity, scope)
        authorization = f"Bearer {token}" if token else basic(identity) if self._basic else ""
        reply = await self._send(operation, method, path, authorization)
        if reply.status == 401 and (cached or not token or _says(reply, "invalid_token")):
            self._tokens.drop(token)
            authorization = await self._answer(operation, repository, reply, identity)
            reply = await self._send(operation, method, path, authorization)
        if reply.status == 401:
            self._tokens.drop(authorization.removeprefix("Bearer "))
            raise self._refused(operation, repository, reply)
        return reply

    async def _answer(self, operation: str, repository: str, reply: Response, identity: tuple[str, str]) -> str:
        """What to send for the challenge of a 401, as a value of Authorization."""
        challenges = {challenge.scheme: challenge for challenge in _challenges(reply)}
        if "bearer" in challenges:
            scope = f"repository:{repository}:pull" if repository else ""
            return f"Bearer {await self._tokens.fetch(challenges['bearer'], identity, scope)}"
        if "basic" in challenges and identity[0] and not self._basic:
            self._basic = True
            return basic(identity)
        raise self._refused(operation, repository, reply)

    async def _send(self, operation: str, method: str, path: str, authorization: str) -> Response:
        headers = {"Accept": ACCEPT if method == "HEAD" else "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        return await self._http.request(operation, method, path, headers=headers, accept=(401,))

    def _refused(self, operation: str, repository: str, reply: Response) -> CredentialsError:
        """A 401 after all that could be done. With a valid token it means: no such repository, or not for us."""
        where = f"{self._http.service}: {operation}: "
        bearer = any(challenge.scheme == "bearer" for challenge in _challenges(reply))
        if bearer and repository and not _says(reply, "invalid_token"):
            return CredentialsError(
                f"{where}the repository {repository} is not found, or there is no access to it for "
                f"{self._username() or 'anonymous users'}",
                reason=Reason.PERMISSION_DENIED,
                status=401,
            )
        return CredentialsError(f"{where}the registry does not accept the credentials", status=401)


def _challenges(reply: Response) -> list[Challenge]:
    return parse_challenges(reply.headers.get("www-authenticate", ""))


def _says(reply: Response, error: str) -> bool:
    return any(challenge.values.get("error") == error for challenge in _challenges(reply))
