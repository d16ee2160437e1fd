"""Reading challenges, where tokens may be asked for, and odd answers of registries: without any network."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services import registry as services_registry
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.registry import Registry
from devops_reconciler.services.registry_token import Challenge, basic, parse_challenges

DIGEST = "sha256:" + "a" * 64
FOUND = Response(200, {"docker-content-digest": DIGEST})


class Answers:
    """A transport that answers by a function and keeps what was asked."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._answer = answer
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        return self._answer(request)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def registry(
    answers: Answers, base: str = "https://registry-1.docker.io", hosts: frozenset[str] | None = None
) -> Registry:
    http = Http("registry", base, answers, FakeClock())
    return Registry(http, username=lambda: "acme", secret=lambda: "s3cret", clock=FakeClock(), token_hosts=hosts)


def asks_for(realm: str, token: object = "t") -> Callable[[Request], Response]:
    """A registry that wants a token from `realm`, and that token service."""

    def answer(request: Request) -> Response:
        if request.url.partition("?")[0] == realm:
            return Response(200, body=json.dumps({"token": token}).encode())
        if "Authorization" in request.headers:
            return FOUND
        return Response(401, {"www-authenticate": f'Bearer realm="{realm}",service="x y&z",scope="repository:other:*"'})

    return answer


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Basic", [Challenge("basic")]),
        ('Basic realm="a"', [Challenge("basic", {"realm": "a"})]),
        ('BEARER Realm="a",service=b', [Challenge("bearer", {"realm": "a", "service": "b"})]),
        (
            'Bearer realm="https://a/t",scope="repository:a/b:pull,push",error="insufficient_scope"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://a/t", "scope": "repository:a/b:pull,push", "error": "insufficient_scope"},
                )
            ],
        ),
        (
            'Basic realm="a, b", Bearer realm="c"',
            [Challenge("basic", {"realm": "a, b"}), Challenge("bearer", {"realm": "c"})],
        ),
        (r'Bearer realm="a\"b\\c"', [Challenge("bearer", {"realm": 'a"b\\c'})]),
        ('Bearer realm="never ends', [Challenge("bearer")]),
        ("=?<>", []),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges(header) == challenges


async def test_official_images_of_docker_live_in_library() -> None:
    answers = Answers(lambda _: FOUND)
    assert await registry(answers).digest("nginx", "1") == DIGEST
    assert await registry(answers, "https://registry.example.com").digest("nginx", "1") == DIGEST
    assert [request.url for request in answers.asked] == [
        "https://registry-1.docker.io/v2/library/nginx/manifests/1",
        "https://registry.example.com/v2/nginx/manifests/1",
    ]


async def test_all_four_forms_of_an_image_are_accepted() -> None:
    answers = Answers(lambda _: FOUND)
    await registry(answers).digest("acme/shop", "1")
    assert answers.asked[0].method == "HEAD"
    assert answers.asked[0].headers["Accept"].split(", ") == [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    ]


async def test_dockers_registry_may_ask_for_a_token_from_dockers_token_service() -> None:
    answers = Answers(asks_for("https://auth.docker.io/token"))
    assert await registry(answers).digest("acme/shop", "1") == DIGEST
    token = answers.asked[1]
    assert token.url == "https://auth.docker.io/token?service=x+y%26z&scope=repository:acme/shop:pull"
    assert token.headers["Authorization"] == "Basic YWNtZTpzM2NyZXQ="
    assert "Basic" not in answers.asked[2].headers["Authorization"]


@pytest.mark.parametrize(
    ("realm", "hosts"),
    [
        ("https://auth.example.com/token", frozenset({"auth.example.com"})),
        ("https://auth.example.com/token", frozenset({"Auth.example.com:443"})),
        ("https://registry.example.com/token", frozenset()),
        ("http://127.0.0.1:9/token", frozenset({"127.0.0.1:9"})),
        ("http://localhost:9/token", frozenset({"localhost"})),
    ],
)
async def test_a_token_service_that_is_allowed_gets_the_credentials(realm: str, hosts: frozenset[str]) -> None:
    answers = Answers(asks_for(realm))
    assert await registry(answers, "https://registry.example.com", hosts).digest("acme/shop", "1") == DIGEST


@pytest.mark.parametrize(
    ("realm", "hosts"),
    [
        ("https://auth.docker.io/token", None),
        ("https://evil.example/token", frozenset({"auth.example.com"})),
        ("https://auth.example.com.evil.example/token", frozenset({"auth.example.com"})),
        ("https://auth.example.com@evil.example/token", frozenset({"auth.example.com"})),
        ("http://auth.example.com/token", frozenset({"auth.example.com"})),
        ("https://auth.example.com:8443/token", frozenset({"auth.example.com:443"})),
        ("http://registry.example.com/token", frozenset()),
        ("https://registry.example.com:8443/token", frozenset()),
        ("http://127.0.0.1:9/token", frozenset()),
        ("http://169.254.169.254/token", frozenset()),
    ],
)
async def test_any_other_token_service_gets_nothing(realm: str, hosts: frozenset[str] | None) -> None:
    answers = Answers(asks_for(realm))
    with pytest.raises(CredentialsError, match="not an allowed token service") as caught:
        await registry(answers, "https://registry.example.com", hosts).digest("acme/shop", "1")
    assert len(answers.asked) == 1
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", [None, "", 7, "two\r\nlines", "ünicode", ["t"]])
async def test_a_token_that_is_none_is_an_ill_service(token: object) -> None:
    answers = Answers(asks_for("https://auth.docker.io/token", token))
    with pytest.raises(ExternalServiceError, match="no token"):
        await registry(answers).digest("acme/shop", "1")


@pytest.mark.parametrize("digest", ["", "sha256:short", "md5:" + "a" * 64, DIGEST + "\n"])
async def test_an_answer_without_a_digest_is_no_answer(digest: str) -> None:
    answers = Answers(lambda _: Response(200, {"docker-content-digest": digest}))
    with pytest.raises(ExternalServiceError, match="Docker-Content-Digest"):
        await registry(answers).digest("acme/shop", "1")


async def test_a_digest_that_answers_with_another_is_no_answer() -> None:
    answers = Answers(lambda _: FOUND)
    with pytest.raises(ExternalServiceError, match="for a question about"):
        await registry(answers).digest("acme/shop", "sha256:" + "b" * 64)


async def test_a_401_without_a_challenge_is_about_the_credentials() -> None:
    answers = Answers(lambda _: Response(401))
    with pytest.raises(CredentialsError, match="does not accept the credentials"):
        await registry(answers).digest("acme/shop", "1")


async def test_a_token_service_that_moved_is_found_again() -> None:
    realms = ["https://auth.docker.io/old"]

    def answer(request: Request) -> Response:
        if request.url.startswith("https://auth.docker.io/"):
            return Response(200, body=json.dumps({"token": request.url.partition("?")[0]}).encode())
        if request.headers.get("Authorization") == f"Bearer {realms[0]}":
            return FOUND
        error = ',error="invalid_token"' if "Authorization" in request.headers else ""
        return Response(401, {"www-authenticate": f'Bearer realm="{realms[0]}"{error}'})

    client = registry(Answers(answer))
    assert await client.digest("acme/shop", "1") == DIGEST
    realms[0] = "https://auth.docker.io/new"
    assert await client.digest("acme/cart", "1") == DIGEST
    assert await client.digest("acme/shop", "1") == DIGEST


async def test_tokens_that_ended_are_not_kept() -> None:
    clock = FakeClock()
    answers = Answers(asks_for("https://auth.docker.io/token"))
    http = Http("registry", "https://registry-1.docker.io", answers, clock)
    client = Registry(http, username=lambda: "acme", secret=lambda: "s3cret", clock=clock)
    for number in range(50):
        await client.digest(f"acme/shop{number}", "1")
        clock.advance(timedelta(minutes=1))
    assert len(client._tokens._kept) == 1


async def test_a_token_service_that_is_gone_is_not_asked_for_ever() -> None:
    realms = ["https://auth.docker.io/old"]

    def answer(request: Request) -> Response:
        if request.url.startswith(realms[0]):
            return Response(200, body=b'{"token": "t"}')
        if request.url.startswith("https://auth.docker.io/"):
            return Response(503)
        if "Authorization" in request.headers:
            return FOUND
        return Response(401, {"www-authenticate": f'Bearer realm="{realms[0]}"'})

    client = registry(Answers(answer))
    assert await client.digest("acme/shop", "1") == DIGEST
    realms[0] = "https://auth.docker.io/new"
    with pytest.raises(ExternalServiceError):
        await client.digest("acme/cart", "1")
    assert await client.digest("acme/cart", "1") == DIGEST


def token_service(refused: Response, asked_with: list[str]) -> Callable[[Request], Response]:
    """A registry whose token service answers `refused` for `acme/missing` and for a login without a repository."""

    def answer(request: Request) -> Response:
        if request.url.startswith("https://ghcr.io/token"):
            asked_with.append(request.url.partition("scope=")[2])
            well = "acme/missing" not in request.url and "scope=" in request.url
            return Response(200, body=b'{"token": "t"}') if well else refused
        if "Authorization" in request.headers:
            return FOUND
        return Response(401, {"www-authenticate": 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'})

    return answer


DENIED = Response(403, body=b'{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}')


async def test_a_repository_that_the_token_service_refuses_is_about_that_repository_alone() -> None:
    asked: list[str] = []
    client = registry(Answers(token_service(DENIED, asked)), "https://ghcr.io")
    for _ in range(2):  # before and after the token service is known
        with pytest.raises(CredentialsError) as caught:
            await client.digest("acme/missing", "1")
        assert (caught.value.status, caught.value.reason) == (403, Reason.PERMISSION_DENIED)
        assert caught.value.message == (
            "registry: get token: the repository acme/missing is not found, or there is no access to it for acme: "
            "403 requested access is denied"
        )
        assert await client.digest("acme/shop", "1") == DIGEST
    assert asked == [f"repository:{name}:pull" for name in ("acme/missing", "acme/shop", "acme/missing")]


async def test_a_login_that_the_token_service_refuses_without_a_repository_is_not_repeated() -> None:
    asked: list[str] = []
    client = registry(Answers(token_service(DENIED, asked)), "https://ghcr.io")
    for _ in range(3):
        with pytest.raises(CredentialsError, match="403 requested access is denied"):
            await client.ping()
    assert asked == [""]


async def test_a_repository_that_is_not_for_anonymous_users_stops_no_other() -> None:
    asked: list[str] = []
    unauthorized = Response(401, body=b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}')
    http = Http("registry", "https://ghcr.io", Answers(token_service(unauthorized, asked)), FakeClock())
    client = Registry(http, username=lambda: "", secret=lambda: "", clock=FakeClock())
    with pytest.raises(CredentialsError, match="anonymous users: 401 authentication required"):
        await client.digest("acme/missing", "1")
    assert await client.digest("acme/shop", "1") == DIGEST


async def test_a_refused_login_of_a_project_is_no_refused_token_in_the_metrics() -> None:
    """The alert on refused credentials goes by `get token`, which only the operator's accounts ask for so."""
    told: list[tuple[str, str]] = []
    answers = Answers(token_service(Response(401), []))

    def observe(service: str, operation: str, code: str, seconds: float) -> None:
        told.append((operation, code))

    http = Http("registry", "https://ghcr.io", answers, FakeClock(), observer=observe)
    ours = Registry(http, username=lambda: "acme", secret=lambda: "s3cret", clock=FakeClock())
    with pytest.raises(CredentialsError, match=r"check login: ghcr\.io refuses the credentials of ann"):
        await ours.check_login("ann", "wrong")
    assert told == [("ping", "401"), ("check login", "401")]
    with pytest.raises(CredentialsError, match="get token"):
        await ours.ping()
    assert told[2:] == [("ping", "401"), ("get token", "401")]


def wrong_for_all(asked: list[str]) -> Callable[[Request], Response]:
    """A registry whose token service takes the password `right`."""

    def answer(request: Request) -> Response:
        if request.url.startswith("https://ghcr.io/token"):
            asked.append(request.headers["Authorization"])
            login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
            right = login.endswith(":right")
            return Response(200, body=b'{"token": "t"}') if right else Response(401)
        if "Authorization" in request.headers:
            return FOUND
        return Response(401, {"www-authenticate": 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'})

    return answer


async def test_of_the_wrong_logins_of_one_name_one_is_tried_at_a_time() -> None:
    asked: list[str] = []
    clock = FakeClock()
    http = Http("registry", "https://ghcr.io", Answers(wrong_for_all(asked)), clock)
    ours = Registry(http, username=lambda: "acme", secret=lambda: "s3cret", clock=clock)
    found = await asyncio.gather(*(ours.check_login("ann", "wrong") for _ in range(10)), return_exceptions=True)
    assert [type(each) for each in found] == [CredentialsError] * 10
    with pytest.raises(ExternalServiceError, match="a login of ann was refused just now") as paused:
        await ours.check_login("ann", "right")
    assert asked == [basic(("ann", "wrong"))]
    with pytest.raises(CredentialsError):
        await ours.check_login("bob", "wrong")
    clock.advance(paused.value.after or timedelta(0))
    await ours.check_login("ann", "right")
    await ours.check_login("ann", "right")
    with pytest.raises(CredentialsError):
        await ours.check_login("ann", "wrong-too")
    clock.advance(timedelta(minutes=1))
    with pytest.raises(CredentialsError):
        await ours.check_login("ann", "wrong-again")
    clock.advance(timedelta(minutes=1))
    with pytest.raises(ExternalServiceError):  # the pause grows, whatever is wrong
        await ours.check_login("ann", "right")


async def test_a_user_name_whose_logins_are_paused_is_not_forgotten_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_registry, "MOST_GATES", 3)
    asked: list[str] = []
    clock = FakeClock()
    http = Http("registry", "https://ghcr.io", Answers(wrong_for_all(asked)), clock)
    ours = Registry(http, username=lambda: "acme", secret=lambda: "s3cret", clock=clock)
    with pytest.raises(CredentialsError):
        await ours.check_login("ann", "wrong")
    for number in range(5):
        await ours.check_login(f"bob-{number}", "right")
    with pytest.raises(ExternalServiceError, match="a login of ann was refused just now"):
        await ours.check_login("ann", "right")
    clock.advance(timedelta(minutes=1))
    for number in range(5):
        await ours.check_login(f"bob-{number}", "right")
    with pytest.raises(CredentialsError):
        await ours.check_login("ann", "wrong-too")
    clock.advance(timedelta(minutes=1))
    with pytest.raises(ExternalServiceError):  # nor is how often they were refused
        await ours.check_login("ann", "right")


async def test_the_operators_own_login_waits_for_no_others() -> None:
    asked: list[str] = []
    http = Http("registry", "https://ghcr.io", Answers(wrong_for_all(asked)), FakeClock())
    ours = Registry(http, username=lambda: "ann", secret=lambda: "right", clock=FakeClock())
    with pytest.raises(CredentialsError):
        await ours.check_login("ann", "wrong")
    await ours.ping()
