"""A project whose manifests are in the repository of another namespace, and whose own Git login tells nothing of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.names import mark
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import CLUSTER, TEAM

from .life import Life, run

KIND = "ArgoSettings"
OWNERS = "team-b"
URL = "https://git.example.com/team-b/private.git"
HIDDEN = "team-b-git"


def settled(secret: str | None, **spec: Any) -> Life:
    """Team B has the repository; our project names it for its manifests."""
    life = Life(reconciler_namespaces=(TEAM, OWNERS))
    git: dict[str, Any] = {"url": URL} | ({"credentialsRef": {"name": secret}} if secret else {})
    value = {"url": URL, "username": "ann" if secret else "", "secret": secret}
    entry = {"step": "repository", "kind": "ArgoRepository", "key": URL, "value": value, "state": "active"}
    obj = {"metadata": {"name": "theirs", "uid": "uid-of-theirs"}, "spec": {"git": git}, "status": {"applied": [entry]}}
    life.out.kubernetes.put(ARGO_SETTINGS, OWNERS, obj)
    login = {"username": "ann", "password": "theirs"} if secret else {}
    life.out.argocd.repos.append({"repo": URL, "name": mark(CLUSTER, OWNERS, "uid-of-theirs"), **login})
    life.project(argo={"source": {"repoURL": URL, "path": "deploy"}}, **spec)
    return life


def passes(life: Life, count: int = 6) -> None:
    for _ in range(count):
        for kind in ("DevOpsProject", "RegistrySettings", "JenkinsSettings", KIND, "IngressResource"):
            if kind == "DevOpsProject" or life.status("shop", "DevOpsProject").get("applied"):
                run(life.turn("shop", kind))
        life.out.clock.advance(timedelta(seconds=5))


@pytest.mark.parametrize("adoption", ["Never", "Always"])
def test_manifests_that_only_the_login_of_another_namespace_reads_are_not_deployed(adoption: str) -> None:
    life = settled(HIDDEN, adoption=adoption)
    there = dict(life.out.argocd.repos[0])
    passes(life)
    assert life.reason("shop", "Ready", KIND) == "False/OwnershipConflict"
    said = life.condition("shop", "Ready", KIND)
    assert said is not None
    assert "team-b/theirs" in said["message"]
    assert HIDDEN not in said["message"]
    assert life.out.argocd.repos == [there]
    assert (life.out.argocd.apps, life.out.argocd.app_projects) == ({}, {})


def test_manifests_that_need_no_secret_are_shared_between_namespaces() -> None:
    life = settled(None)
    life.set_up()
    assert life.out.argocd.apps["shop"]["spec"]["source"]["repoURL"] == URL


def test_a_repository_whose_login_is_withdrawn_is_open_at_the_next_look() -> None:
    life = settled(HIDDEN)
    passes(life)
    theirs = life.out.kubernetes.objects[ARGO_SETTINGS.kind, OWNERS, "theirs"]
    theirs["spec"]["git"].pop("credentialsRef")
    theirs["status"]["applied"][0]["value"] = {"url": URL, "username": "", "password_version": ""}
    life.set_up()
    assert "shop" in life.out.argocd.apps
