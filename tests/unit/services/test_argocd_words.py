"""What Argo CD says of an application reaches people: without secrets, and nothing else of it is changed."""

from __future__ import annotations

import json
from typing import Any

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import Redactor
from devops_reconciler.runtime.secrets import basic
from devops_reconciler.services.argocd import ArgoCD, TokenAuth
from devops_reconciler.services.argocd_view import ApplicationView, failing_resources
from devops_reconciler.services.http import Http, Response

from .http_script import SECRET, Script

LOGIN = basic("reader", SECRET)
FAILED_JOB = {"kind": "Job", "name": "a", "status": "SyncFailed", "message": SECRET}
APP: dict[str, Any] = {
    "metadata": {"name": "shop"},
    "spec": {"project": "shop", "source": {"helm": {"valuesObject": {"message": SECRET}}}},
    "status": {
        "health": {"status": "Degraded", "message": f"exec: {SECRET}"},
        "conditions": [{"type": "ComparisonError", "message": f"https://reader:{SECRET}@git.example.com: refused"}],
        "operationState": {
            "phase": "Failed",
            "message": f"sent Authorization: Basic {LOGIN}",
            "syncResult": {"resources": [FAILED_JOB]},
        },
    },
}
TREE: dict[str, Any] = {
    "nodes": [
        {"kind": "Pod", "name": "shop-1", "health": {"status": "Degraded", "message": f"exit 1: --token={SECRET}"}},
        {"kind": "Service", "name": "shop"},
    ]
}


def argocd(*answers: Response) -> ArgoCD:
    http = Http("argocd", "https://cd.example.com", Script(*answers), FakeClock())
    return ArgoCD(http.hiding(Redactor(lambda: [SECRET, LOGIN])), TokenAuth(lambda: "t"))


def answer(value: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())


async def test_what_an_application_says_is_told_without_secrets() -> None:
    absent = answer({"code": 5, "message": "not found"}, 404)
    elsewhere = {**APP, "spec": {**APP["spec"], "project": "team"}}
    found = [
        (APP, await argocd(answer(APP)).application("shop", "shop")),
        (elsewhere, await argocd(absent, answer({"items": [elsewhere]})).application("shop", "shop")),
        (APP, (await argocd(answer({"items": [APP]})).applications(name="shop"))[0]),
    ]
    for sent, app in found:
        assert app is not None
        view = ApplicationView(app)
        assert view.operation_message == "sent Authorization: Basic ****; Job a: ****"
        assert view.conditions == ("ComparisonError: https://reader:****@git.example.com: refused",)
        assert view.health_message == "exec: ****"
        assert (view.operation_phase, view.health) == ("Failed", "Degraded")
        assert app["spec"] == sent["spec"]


async def test_what_its_objects_say_is_told_without_secrets() -> None:
    tree = await argocd(answer(TREE)).resource_tree("shop", "shop")
    assert failing_resources(tree or {}) == ["Pod shop-1: Degraded: exit 1: --token=****"]


async def test_what_has_no_secret_in_it_stays_as_it_is() -> None:
    plain = {"metadata": {"name": "shop"}, "status": {"health": {"message": "fine"}, "resources": None}}
    assert await argocd(answer(plain)).application("shop", "shop") == plain


async def test_what_was_hidden_is_judged_as_it_was_said() -> None:
    """A word that Argo CD uses may be somebody's password."""
    state = {"message": f"rpc error: {SECRET}: dial tcp", "syncResult": {"resources": [FAILED_JOB]}}
    said = {"metadata": {"name": "shop"}, "spec": {"project": "shop"}, "status": {"operationState": state}}
    app = await argocd(answer(said)).application("shop", "shop")
    view = ApplicationView(app or {})
    assert SECRET not in json.dumps(app) + view.operation_message
    assert view.operation_says(f"error: {SECRET}")
    assert view.operation_says("no", f"Job a: {SECRET}")
    assert not view.operation_says("****", "Job b")
