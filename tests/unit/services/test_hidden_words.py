"""A project's password may be a word that a service uses: it is hidden in texts, and changes no meaning."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ConflictError, ReconcilerError, ValidationError, Waiting
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import Redactor
from devops_reconciler.services.argocd import ArgoCD, TokenAuth, outside_its_project
from devops_reconciler.services.argocd_calls import mixed_source, unreadable_repository
from devops_reconciler.services.dockerhub import DockerHub
from devops_reconciler.services.http import Http, Response
from devops_reconciler.services.jenkins import Jenkins

from .http_script import Script, http

WORDS = "already exist operation progress permitted multiple application testing repository result update project"
HUB_TOKEN = Response(200, {"content-type": "application/json"}, b'{"access_token": "token-of-the-hub"}')


def hiding(*answers: Response) -> Http:
    return http(Script(*answers)).hiding(Redactor(WORDS.split))


def said(status: int, message: str) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps({"message": message}).encode())


def argocd(*answers: Response) -> ArgoCD:
    return ArgoCD(hiding(*answers), TokenAuth(lambda: "t"))


async def error_of(call: Awaitable[object]) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as caught:
        await call
    assert not [word for word in WORDS.split() if word in str(caught.value).rpartition("): ")[2]]
    return caught.value


async def test_an_item_that_is_there_is_a_conflict() -> None:
    answer = Response(400, {"x-error": "A job already exists with the name ‘shop’", "x-jenkins": "2.5"})
    jenkins = Jenkins(hiding(answer), username=lambda: "u", token=lambda: "t")
    error = await error_of(jenkins.create_item((), "shop", b"<a/>"))
    assert type(error) is ConflictError
    assert "A job **** ****s with the name" in error.message


async def test_a_repository_that_is_there_is_a_conflict() -> None:
    there = Response(400, {"content-type": "text/plain"}, b"shop already exists")
    hub = DockerHub(hiding(HUB_TOKEN, there), username=lambda: "u", secret=lambda: "t", clock=FakeClock())
    with pytest.raises(ConflictError):
        await hub.create_repository("acme", "shop", description="", private=True)


async def test_an_operation_that_has_ended_needs_no_end() -> None:
    answer = said(400, "Unable to terminate operation. No operation is in progress")
    assert await argocd(answer).terminate_operation("shop", "shop") is False


@pytest.mark.parametrize(
    ("message", "kind", "means"),
    [
        ("another operation is already in progress", Waiting, lambda error: True),
        ("application repo is not permitted in project 'shop'", ValidationError, outside_its_project),
        ("multiple application sources defined: Kustomize,Helm", ValidationError, lambda e: mixed_source(e) is not e),
        ("existing application spec is different; use upsert flag to force update", ConflictError, lambda error: True),
        (
            "as a result of project update 1 applications",
            ValidationError,
            lambda error: "as a result of project update" in error.unhidden,
        ),
    ],
)
async def test_what_argo_cd_refuses_means_what_it_says(
    message: str, kind: type[ReconcilerError], means: Callable[[ReconcilerError], bool]
) -> None:
    error = await error_of(argocd(said(400, message)).create_project({"metadata": {"name": "shop"}}))
    assert type(error) is kind
    assert means(error)


async def test_a_repository_that_cannot_be_read_is_told_from_an_ill_argo_cd() -> None:
    answer = said(500, "error testing repository connectivity: authentication required")
    error = await error_of(hiding(answer).within(timedelta(seconds=1)).request("create", "GET", "/x"))
    assert isinstance(unreadable_repository(error), ValidationError)
