"""A project: its children, what their state means for it, its history, and its orderly end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, NAMESPACE, SECRET
from tests.unit.world import GIT_URL, TEAM

from .life import PARTS, Life

CHILDREN = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")


def ready(**spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    return life


def parts(life: Life) -> dict[str, str | None]:
    return {part: life.reason("shop", part, "DevOpsProject") for part in PARTS}


async def test_a_project_has_four_children_of_its_own_name_which_it_owns() -> None:
    life = ready()
    for kind in CHILDREN:
        owners = life.see("shop", kind)["metadata"]["ownerReferences"]
        assert [(o["kind"], o["uid"], o["controller"]) for o in owners] == [("DevOpsProject", "uid-of-shop", True)]
    assert set(parts(life).values()) == {"True/Succeeded"}
    children = life.status("shop", "DevOpsProject")["children"]
    assert {(child["kind"], child["ready"]) for child in children} == {(kind, "True") for kind in CHILDREN}
    assert life.status("shop", "DevOpsProject")["observedGeneration"] == 1


async def test_what_is_made_outside_carries_the_projects_mark() -> None:
    life = ready()
    mark = life.out.argocd.apps["shop"]["metadata"]["annotations"]["freeleaps.com/mark"]
    assert mark in life.out.jenkins.folders[("shop",)]
    assert mark in life.out.hub.held["acme/shop"].repository.description
    assert life.out.argocd.app_projects["shop"]["metadata"]["annotations"]["freeleaps.com/mark"] == mark
    assert life.out.argocd.repos[0]["name"] == mark
    assert any(mark in r.data for r in life.out.godaddy.zones["example.com"] if r.type == "TXT")


async def test_a_stalled_child_stalls_the_project_with_its_reason_and_a_mended_one_mends_it() -> None:
    life = Life()
    life.out.hub.add("acme", "shop", "theirs")
    life.project()
    for _ in range(6):
        for kind in ("DevOpsProject", *CHILDREN):
            if life.out.kubernetes.see(KINDS[kind].kind, TEAM, "shop") is not None:
                await life.turn("shop", kind)
        life.out.clock.advance(timedelta(seconds=5))
    assert life.reason("shop", "Stalled", "DevOpsProject") == "True/OwnershipConflict"
    assert parts(life)["RegistryReady"] == "False/OwnershipConflict"
    assert parts(life)["JenkinsReady"] == "True/Succeeded"
    life.out.hub.held.clear()
    life.out.clock.advance(timedelta(minutes=5))
    life.set_up()
    assert life.reason("shop", "Stalled", "DevOpsProject") is None


async def test_a_child_that_cannot_be_read_for_a_moment_changes_no_condition() -> None:
    life = ready()
    before = life.status("shop", "DevOpsProject")["conditions"]
    life.out.line.fail("kubernetes.get ArgoSettings", ExternalServiceError("time-out", service="kubernetes"))
    life.out.clock.advance(timedelta(minutes=5))
    await life.turn("shop", "DevOpsProject")
    after = life.status("shop", "DevOpsProject")["conditions"]
    assert [c for c in after if c["type"] != "VendorDegraded"] == before


async def test_a_changed_spec_reaches_the_child_and_what_is_taken_back_goes() -> None:
    life = ready(jenkins={"scriptPath": "ci/Jenkinsfile", "parameters": {"KEY": "value"}})
    assert life.see("shop", "JenkinsSettings")["spec"]["scriptPath"] == "ci/Jenkinsfile"
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"jenkins": None}})
    await life.turn("shop", "DevOpsProject")
    spec = life.see("shop", "JenkinsSettings")["spec"]
    assert "scriptPath" not in spec
    assert "parameters" not in spec


async def test_a_changed_project_file_reaches_jenkins_once_and_stays_there() -> None:
    life = ready()
    life.out.git.commit(GIT_URL, "main", "f" * 40, b"jenkins: {scriptPath: ci/Jenkinsfile}\n")
    life.out.clock.advance(timedelta(minutes=6))
    mark = len(life.out.line.calls)
    for _ in range(6):
        verdict = await life.turn("shop", "JenkinsSettings")
        life.out.clock.advance(verdict.after or timedelta(minutes=5))
    assert life.out.line.since(mark).count("jenkins.update_config") == 1
    assert life.status("shop", "JenkinsSettings")["projectFile"]["jenkins"] == {"scriptPath": "ci/Jenkinsfile"}
    assert life.reason("shop", "Ready", "JenkinsSettings") == "True/Succeeded"


async def test_a_branch_that_is_changed_and_changed_back_has_its_own_project_file_at_once() -> None:
    life = ready()
    for branch, commit in (("main", "e"), ("dev", "f")):
        body = f"{{jenkins: {{scriptPath: {branch}/Jenkinsfile}}, argo: {{path: {branch}}}}}"
        life.out.git.commit(GIT_URL, branch, commit * 40, body.encode())
    life.out.clock.advance(timedelta(minutes=6))
    for branch in ("main", "dev", "main"):
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"git": {"branch": branch}}})
        for kind in ("DevOpsProject", *("JenkinsSettings",) * 4):
            await life.turn("shop", kind)
            life.out.clock.advance(timedelta(seconds=6))
        file = life.status("shop", "JenkinsSettings")["projectFile"]
        assert (file["jenkins"], file["argo"]) == ({"scriptPath": f"{branch}/Jenkinsfile"}, {"path": branch})
    mark = len(life.out.line.calls)
    await life.turn("shop", "JenkinsSettings")
    assert [call for call in life.out.line.since(mark) if call.startswith("git.")] == [], "and then once per interval"


async def test_what_is_taken_out_of_the_project_file_goes_from_the_status() -> None:
    life = ready()
    for commit, body in (
        ("e", b"{jenkins: {scriptPath: ci/Jenkinsfile}, argo: {path: ops}}"),
        ("f", b"argo: {path: ops}"),
    ):
        life.out.git.commit(GIT_URL, "main", commit * 40, body)
        for _ in range(6):
            life.out.clock.advance(timedelta(minutes=6))
            mark = len(life.out.line.calls)
            await life.turn("shop", "JenkinsSettings")
    file = life.status("shop", "JenkinsSettings")["projectFile"]
    assert (file["jenkins"], file["argo"]) == ({}, {"path": "ops"})
    assert not life.out.line.since(mark).count("kubernetes.patch_status JenkinsSettings")


@pytest.mark.parametrize("where", ["spec", "annotation"])
async def test_a_paused_project_changes_nothing_and_stays_ready(where: str) -> None:
    life = ready()
    patch: dict[str, Any] = {"spec": {"suspend": True}}
    if where == "annotation":
        patch = {"metadata": {"annotations": {"freeleaps.com/paused": "true"}}}
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", patch)
    mark = len(life.out.line.calls)
    await life.turn("shop", "DevOpsProject")
    assert life.reason("shop", "Suspended", "DevOpsProject") == "True/Paused"
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
    assert [call for call in life.out.line.since(mark) if not call.startswith("kubernetes.")] == []
    for kind in CHILDREN:
        assert life.see("shop", kind)["spec"]["suspend"] is True
        mark = len(life.out.line.calls)
        await life.turn("shop", kind)
        assert [call for call in life.out.line.since(mark) if not call.startswith("kubernetes.")] == []
        assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    await life.turn("shop", "DevOpsProject")
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"


async def test_old_records_go_and_those_that_hold_an_environment_stay() -> None:
    life = ready(historyLimit=1)
    for name in ("one", "two", "three"):
        life.out.clock.advance(timedelta(seconds=1))
        life.record(name)
        await life.live(name)
    await life.turn("shop", "DevOpsProject")
    going = {name for name in ("one", "two", "three") if life.is_deleted(name)}
    assert going == {"one", "two"}
    assert life.holder() == "three"


@pytest.mark.parametrize(
    ("error", "state", "within"),
    [
        (ExternalServiceError("503", service="kubernetes"), StepState.WAITING, timedelta(seconds=30)),
        (CredentialsError("may not list"), StepState.FAILED, timedelta(minutes=5)),
        (KeyError("oops"), StepState.WAITING, timedelta(minutes=1)),
    ],
)
async def test_what_is_new_is_told_also_where_old_records_cannot_be_removed(
    error: Exception, state: StepState, within: timedelta
) -> None:
    """The status says so by then: no later pass would find it new."""
    life = ready()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": []}})
    life.out.line.fail("kubernetes.list DeploymentRecord", error, times=2)
    verdict = await life.turn("shop", "DevOpsProject")
    assert ("Ready", "True") in {(each.type, each.status) for each in verdict.transitions}
    assert [(each.step, each.state) for each in verdict.results if not each.done] == [("history", state)]
    assert verdict.after is not None
    assert verdict.after <= within
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"


async def test_a_project_goes_in_order_the_records_first_the_image_repository_last() -> None:
    life = ready(components={"registry": {"deletionPolicy": "Delete"}})
    life.record("one", environment="pr-1")
    await life.live("one")
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    gone: list[str] = []
    for _ in range(60):
        if life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None:
            break
        await life.turn("shop", "DevOpsProject")
        for kind, name in (("DeploymentRecord", "one"), *((child, "shop") for child in CHILDREN)):
            there = life.out.kubernetes.see(KINDS[kind].kind, TEAM, name)
            if there is not None and there["metadata"].get("deletionTimestamp"):
                verdict = await life.turn(name, kind)
                if verdict.released:
                    gone.append(kind)
            elif there is None and kind not in gone:
                gone.append(kind)
        life.out.clock.advance(timedelta(seconds=5))
    assert gone == ["DeploymentRecord", "IngressResource", "ArgoSettings", "JenkinsSettings", "RegistrySettings"]
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert (life.out.jenkins.folders, life.out.argocd.apps, life.out.argocd.app_projects) == ({}, {}, {})
    assert (life.out.hub.held, life.out.argocd.repos, life.out.jenkins.stored) == ({}, [], {})
    assert life.out.godaddy.zones["example.com"] == []


async def test_what_pulls_the_images_of_production_goes_with_the_project_and_not_before() -> None:
    life = Life()
    life.out.secret("pull", {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    for name in ("one", "two"):
        life.out.clock.advance(timedelta(seconds=1))
        life.record(name)
        await life.live(name)
    await life.delete("one")
    assert life.out.kubernetes.see(SECRET, "shop", "pull") is not None, "two needs it"
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("two")
    assert life.out.kubernetes.see(SECRET, "shop", "pull") is None
    assert life.out.kubernetes.see(NAMESPACE, None, "shop") is not None, "the namespace of production stays"


async def test_an_orphaned_project_leaves_what_pulls_its_images() -> None:
    life = Life()
    life.out.secret("pull", {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}}, deletionPolicy="Orphan")
    life.set_up()
    life.record("one")
    await life.live("one")
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("one")
    assert life.out.kubernetes.see(SECRET, "shop", "pull") is not None


async def test_an_orphaned_project_leaves_its_things_with_their_marks() -> None:
    life = ready(deletionPolicy="Orphan")
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    for _ in range(30):
        if life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None:
            break
        await life.turn("shop", "DevOpsProject")
        for child in CHILDREN:
            there = life.out.kubernetes.see(KINDS[child].kind, TEAM, "shop")
            if there is not None and there["metadata"].get("deletionTimestamp"):
                await life.turn("shop", child)
        life.out.clock.advance(timedelta(seconds=5))
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert "freeleaps.com/mark" in life.out.argocd.apps["shop"]["metadata"]["annotations"]
    assert len(life.out.godaddy.zones["example.com"]) == 2
    assert life.out.jenkins.folders


async def test_a_deletion_that_a_record_holds_up_says_which_one() -> None:
    life = ready()
    life.record("one")
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.turn("shop", "DevOpsProject")
    assert life.see("one")["metadata"].get("deletionTimestamp")
    life.out.clock.advance(timedelta(minutes=10))
    await life.turn("shop", "DevOpsProject")
    stalled = life.condition("shop", "Stalled", "DevOpsProject")
    assert stalled is not None
    assert stalled["reason"] == "DeletionBlocked"
    assert "one" in stalled["message"]


async def test_an_unreadable_spec_is_one_clear_sentence_and_nothing_is_written_outside() -> None:
    life = Life()
    life.project(previews={"max": "many"})
    mark = len(life.out.line.calls)
    await life.turn("shop", "DevOpsProject")
    stalled = life.condition("shop", "Stalled", "DevOpsProject")
    assert stalled is not None
    assert stalled["reason"] == "InvalidSpec"
    assert "spec.previews.max" in stalled["message"]
    assert [c for c in life.out.line.since(mark) if "DevOpsProject" not in c and "DeploymentRecord" not in c] == []


async def test_two_projects_with_one_repository_are_both_set_up_and_the_first_may_go() -> None:
    life = ready()
    life.project("other", git={"url": GIT_URL}, ingress={"host": "other.example.com"})
    life.set_up("other")
    assert len(life.out.argocd.repos) == 1
    for kind in CHILDREN:
        life.out.kubernetes.mark_deleted(KINDS[kind].kind, TEAM, "shop")
    await life.delete("shop", "ArgoSettings")
    assert len(life.out.argocd.repos) == 1
    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one") is None
