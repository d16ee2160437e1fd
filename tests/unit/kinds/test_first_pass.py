"""What is new is made and seen in one pass; what was there before is seen by the pass after the one that acts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import Waiting
from devops_reconciler.kinds import KINDS
from tests.unit.world import GIT_URL, TEAM

from .life import COMMIT, FINALIZER, Life, run

GIT = {"url": GIT_URL, "branch": COMMIT}
SPECS: dict[str, dict[str, Any]] = {
    "RegistrySettings": {},
    "JenkinsSettings": {"git": GIT},
    "ArgoSettings": {"git": GIT, "source": {"path": "deploy"}},
}
SAVE = "kubernetes.patch_status*"


def put(life: Life, kind: str, name: str = "shop", secret: str | None = None) -> None:
    metadata = {"name": name, "uid": f"uid-of-{name}", "finalizers": [FINALIZER]}
    spec = dict(SPECS[kind])
    if secret is not None:
        bound = {"freeleaps.com/git-host": GIT_URL.split("/")[2]}
        life.out.secret(secret, {"username": "git", "password": secret}, annotations=bound)
        spec["git"] = GIT | {"credentialsRef": {"name": secret}}
    life.out.kubernetes.put(KINDS[kind].kind, TEAM, {"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("kind", SPECS)
def test_a_new_object_is_ready_after_one_pass_with_a_save_before_and_one_after_what_it_does(kind: str) -> None:
    life = Life()
    put(life, kind)
    run(life.turn("shop", kind))
    assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    assert life.out.line.count(SAVE) == 2


@pytest.mark.parametrize("kind", ["JenkinsSettings", "ArgoSettings"])
def test_a_secret_is_read_once_in_a_pass(kind: str) -> None:
    life = Life()
    put(life, kind, secret="git")
    run(life.turn("shop", kind))
    assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    assert life.out.line.count("kubernetes.get Secret") == 1


@pytest.mark.parametrize(("secret", "updates"), [(None, 0), ("git", 1)])
def test_a_repository_with_a_login_that_others_use_already_costs_no_save_more(secret: str | None, updates: int) -> None:
    life = Life()
    for name in ("first", "second"):
        put(life, "ArgoSettings", name, secret if name == "second" else None)
        run(life.turn(name, "ArgoSettings"))
    assert life.reason("second", "Ready", "ArgoSettings") == "True/Succeeded"
    assert life.out.line.count("argocd.update_repository") == updates
    assert life.out.line.count(SAVE) == 4


def test_what_was_written_blindly_is_kept_where_the_look_afterwards_cannot_tell() -> None:
    life = Life()
    put(life, "ArgoSettings", "first")
    run(life.turn("first", "ArgoSettings"))
    put(life, "ArgoSettings", "second", secret="git")
    life.out.line.fail("argocd.project", Waiting("not yet", after=timedelta(seconds=1)), skip=1)
    run(life.turn("second", "ArgoSettings"))
    run(life.turn("second", "ArgoSettings"))
    assert life.reason("second", "Ready", "ArgoSettings") == "True/Succeeded"
    assert life.out.line.count("argocd.update_repository") == 1


def test_what_is_made_again_is_seen_by_the_next_pass() -> None:
    life = Life()
    put(life, "RegistrySettings")
    run(life.turn("shop", "RegistrySettings"))
    life.out.hub.held.clear()
    life.out.clock.advance(timedelta(minutes=1))
    run(life.turn("shop", "RegistrySettings"))
    assert life.out.line.count("dockerhub.create_repository") == 2
    assert life.verdicts[-1].results[0].state is StepState.RUNNING, "so that the drift is counted"
