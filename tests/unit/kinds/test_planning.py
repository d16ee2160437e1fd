"""`mode: Plan`: every call that applying would make is listed, and none is made."""

from __future__ import annotations

from typing import Any

from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life

CHILDREN = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
READS = ("get", "list", "item", "config", "credential", "repository", "application", "project", "resolve", "read_file")


def planned(**spec: Any) -> Life:
    life = Life()
    life.project(mode="Plan", **spec)
    return life


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


async def test_a_plan_of_what_is_there_has_no_writes() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Plan"}})
    mark = len(life.out.line.calls)
    await life.turn("shop", "DevOpsProject")
    assert written(life, mark) == []
    of_the_children = [call for call in plan(life) if call.get("object")]
    assert [call for call in of_the_children if call["action"] in ("Create", "Delete")] == []


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
