"""`mode: Plan`: every call that applying would make is listed, and none is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from devops_reconciler.inputs.subject import REQUESTED_ANNOTATION
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life

CHILDREN = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
READS = ("get", "list", "item", "config", "credential", "repository", "application", "project", "resolve", "read_file")


def planned(**spec: Any) -> Life:
    life = Life()
    life.project(mode="Plan", **spec)
    return life


def live_project_that_plans(**spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Plan"}})
    return life


async def looked_at(life: Life) -> None:
    """A poll of everything that is there, and the project's look at what came of it."""
    for kind in ("DevOpsProject", *CHILDREN, "DevOpsProject"):
        await life.turn("shop", kind)
    life.out.clock.advance(timedelta(minutes=6))


def plan(life: Life) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = life.status("shop", "DevOpsProject")["plan"]
    return found


def written(life: Life, mark: int = 0) -> list[str]:
    """Calls that change something, but for the status of the project."""
    calls = [call.partition(" ")[0].partition(".")[2] for call in life.out.line.since(mark)]
    return [c for c in calls if c not in (*READS, "zone_records", "records", "shows", "patch_status")]


async def test_nothing_is_made_and_everything_is_listed_in_order() -> None:
    life = planned()
    await life.turn("shop", "DevOpsProject")
    assert written(life) == []
    assert life.out.kubernetes.writes == [("status", "DevOpsProject", "shop")]
    steps = [(call.get("object"), call["step"], call["action"]) for call in plan(life)]
    makes = [(of, step) for of, step, action in steps if action == "Create"]
    assert (None, "RegistrySettings") in makes
    assert ("RegistrySettings", "repository") in makes
    assert ("JenkinsSettings", "folder") in makes
    assert ("ArgoSettings", "application") in makes
    assert ("IngressResource", "dns") in makes
    assert life.reason("shop", "Ready", "DevOpsProject") == "Unknown/Planned"


async def test_a_plan_of_what_is_there_has_no_calls_and_only_has_the_children_plan_too() -> None:
    life = live_project_that_plans()
    mark = len(life.out.line.calls)
    await life.turn("shop", "DevOpsProject")
    assert written(life, mark) == ["merge_patch"] * len(CHILDREN)
    assert [life.see("shop", kind)["spec"]["mode"] for kind in CHILDREN] == ["Plan"] * len(CHILDREN)
    for _ in range(3):
        await looked_at(life)
        assert plan(life) == []
        assert {life.reason("shop", "Ready", kind) for kind in ("DevOpsProject", *CHILDREN)} == {"Unknown/Planned"}
    mark = len(life.out.kubernetes.writes)
    await looked_at(life)
    assert life.out.kubernetes.writes[mark:] == []


async def test_a_live_project_that_plans_repairs_nothing_until_it_applies_again() -> None:
    life = live_project_that_plans()
    await looked_at(life)
    held = life.out.hub.held["acme/shop"]
    held.repository = replace(held.repository, private=False)
    mark = len(life.out.line.calls)
    await looked_at(life)
    await looked_at(life)
    assert written(life, mark) == []
    assert [(c["step"], c["action"], c["fields"]) for c in plan(life)] == [("repository", "Update", ["private"])]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Apply"}})
    life.set_up()
    assert life.out.hub.held["acme/shop"].repository.private
    assert [life.see("shop", kind)["spec"]["mode"] for kind in CHILDREN] == ["Apply"] * len(CHILDREN)
    assert not any(life.status("shop", kind).get("plan") for kind in ("DevOpsProject", *CHILDREN))


async def test_a_plan_of_a_change_has_the_child_that_would_be_written_and_no_other() -> None:
    life = live_project_that_plans(jenkins={"scriptPath": "ci/Jenkinsfile"})
    await looked_at(life)
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"jenkins": {"scriptPath": "other"}}})
    await looked_at(life)
    assert [(c["step"], c["action"]) for c in plan(life)] == [("JenkinsSettings", "Update"), ("job", "Update")]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"jenkins": {"scriptPath": None}}})
    await looked_at(life)
    assert [(c["step"], c["action"]) for c in plan(life)] == [("JenkinsSettings", "Update"), ("job", "Update")]


async def test_children_of_a_project_that_plans_plan_again_after_a_pause() -> None:
    life = live_project_that_plans()
    await looked_at(life)
    for suspended in (True, False):
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": suspended}})
        await looked_at(life)
        assert {life.see("shop", kind)["spec"]["suspend"] for kind in CHILDREN} == {suspended}


async def test_a_project_that_plans_leaves_the_child_of_another_one_as_it_is() -> None:
    life = live_project_that_plans()
    foreign = {"ownerReferences": [{"kind": "DevOpsProject", "name": "shop", "uid": "another", "controller": True}]}
    life.out.kubernetes.change(KINDS["ArgoSettings"].kind, TEAM, "shop", {"metadata": foreign})
    await life.turn("shop", "DevOpsProject")
    assert life.see("shop", "ArgoSettings")["spec"]["mode"] == "Apply"


async def test_a_plan_says_what_would_be_refused() -> None:
    life = planned()
    life.out.hub.add("acme", "shop", "theirs")
    await life.turn("shop", "DevOpsProject")
    refused = [call for call in plan(life) if call["action"] in ("Refused", "Fail")]
    assert refused
    assert "adoption" in refused[0]["message"]


async def test_a_plan_becomes_true_when_it_is_applied_and_then_it_is_gone() -> None:
    life = planned()
    await life.turn("shop", "DevOpsProject")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Apply"}})
    life.set_up()
    assert "shop" in life.out.argocd.apps
    assert not life.status("shop", "DevOpsProject").get("plan")


async def test_looking_at_a_plan_again_writes_nothing() -> None:
    life = planned()
    await life.turn("shop", "DevOpsProject")
    writes = len(life.out.kubernetes.writes)
    await life.turn("shop", "DevOpsProject")
    assert len(life.out.kubernetes.writes) == writes


async def test_a_plan_holds_no_secret() -> None:
    life = planned()
    await life.turn("shop", "DevOpsProject")
    text = str(life.status("shop", "DevOpsProject"))
    for secret in ("git-secret", "jenkins-git-secret", "push-secret", "argo-token"):
        assert secret not in text


async def test_a_plan_that_was_asked_for_is_acknowledged() -> None:
    life = planned()
    await life.turn("shop", "DevOpsProject")
    asked = {"metadata": {"annotations": {REQUESTED_ANNOTATION: "now"}}}
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", asked)
    await life.turn("shop", "DevOpsProject")
    assert life.status("shop", "DevOpsProject")["lastHandledReconcileAt"] == "now"
