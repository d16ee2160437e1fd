"""What our Argo CD client sends is what Argo CD's own description of its API says."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.argocd import ArgoCD, SessionAuth, TokenAuth
from devops_reconciler.services.http import Http, Request, Response

from . import argocd_swagger

APP: dict[str, Any] = {
    "metadata": {"name": "shop", "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["f"]},
    "spec": {
        "project": "shop",
        "source": {"repoURL": "https://g/x.git", "path": ".", "kustomize": {"images": ["a=b@c"]}},
        "destination": {"server": "https://k", "namespace": "shop"},
        "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]},
    },
}
PROJECT = {"metadata": {"name": "shop"}, "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*"}]}}
REPOSITORY = {"repo": "https://g/x.git", "type": "git", "name": "n", "username": "u", "password": "p"}
CALLS: dict[str, Callable[[ArgoCD], Awaitable[Any]]] = {
    "application": lambda it: it.application("shop", "p"),
    "applications": lambda it: it.applications("p", "a=b", name="shop"),
    "create_application": lambda it: it.create_application(APP),
    "patch_application": lambda it: it.patch_application("shop", "p", {"spec": {}}),
    "delete_application": lambda it: it.delete_application("shop", "p", cascade=False),
    "sync": lambda it: it.sync(
        "shop", "p", revision="main", infos={"a": "b"}, retry={"limit": 1, "backoff": {"duration": "2s", "factor": 2}}
    ),
    "terminate_operation": lambda it: it.terminate_operation("shop", "p"),
    "refresh": lambda it: it.refresh("shop", "p"),
    "resource_tree": lambda it: it.resource_tree("shop", "p"),
    "watch_applications": lambda it: first(it),
    "project": lambda it: it.project("shop"),
    "projects": lambda it: it.projects(),
    "create_project": lambda it: it.create_project(PROJECT),
    "update_project": lambda it: it.update_project({**PROJECT, "metadata": {"name": "shop", "resourceVersion": "1"}}),
    "delete_project": lambda it: it.delete_project("shop"),
    "repositories": lambda it: it.repositories(),
    "repository": lambda it: it.repository("https://g/x.git"),
    "create_repository": lambda it: it.create_repository(REPOSITORY, upsert=True),
    "update_repository": lambda it: it.update_repository(REPOSITORY),
    "retest_repository": lambda it: it.retest_repository(REPOSITORY["repo"]),
    "delete_repository": lambda it: it.delete_repository("https://g/x.git"),
    "version": lambda it: it.version(),
    "whoami": lambda it: it.whoami(),
    "can_i": lambda it: it.can_i("applications", "create", "team/*"),
}


class Noting:
    """A transport that gives every request the same agreeable answer."""

    def __init__(self) -> None:
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        answer = {
            "metadata": {"name": "shop"},
            "items": [{"repo": "https://g/x.git"}],
            "repo": "https://g/x.git",
            "loggedIn": True,
            "Version": "v3",
            "token": "t",
        }
        return Response(200, {"content-type": "application/json"}, json.dumps(answer).encode())

    def stream(self, request: Request) -> Any:
        self.sent.append(request)
        raise TimeoutError

    async def close(self) -> None:
        return None


async def first(client: ArgoCD) -> None:
    """Opens the watch, which is refused as soon as it was noted."""
    async with aclosing(client.watch_applications(project="p", name="shop", selector="a=b")) as events:
        with pytest.raises(ExternalServiceError):
            await anext(events)


def check(request: Request) -> None:
    body = request.body.decode() if request.body else ""
    argocd_swagger.check(request.method, request.url.removeprefix("https://argocd.example.com"), body)


@pytest.mark.parametrize("name", CALLS)
async def test_each_call_of_the_client_is_described(name: str) -> None:
    transport = Noting()
    await CALLS[name](ArgoCD(Http("argocd", "https://argocd.example.com", transport, FakeClock()), TokenAuth(str)))
    assert transport.sent
    for request in transport.sent:
        check(request)


async def test_the_login_is_described() -> None:
    transport, clock = Noting(), FakeClock()
    http = Http("argocd", "https://argocd.example.com", transport, clock)
    await SessionAuth(lambda: "u", lambda: "p", clock).token(http)
    check(transport.sent[0])


def test_no_call_of_the_client_is_left_out() -> None:
    public = {name for name, _ in inspect.getmembers(ArgoCD, inspect.isfunction) if not name.startswith("_")}
    assert public == set(CALLS)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "complaint"),
    [
        ("GET", "/api/v1/application", "", "", "is not described"),
        ("PUT", "/api/v1/applications/shop/sync", "", "{}", "is not described"),
        ("GET", "/api/v1/applications/shop", "projetc=p", "", "query projetc is not described"),
        ("POST", "/api/v1/applications", "upsert=1", "{}", "query upsert=1 is no boolean"),
        ("POST", "/api/v1/applications/shop/sync", "", "", "the body is missing"),
        ("DELETE", "/api/v1/applications/shop", "", "{}", "none is described"),
        ("POST", "/api/v1/applications/shop/sync", "", '{"prune": "yes"}', "body.prune is no boolean"),
        ("POST", "/api/v1/applications/shop/sync", "", '{"infos": [{"key": "a"}]}', r"body.infos\[0\].key"),
        ("POST", "/api/v1/applications", "", '{"spec": {"source": {"repoUrl": "x"}}}', "body.spec.source.repoUrl"),
    ],
)
def test_what_is_not_as_described_is_found(method: str, path: str, query: str, body: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        argocd_swagger.check(method, f"{path}?{query}", body)
