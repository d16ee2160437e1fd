"""What a project's author may try against others, and what the operator makes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.inputs.blocks import check_destination, preview_namespaces, preview_place
from devops_reconciler.runtime.settings import AllowList
from standins.argocd_rules import permitted_destination, permitted_source
from tests.unit.world import GIT_URL, TEAM, settings

from .life import Life, run

IN_CLUSTER = "https://kubernetes.default.svc"
RESERVED = ("kube-system", "kube-public", "argocd-main", "freeleaps-devops-system", TEAM)
PLACES = {"argocd_namespace": "argocd-main", "operator_namespace": "freeleaps-devops-system"}


def app_project(name: str, **changes: Any) -> dict[str, Any]:
    """The Argo CD project that is made for a project of this name."""
    life = Life(**PLACES, **changes)
    life.project(name)
    for _ in range(4):
        for kind in ("DevOpsProject", "JenkinsSettings", "ArgoSettings"):
            if kind == "DevOpsProject" or life.status(name, "DevOpsProject"):
                run(life.turn(name, kind))
        life.out.clock.advance(timedelta(seconds=5))
    return dict(life.out.argocd.app_projects[name])


@pytest.mark.parametrize("name", ["kube", "argocd", "freeleaps", "freeleaps-devops", "team", "shop"])
def test_manifests_reach_no_reserved_namespace_whatever_the_project_is_called(name: str) -> None:
    """Argo CD lets a manifest name its namespace: what the Argo CD project permits is what the author may reach."""
    made = app_project(name)
    assert [each for each in RESERVED if permitted_destination(made, IN_CLUSTER, each)] == []
    assert permitted_destination(made, IN_CLUSTER, name)
    assert not permitted_destination(made, "https://other.example:6443", name)
    assert not permitted_destination(made, IN_CLUSTER, "default")


def test_an_ordinary_project_reaches_its_previews_and_its_own_repository_only() -> None:
    made = app_project("shop")
    assert permitted_destination(made, IN_CLUSTER, "shop-pr-1")
    assert not permitted_destination(made, IN_CLUSTER, "shopping")
    assert permitted_source(made, GIT_URL)
    assert not permitted_source(made, GIT_URL.replace("shop", "other"))
    assert not made["spec"].get("clusterResourceWhitelist")


@pytest.mark.parametrize("environment", ["system", "public", "node-lease"])
def test_a_preview_never_becomes_a_namespace_of_the_system(environment: str) -> None:
    with pytest.raises(ValidationError):
        preview_place(settings(), TEAM, "kube", f"kube-{environment}")


def test_a_project_whose_previews_would_take_in_a_reserved_namespace_has_none_and_says_why() -> None:
    found = settings(**PLACES)
    assert preview_namespaces(found, TEAM, "freeleaps") == ()
    with pytest.raises(ValidationError, match="freeleaps has no previews"):
        preview_place(found, TEAM, "freeleaps", "freeleaps-pr-1")
    named = settings(**PLACES, allowed_destinations=AllowList.parse("freeleaps,freeleaps-pr-*"))
    assert preview_place(named, TEAM, "freeleaps", "freeleaps-pr-1").namespace == "freeleaps-pr-1"
    assert preview_namespaces(named, TEAM, "freeleaps") == ("freeleaps-pr-*",)


@pytest.mark.parametrize(
    ("allowed", "patterns", "reachable"),
    [
        (None, ("shop-*",), "shop-pr-1"),
        ("*", ("shop-*",), "shop-pr-1"),
        ("shop-*", ("shop-*",), "shop-pr-1"),
        ("shop,shop-pr-*", ("shop-pr-*",), "shop-pr-1"),
        ("*-preview", ("shop-*-preview",), "shop-pr-1-preview"),
        ("shop", (), None),
        ("other-*", (), None),
        ("team-a=shop-qa;team-b=*", ("shop-qa",), "shop-qa"),
    ],
)
def test_argo_cd_is_told_of_no_more_than_the_list_allows(
    allowed: str | None, patterns: tuple[str, ...], reachable: str | None
) -> None:
    found = settings(**({} if allowed is None else {"allowed_destinations": AllowList.parse(allowed)}))
    assert preview_namespaces(found, TEAM, "shop") == patterns
    if reachable is not None:
        check_destination(found, TEAM, "shop", reachable)
        assert preview_place(found, TEAM, "shop", reachable).namespace == reachable
