"""The table of Argo CD's refusals, its paths, and its tokens, without a server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    ValidationError,
    Waiting,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.argocd import SHARE_FOR, ArgoCD, SessionAuth, TokenAuth, plain_url, same_url
from devops_reconciler.services.argocd_auth import claims_of, usable_seconds
from devops_reconciler.services.http import Http, Request, Response


class Scripted:
    """A transport that answers from a list and keeps what it was sent."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers: Iterator[Response | Exception] = iter(answers)
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def answer(status: int, value: object) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())


def said(status: int, code: int, message: str) -> Response:
    return answer(status, {"code": code, "error": message, "message": message})


def client(*answers: Response | Exception, clock: FakeClock | None = None) -> tuple[ArgoCD, Scripted]:
    transport = Scripted(*answers)
    http = Http("argocd", "https://argocd.example.com", transport, clock or FakeClock())
    return ArgoCD(http, TokenAuth(lambda: "token")), transport


@pytest.mark.parametrize(
    ("response", "error", "reason"),
    [
        (said(400, 9, "another operation is already in progress"), Waiting, Reason.PROGRESSING),
        (said(400, 9, "application is deleting"), Waiting, Reason.PROGRESSING),
        (said(403, 7, "cannot sync: blocked by sync window"), Waiting, Reason.PROGRESSING),
        (
            said(400, 3, 'app is not allowed in project "p", or the project does not exist'),
            Waiting,
            Reason.DEPENDENCY_NOT_READY,
        ),
        (
            said(400, 3, "existing application spec is different, use upsert flag to force update"),
            ConflictError,
            Reason.OWNERSHIP_CONFLICT,
        ),
        (said(409, 10, "the object has been modified"), ConflictError, Reason.OWNERSHIP_CONFLICT),
        (said(409, 6, "already exists"), ConflictError, Reason.OWNERSHIP_CONFLICT),
        (said(403, 7, "permission denied"), CredentialsError, Reason.PERMISSION_DENIED),
        (said(401, 16, "invalid session: token is revoked"), CredentialsError, Reason.CREDENTIALS_INVALID),
        (said(401, 16, "invalid session: token is not valid yet"), ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (said(400, 3, "application spec for x is invalid"), ValidationError, Reason.INVALID_SPEC),
        (said(400, 9, "unable to resolve 'x' to a commit SHA"), ValidationError, Reason.REVISION_NOT_FOUND),
        (
            said(400, 3, "InvalidSpecError: repository not accessible: authentication required"),
            ValidationError,
            Reason.REPOSITORY_UNREADABLE,
        ),
        (
            said(400, 3, "InvalidSpecError: repository not accessible: dial tcp: connection refused"),
            ExternalServiceError,
            Reason.EXTERNAL_SERVICE_ERROR,
        ),
        (
            said(400, 9, "failed to list refs: connection refused"),
            ExternalServiceError,
            Reason.EXTERNAL_SERVICE_ERROR,
        ),
        (
            said(400, 3, "InvalidSpecError: Unable to generate manifests in deploy: Failed to fetch default: exit 128"),
            ExternalServiceError,
            Reason.EXTERNAL_SERVICE_ERROR,
        ),
        (said(504, 4, "deadline"), ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (said(429, 8, "slow down"), ExternalServiceError, Reason.RATE_LIMITED),
    ],
)
async def test_each_refusal_has_its_meaning(response: Response, error: type[ReconcilerError], reason: Reason) -> None:
    argocd, _ = client(response)
    with pytest.raises(error) as raised:
        await argocd.sync("shop", "shop")
    assert type(raised.value) is error
    assert raised.value.reason is reason


async def test_the_code_and_the_words_of_argo_cd_are_kept() -> None:
    argocd, _ = client(said(400, 3, "application spec for x is invalid"))
    with pytest.raises(ValidationError) as raised:
        await argocd.sync("shop", "shop")
    assert (raised.value.status, raised.value.code) == (400, 3)
    assert raised.value.details["message"] == "application spec for x is invalid"


async def test_names_and_urls_are_encoded_whole() -> None:
    argocd, transport = client(answer(200, {"repo": "https://g.example.com/a b.git"}), answer(200, {}))
    await argocd.delete_repository("https://g.example.com/a b.git")
    assert transport.sent[1].url == (
        "https://argocd.example.com/api/v1/repositories/https%3A%2F%2Fg.example.com%2Fa%20b.git"
    )
    argocd, transport = client(answer(200, {}))
    await argocd.resource_tree("shop", "team/one")
    assert transport.sent[0].url.endswith("/applications/shop/resource-tree?project=team%2Fone")


async def test_a_delete_has_the_content_type_and_no_body() -> None:
    argocd, transport = client(answer(200, {}))
    await argocd.delete_application("shop", "p")
    request = transport.sent[0]
    assert request.headers == {"Authorization": "Bearer token", "Content-Type": "application/json"}
    assert request.body is None
    assert request.url.endswith("/api/v1/applications/shop?cascade=true&project=p")


async def test_an_application_that_is_there_costs_one_call() -> None:
    argocd, transport = client(answer(200, {"metadata": {"name": "shop"}}))
    assert await argocd.application("shop", "p") == {"metadata": {"name": "shop"}}
    assert [(request.method, request.url) for request in transport.sent] == [
        ("GET", "https://argocd.example.com/api/v1/applications/shop?project=p")
    ]


@pytest.mark.parametrize("items", [None, [], [{"metadata": {"name": "shop"}, "spec": {"project": "p"}}]])
async def test_an_absence_is_believed_over_a_list_that_is_behind(items: object) -> None:
    argocd, _ = client(said(404, 5, "not found"), answer(200, {"metadata": {}, "items": items}))
    assert await argocd.application("shop", "p") is None


@pytest.mark.parametrize(
    "response",
    [
        Response(200, {"content-type": "text/html"}, b"<html></html>"),
        Response(200, {}, b'{"metadata": {"name": "sh'),
        answer(200, []),
        answer(200, {"metadata": {"name": "other"}}),
        answer(200, {}),
        Response(404, {"content-type": "text/html"}, b"<html>not here</html>"),
        answer(404, {"code": 404}),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_an_illness_of_the_service(response: Response) -> None:
    argocd, _ = client(response)
    with pytest.raises(ExternalServiceError):
        await argocd.application("shop", "p")


@pytest.mark.parametrize("value", [{}, {"items": "none"}, {"items": ["shop"]}, {"error": "odd"}])
async def test_a_list_without_items_is_not_an_empty_list(value: object) -> None:
    argocd, _ = client(answer(200, value))
    with pytest.raises(ExternalServiceError):
        await argocd.applications()


@pytest.mark.parametrize("value", [{"token": ""}, {"token": 1}, {}, []])
async def test_a_login_without_a_token_is_an_illness_of_the_service(value: object) -> None:
    transport = Scripted(answer(200, value))
    clock = FakeClock()
    http = Http("argocd", "https://argocd.example.com", transport, clock)
    with pytest.raises(ExternalServiceError):
        await SessionAuth(lambda: "us", lambda: "secret", clock).token(http)


async def test_a_login_that_was_lost_may_be_repeated_at_once() -> None:
    transport = Scripted(TimeoutError(), answer(200, {"token": "a.b.c"}))
    clock = FakeClock()
    http = Http("argocd", "https://argocd.example.com", transport, clock)
    auth = SessionAuth(lambda: "us", lambda: "secret", clock)
    with pytest.raises(ExternalServiceError):
        await auth.token(http)
    assert await auth.token(http) == "a.b.c"


async def test_a_late_refusal_does_not_drop_a_newer_token() -> None:
    transport = Scripted(answer(200, {"token": "new"}))
    clock = FakeClock()
    http = Http("argocd", "https://argocd.example.com", transport, clock)
    auth = SessionAuth(lambda: "us", lambda: "secret", clock)
    assert await auth.token(http) == "new"
    assert auth.drop("old")
    assert await auth.token(http) == "new"
    assert len(transport.sent) == 1


def token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.sig"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (token(iat=1000, exp=1000 + 86400), 86400 - 300),
        (token(iat=1000, exp=1100), 90),
        (token(iat=1000), float("inf")),
        (token(iat=1000, exp=900), 0),
        ("no token", float("inf")),
        ("a.%%%.c", float("inf")),
    ],
)
def test_a_token_is_used_until_shortly_before_its_end(text: str, seconds: float) -> None:
    assert usable_seconds(text) == seconds


def test_claims_of_anything_else_are_none() -> None:
    assert claims_of("a.WzFd.c") == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://g.example.com/Shop.git", "https://g.example.com/shop", True),
        ("https://g.example.com/shop/", "https://g.example.com/shop", True),
        ("https://g.example.com/shop", "https://g.example.com/shop2", False),
        ("http://g.example.com/shop", "https://g.example.com/shop", False),
    ],
)
def test_urls_are_compared_as_argo_cd_does(one: str, other: str, same: bool) -> None:
    assert same_url(one, other) is same


# The list of repositories

URL = "https://git.example.com/team/shop.git"
LIST = "GET https://argocd.example.com/api/v1/repositories"
DENIED = said(403, 7, "permission denied")


def listed(*urls: str) -> Response:
    return answer(200, {"items": [{"repo": url, "name": f"the one at {url}"} for url in urls]})


def lists(transport: Scripted) -> int:
    return sum(f"{request.method} {request.url}" == LIST for request in transport.sent)


async def test_the_list_of_repositories_serves_all_looks_of_two_seconds() -> None:
    clock = FakeClock()
    argocd, transport = client(listed(URL, "https://git.example.com/x"), listed(URL), clock=clock)
    for url in (URL, URL.removesuffix(".git").upper(), "https://git.example.com/x/"):
        found = await argocd.repository(url)
        assert found is not None
        assert same_url(found["repo"], url)
        clock.advance(SHARE_FOR / 4)
    assert lists(transport) == 1
    clock.advance(SHARE_FOR / 4)
    assert await argocd.repository(URL) is not None
    assert lists(transport) == 2


async def test_a_look_goes_through_the_list_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    argocd, _ = client(*[listed(*(f"https://git.example.com/{n}" for n in range(300)))] * 20)
    spelt = 0

    def counting(url: str) -> str:
        nonlocal spelt
        spelt += 1
        return plain_url(url)

    monkeypatch.setattr("devops_reconciler.services.argocd.plain_url", counting)
    for number in range(280, 300):
        assert await argocd.repository(f"https://git.example.com/{number}") is not None
    assert spelt == 300 + 20


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("write", ["create", "update", "retest", "delete"])
async def test_whatever_comes_of_a_write_the_next_look_reads_the_list_anew(write: str, status: int) -> None:
    """A conflict most of all: what is there is known only from the list."""
    written = said(status, 3, "existing repository spec is different") if status != 200 else answer(200, {"repo": URL})
    looked = [answer(200, {"repo": URL})] if write == "delete" else []
    argocd, transport = client(listed(URL), *looked, written, listed(URL, "https://git.example.com/x"))
    assert await argocd.repository(URL) is not None
    writes = {
        "create": lambda: argocd.create_repository({"repo": URL}),
        "update": lambda: argocd.update_repository({"repo": URL}),
        "retest": lambda: argocd.retest_repository(URL),
        "delete": lambda: argocd.delete_repository(URL),
    }
    with suppress(ReconcilerError):
        await writes[write]()
    assert await argocd.repository("https://git.example.com/x") is not None
    assert lists(transport) == 2


async def test_what_the_list_lacks_is_asked_for_by_itself_each_time() -> None:
    argocd, transport = client(listed(), DENIED, answer(200, {"repo": URL}))
    assert await argocd.repository(URL) is None
    assert await argocd.repository(URL) is not None
    assert lists(transport) == 1


async def test_a_refused_deletion_of_what_somebody_else_has_deleted_since_the_look_is_fine() -> None:
    there = answer(200, {"repo": URL})
    argocd, transport = client(there, DENIED, DENIED)
    await argocd.delete_repository(URL)
    assert [request.method for request in transport.sent] == ["GET", "DELETE", "GET"]
    argocd, _ = client(there, DENIED, there)
    with pytest.raises(CredentialsError):
        await argocd.delete_repository(URL)


async def test_no_deletion_is_sent_for_what_is_not_there_for_all_projects_any_more_though_the_list_has_it() -> None:
    argocd, transport = client(listed(URL), answer(200, {"repo": URL, "project": "infra"}))
    assert await argocd.repository(URL) is not None
    await argocd.delete_repository(URL)
    assert [request.method for request in transport.sent] == ["GET", "GET"]
