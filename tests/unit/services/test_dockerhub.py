"""Odd answers of Docker Hub, without any network."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dockerhub import DockerHub, Tag
from devops_reconciler.services.dockerhub_login import HubLogin
from devops_reconciler.services.http import Http, Request, Response


class Hub:
    """A transport that logs everybody in and gives one answer to everything else."""

    def __init__(self, answer: object, status: int = 200) -> None:
        self._response = Response(status, body=json.dumps(answer).encode())
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Response:
        if request.url.endswith("/v2/auth/token"):
            return Response(200, body=b'{"access_token": "t"}')
        self.asked.append(request)
        return self._response

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def client(hub: Hub) -> DockerHub:
    http = Http("dockerhub", "https://hub.docker.com", hub, FakeClock())
    return DockerHub(http, username=lambda: "acme", secret=lambda: "s", clock=FakeClock())


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", {}, {"name": "shop"}, {"name": "other", "is_private": True}, {"name": "shop", "is_private": 1}],
)
async def test_a_repository_in_another_shape_is_an_ill_service(answer: object) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        await client(Hub(answer)).repository("acme", "shop")


@pytest.mark.parametrize("answer", [None, [], {}, {"name": 7}])
async def test_a_tag_in_another_shape_is_an_ill_service(answer: object) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        await client(Hub(answer)).tag("acme", "shop", "v1")


@pytest.mark.parametrize("answer", [{}, {"results": {}}, {"results": [7]}, {"results": [{}]}, []])
async def test_a_list_in_another_shape_is_an_ill_service(answer: object) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        assert [tag async for tag in client(Hub(answer)).tags("acme", "shop")] == []


@pytest.mark.parametrize(
    ("more", "digest"),
    [
        ({"digest": "sha256:a"}, "sha256:a"),
        ({"digest": "sha256:a", "images": [{"digest": "sha256:b"}], "v2": True}, "sha256:a"),
        ({"images": [{"digest": "sha256:b"}], "v2": 2}, "sha256:b"),
        ({"images": {"digest": "sha256:b"}}, "sha256:b"),
        ({"images": [{"digest": "sha256:b"}, {"digest": "sha256:c"}]}, None),
        ({"images": [{"digest": None}]}, None),
        ({"images": [None]}, None),
        ({"images": []}, None),
        ({"images": None, "digest": 7}, None),
        ({}, None),
    ],
)
async def test_the_digest_of_a_tag_is_found_in_any_shape(more: dict[str, object], digest: str | None) -> None:
    assert await client(Hub({"name": "v1", **more})).tag("acme", "shop", "v1") == Tag("v1", digest, None)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2021-01-05T21:06:53.506400Z", datetime(2021, 1, 5, 21, 6, 53, 506400, UTC)),
        ("yesterday", None),
        (None, None),
        (7, None),
    ],
)
async def test_the_time_of_a_tag_may_be_missing(text: object, time: datetime | None) -> None:
    tag = await client(Hub({"name": "v1", "last_updated": text})).tag("acme", "shop", "v1")
    assert tag is not None
    assert tag.last_updated == time


async def test_the_token_goes_as_bearer() -> None:
    hub = Hub({"name": "shop", "is_private": True})
    await client(hub).repository("acme", "shop")
    assert hub.asked[0].headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "link", ["https://user:pass@hub.docker.com/v2/x", "http://hub.docker.com/x", "https://hub.docker.com:8443/x"]
)
async def test_the_next_page_has_our_scheme_port_and_no_user(link: str) -> None:
    hub = Hub({"results": [], "next": link})
    with pytest.raises(ExternalServiceError, match="another host"):
        assert [tag async for tag in client(hub).tags("acme", "shop")] == []
    assert len(hub.asked) == 1


async def test_the_next_page_may_be_relative() -> None:
    hub = Hub({"results": [], "next": "/v2/x?page=2"})
    assert [tag async for tag in client(hub).tags("acme", "shop")] == []
    assert [request.url for request in hub.asked][1:] == ["https://hub.docker.com/v2/x?page=2"]


async def test_a_repository_in_a_namespace_that_does_not_exist_is_refused() -> None:
    hub = Hub({"detail": "Namespace not found"}, status=404)
    with pytest.raises(ValidationError, match="namespace nobody does not exist: 404 Namespace not found"):
        await client(hub).create_repository("nobody", "shop", description="", private=True)


async def test_a_token_that_was_renewed_meanwhile_stays() -> None:
    tokens = iter(["one", "two", "three"])

    class Renewing(Hub):
        async def send(self, request: Request) -> Response:
            return Response(200, body=json.dumps({"access_token": next(tokens)}).encode())

    clock = FakeClock()
    http = Http("dockerhub", "https://hub.docker.com", Renewing({}), clock)
    login = HubLogin(http, username=lambda: "acme", secret=lambda: "s", clock=clock)
    assert await login.token() == "one"
    login.drop("one")
    assert await login.token() == "two"
    login.drop("one")
    assert await login.token() == "two"
