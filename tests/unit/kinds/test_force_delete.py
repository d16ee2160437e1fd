"""Forced deletion: an object whose deletion is blocked is let go, after a last try, and what may remain is listed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, Waiting
from devops_reconciler.kinds import KINDS, Verdict
from devops_reconciler.kinds.left_behind import LABEL, Asked, asked
from devops_reconciler.services.kubernetes import CONFIG_MAP, DEPLOYMENT_RECORD
from tests.unit.world import ME, TEAM

from .life import FINALIZER, Life, run

OPERATOR = "devops-system"
FORCE = "freeleaps.com/force-delete"
DEAD = ExternalServiceError("jenkins: no answer", service="jenkins")
REFUSED = CredentialsError("dockerhub: delete repository: 403; this token may not delete", status=403)


def set_up(**spec: Any) -> Life:
    life = Life()
    life.out.namespace(OPERATOR)
    life.project(deletionPolicy="Delete", components={"registry": {"deletionPolicy": "Delete"}}, **spec)
    life.set_up()
    return life


def child(life: Life, kind: str) -> None:
    """A child on its own: as after its project has asked for its deletion."""
    life.out.kubernetes.mark_deleted(KINDS[kind].kind, TEAM, "shop")


def force(life: Life, kind: str, value: str = "alice", name: str = "shop") -> None:
    life.out.kubernetes.change(KINDS[kind].kind, TEAM, name, {"metadata": {"annotations": {FORCE: value}}})


def passes(life: Life, kind: str, most: int = 40, seconds: float = 5, name: str = "shop") -> Verdict | None:
    """Passes until the object is released; None when it is not."""
    for _ in range(most):
        verdict: Verdict = run(life.turn(name, kind))
        if verdict.released:
            return verdict
        life.out.clock.advance(max(verdict.after or timedelta(0), timedelta(seconds=seconds)))
    return None


def ledgers(life: Life) -> list[dict[str, Any]]:
    found = [obj for (kind, _, _), obj in life.out.kubernetes.objects.items() if kind == CONFIG_MAP.kind]
    assert all(obj["metadata"]["labels"][LABEL] == "true" for obj in found)
    assert all(obj["metadata"]["namespace"] == OPERATOR for obj in found)
    return [{name.removesuffix(".json"): json.loads(text) for name, text in obj["data"].items()} for obj in found]


def left(life: Life) -> list[tuple[str, str]]:
    return sorted((thing["service"], thing["id"]) for ledger in ledgers(life) for thing in ledger["things"])


def test_without_the_annotation_a_blocked_deletion_waits_for_ever_and_names_the_way_out() -> None:
    life = set_up()
    life.out.line.fail("jenkins.*", DEAD, times=10_000)
    child(life, "JenkinsSettings")
    assert passes(life, "JenkinsSettings") is None
    stalled = life.condition("shop", "Stalled", "JenkinsSettings")
    assert stalled is not None
    assert stalled["reason"] == "DeletionBlocked"
    way_out = f"kubectl annotate jenkinssettings shop -n {TEAM} freeleaps.com/force-delete=YOUR-NAME"
    assert way_out in stalled["message"]
    assert ledgers(life) == []


@pytest.mark.parametrize("value", ["", "false", "False"])
def test_an_annotation_that_says_no_is_none(value: str) -> None:
    life = set_up()
    life.out.line.fail("jenkins.*", DEAD, times=10_000)
    child(life, "JenkinsSettings")
    force(life, "JenkinsSettings", value)
    assert passes(life, "JenkinsSettings") is None


def test_with_a_dead_vendor_the_object_goes_and_all_that_may_remain_is_listed() -> None:
    life = set_up()
    life.out.line.fail("jenkins.*", DEAD, times=10_000)
    child(life, "JenkinsSettings")
    passes(life, "JenkinsSettings", most=10)
    force(life, "JenkinsSettings")
    verdict = passes(life, "JenkinsSettings", most=80)
    assert verdict is not None
    assert left(life) == [
        ("jenkins", "shop"),
        ("jenkins", "shop/git"),
        ("jenkins", "shop/registry"),
        ("jenkins", "shop/shop"),
    ]
    (ledger,) = ledgers(life)
    assert (ledger["object"]["kind"], ledger["object"]["name"], ledger["object"]["askedBy"]) == (
        "JenkinsSettings",
        "shop",
        "alice",
    )
    assert {thing["mark"] for thing in ledger["things"]} == {ME}
    assert {thing["error"] for thing in ledger["things"]} == {"jenkins: no answer"}
    assert all(thing["at"] for thing in ledger["things"])
    assert "jenkins-git-secret" not in json.dumps(ledger)
    news = next(item for item in verdict.transitions if item.type == "ForceDeleted")
    assert "alice" in news.message
    assert "JenkinsJob shop/shop" in news.message
    assert [thing["id"] for thing in verdict.left] == [thing["id"] for thing in ledger["things"]]


def test_refused_credentials_are_let_go_at_the_second_refusal_without_waiting_for_a_time_out() -> None:
    life = set_up()
    life.out.line.fail("dockerhub.delete_repository", REFUSED, times=10_000)
    child(life, "RegistrySettings")
    force(life, "RegistrySettings", "bob")
    deleted = life.out.clock.now()
    assert passes(life, "RegistrySettings", seconds=0.1) is not None
    assert life.out.clock.now() - deleted < life.out.world.settings.cleanup_timeout
    assert left(life) == [("dockerhub", "acme/shop")]
    assert "this token may not delete" in ledgers(life)[0]["things"][0]["error"]
    assert life.out.line.count("dockerhub.delete_repository") == 2


def test_what_can_be_removed_is_removed_and_is_not_in_the_ledger() -> None:
    life = set_up()
    life.out.line.fail("argocd.delete_repository", REFUSED, times=10_000)
    child(life, "ArgoSettings")
    force(life, "ArgoSettings")
    assert passes(life, "ArgoSettings", seconds=1) is not None
    assert [service for service, _ in left(life)] == ["argocd"]
    assert life.out.argocd.apps == {}
    assert life.out.argocd.app_projects == {}


def test_the_annotation_alone_lets_go_of_nothing_that_can_be_removed() -> None:
    life = set_up()
    life.out.line.fail("jenkins.*", DEAD, times=1)
    child(life, "JenkinsSettings")
    force(life, "JenkinsSettings")
    assert passes(life, "JenkinsSettings") is not None
    assert ledgers(life) == []
    assert (life.out.jenkins.configs, life.out.jenkins.folders) == ({}, {})


def test_an_ill_vendor_is_given_the_time_of_a_normal_clean_up() -> None:
    life = set_up()
    life.out.line.fail("jenkins.*", DEAD, times=10_000)
    child(life, "JenkinsSettings")
    force(life, "JenkinsSettings")
    deleted = life.out.clock.now()
    assert passes(life, "JenkinsSettings", most=200, seconds=1) is not None
    assert life.out.clock.now() - deleted > life.out.world.settings.cleanup_timeout


def test_what_hangs_in_its_own_deletion_is_let_go_and_what_it_held_up_is_removed() -> None:
    life = set_up()
    life.out.argocd.slow_deletion = True
    child(life, "ArgoSettings")
    passes(life, "ArgoSettings", most=5)
    assert ledgers(life) == []
    force(life, "ArgoSettings")
    assert passes(life, "ArgoSettings", most=200, seconds=2) is not None
    assert ("argocd", "shop") in left(life)
    assert life.out.argocd.repos == [], "the repository's turn has come after the application"


async def test_one_error_is_no_hopeless_removal_though_nobody_has_looked_for_long() -> None:
    """What only takes long has not failed: its first error is followed by another try."""
    life = set_up()
    life.record("one", environment="pr-1")
    await life.live("one")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")
    force(life, "DeploymentRecord", name="one")
    life.out.clock.advance(timedelta(hours=1))
    life.out.argocd.slow_deletion = True
    verdict = await life.turn("one")
    life.out.line.fail("argocd.*", ExternalServiceError("argocd: 503", service="argocd"))
    life.out.clock.advance(verdict.after or timedelta(seconds=1))
    await life.turn("one")
    life.out.argocd.finish("shop-pr-1")
    for _ in range(30):
        if verdict.released:
            break
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
        verdict = await life.turn("one")
    assert verdict.released
    assert left(life) == []
    assert "shop-pr-1" not in life.out.argocd.apps


async def test_a_project_passes_the_force_on_to_what_goes_with_it() -> None:
    life = set_up()
    life.record("one", environment="pr-1")
    await life.live("one")
    life.out.line.fail("jenkins.*", DEAD, times=10_000)
    life.out.kubernetes.mark_deleted(KINDS["DevOpsProject"].kind, TEAM, "shop")
    for _ in range(3):
        await life.turn("shop", "DevOpsProject")
        await life.turn("one")
        life.out.clock.advance(timedelta(seconds=400))
    force(life, "DevOpsProject", "carol")
    for _ in range(60):
        for kind in ("DeploymentRecord", "DevOpsProject", *(k for k in KINDS if k not in ("DevOpsProject",))):
            name = "one" if kind == "DeploymentRecord" else "shop"
            if life.out.kubernetes.see(KINDS[kind].kind, TEAM, name) is not None:
                await life.turn(name, kind)
        life.out.clock.advance(timedelta(seconds=40))
    ours = [key for key in life.out.kubernetes.objects if key[0] in KINDS]
    assert ours == []
    assert {ledger["object"]["askedBy"] for ledger in ledgers(life)} == {"carol"}
    assert {service for service, _ in left(life)} == {"jenkins"}
    assert life.out.hub.held == {}
    assert life.out.argocd.apps == {}


def test_a_ledger_that_cannot_be_written_holds_the_object() -> None:
    life = set_up()
    life.out.line.fail("dockerhub.delete_repository", REFUSED, times=10_000)
    child(life, "RegistrySettings")
    force(life, "RegistrySettings")
    life.out.line.fail(
        "kubernetes.apply ConfigMap", ExternalServiceError("kubernetes: 503", service="kubernetes"), times=1
    )
    with pytest.raises(ExternalServiceError):
        passes(life, "RegistrySettings", seconds=0.1)
    assert FINALIZER in life.see("shop", "RegistrySettings")["metadata"]["finalizers"]
    assert passes(life, "RegistrySettings", seconds=0.1) is not None
    assert left(life) == [("dockerhub", "acme/shop")]


def test_in_a_namespace_that_is_going_the_log_alone_has_the_ledger() -> None:
    life = set_up()
    life.out.line.fail("dockerhub.delete_repository", REFUSED, times=10_000)
    child(life, "RegistrySettings")
    force(life, "RegistrySettings")
    gone = Waiting("Kubernetes: apply ConfigMap: 403 it is being terminated", after=timedelta(seconds=5))
    life.out.line.fail("kubernetes.apply ConfigMap", gone, times=10_000)
    verdict = passes(life, "RegistrySettings", seconds=0.1)
    assert verdict is not None
    assert "the operator's log" in verdict.transitions[-1].message


def test_who_asked_is_taken_from_the_value_and_from_what_the_api_server_knows() -> None:
    managed = {
        "manager": "kubectl-annotate",
        "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{FORCE}": {}}}},
    }
    obj = {"kind": "DevOpsProject", "metadata": {"annotations": {FORCE: "alice"}, "managedFields": [managed]}}
    assert asked(obj) == Asked("alice", "kubectl-annotate", "2026-01-01T00:00:00Z")
    assert str(asked(obj)) == "alice with kubectl-annotate 2026-01-01T00:00:00Z"
