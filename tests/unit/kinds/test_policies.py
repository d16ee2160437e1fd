"""The policies of a project, as they show in its parts: what is left alone, taken over, repaired or only told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS
from tests.unit.world import ME, OTHER, TEAM

from .life import Life

PARTS = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")


async def looked_at(life: Life, times: int = 4, minutes: float = 6) -> None:
    """Some polls of everything that is there."""
    for _ in range(times):
        for kind in ("DevOpsProject", *PARTS):
            if life.out.kubernetes.see(KINDS[kind].kind, TEAM, "shop") is not None:
                await life.turn("shop", kind)
        life.out.clock.advance(timedelta(minutes=minutes))


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


def ready(**spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    return life


def outside_calls(life: Life, since: int) -> list[str]:
    return [call for call in life.out.line.since(since) if not call.startswith("kubernetes.")]


def somebody_makes_it_public(life: Life) -> None:
    held = life.out.hub.held["acme/shop"]
    held.repository = replace(held.repository, private=False)


# managementPolicies


async def test_no_policies_at_all_pause_and_one_given_back_goes_on() -> None:
    life = ready()
    change(life, managementPolicies=[])
    await life.turn("shop", "DevOpsProject")
    mark = len(life.out.line.calls)
    somebody_makes_it_public(life)
    await looked_at(life)
    assert outside_calls(life, mark) == []
    for kind in ("DevOpsProject", *PARTS):
        assert life.reason("shop", "Suspended", kind) == "True/Paused"
        assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    change(life, managementPolicies=["Observe", "Create", "Update", "Delete"])
    await looked_at(life)
    assert life.condition("shop", "Suspended", "RegistrySettings") is None
    assert life.out.hub.held["acme/shop"].repository.private


async def test_to_observe_alone_creates_nothing_and_says_what_is_missing() -> None:
    life = Life()
    life.project(managementPolicies=["Observe"])
    await looked_at(life)
    assert (life.out.hub.held, life.out.jenkins.folders, life.out.argocd.apps) == ({}, {}, {})
    found = life.condition("shop", "Ready", "RegistrySettings")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "DependencyNotReady")
    assert "managementPolicies do not allow to create it" in found["message"]


async def test_to_observe_alone_tells_of_changes_and_leaves_them() -> None:
    life = ready()
    change(life, managementPolicies=["Observe"])
    somebody_makes_it_public(life)
    await looked_at(life)
    assert not life.out.hub.held["acme/shop"].repository.private
    assert life.reason("shop", "Drifted", "RegistrySettings") == "True/Drifted"


async def test_without_delete_a_deletion_leaves_everything() -> None:
    life = ready(managementPolicies=["Observe", "Create", "Update"])
    before = (dict(life.out.hub.held), dict(life.out.jenkins.folders), dict(life.out.argocd.apps))
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await looked_at(life, times=8, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert (life.out.hub.held, life.out.jenkins.folders, life.out.argocd.apps) == before


# driftPolicy


@pytest.mark.parametrize("component", [False, True], ids=["for all", "for one component"])
async def test_drift_is_reported_by_the_names_of_the_fields_or_repaired(component: bool) -> None:
    spec: dict[str, Any] = {"driftPolicy": "Report"}
    if component:
        spec = {"components": {"registry": {"driftPolicy": "Report"}, "argo": {"driftPolicy": "Report"}}}
    life = ready(**spec)
    somebody_makes_it_public(life)
    life.out.argocd.apps["shop"]["spec"]["source"]["path"] = "s3cret-path"
    await looked_at(life)
    assert not life.out.hub.held["acme/shop"].repository.private
    assert life.reason("shop", "Drifted", "RegistrySettings") == "True/Drifted"
    told = life.condition("shop", "Drifted", "ArgoSettings")
    assert told is not None
    assert "path" in told["message"]
    assert "s3cret-path" not in told["message"]
    change(life, driftPolicy="Repair", components={"registry": None, "argo": None})
    await looked_at(life)
    assert life.out.hub.held["acme/shop"].repository.private
    assert life.out.argocd.apps["shop"]["spec"]["source"]["path"] == "."
    assert life.condition("shop", "Drifted", "RegistrySettings") is None


# adoption


@pytest.mark.parametrize(
    ("adoption", "there", "taken"),
    [
        ("Never", "theirs", False),
        ("Never", f"theirs ({OTHER})", False),
        ("IfUnowned", "theirs", True),
        ("IfUnowned", f"theirs ({OTHER})", False),
        ("Always", f"theirs ({OTHER})", True),
    ],
)
async def test_what_is_there_already_is_taken_over_only_as_adoption_says(
    adoption: str, there: str, taken: bool
) -> None:
    life = Life()
    life.out.hub.add("acme", "shop", there)
    life.project(components={"registry": {"adoption": adoption}})
    await looked_at(life, times=6, minutes=0.1)
    description = life.out.hub.held["acme/shop"].repository.description
    if taken:
        assert ME in description
        assert life.reason("shop", "Ready", "RegistrySettings") == "True/Succeeded"
    else:
        assert description == there
        assert life.reason("shop", "Conflict", "RegistrySettings") == "True/OwnershipConflict"
        assert life.out.line.count("dockerhub.update_repository") == 0


# suspend, and the annotation


@pytest.mark.parametrize("how", ["suspend", "no policies", "true", "all"])
async def test_a_deployment_waits_while_its_project_is_paused(how: str) -> None:
    life = ready()
    if how == "suspend":
        change(life, suspend=True)
    elif how == "no policies":
        change(life, managementPolicies=[])
    else:
        patch = {"metadata": {"annotations": {"freeleaps.com/paused": how}}}
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", patch)
    life.record("one")
    for _ in range(3):
        await life.turn("one")
        life.out.clock.advance(timedelta(minutes=1))
    assert life.reason("one", "Ready") == "Unknown/Paused"
    assert life.out.jenkins.triggers == []
    change(life, suspend=False, managementPolicies=["Observe", "Create", "Update", "Delete"])
    life.out.kubernetes.change(
        DEVOPS_PROJECT, TEAM, "shop", {"metadata": {"annotations": {"freeleaps.com/paused": None}}}
    )
    await looked_at(life, minutes=0.1)
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


@pytest.mark.parametrize(("paused", "goes"), [("true", True), ("all", False)])
async def test_a_pause_holds_the_deletion_only_where_it_says_all(paused: str, goes: bool) -> None:
    life = ready(components={"registry": {"deletionPolicy": "Delete"}})
    kind = KINDS["RegistrySettings"].kind
    patch = {"metadata": {"annotations": {"freeleaps.com/paused": paused, "freeleaps.com/force-delete": "alice"}}}
    life.out.kubernetes.change(kind, TEAM, "shop", patch)
    life.out.kubernetes.mark_deleted(kind, TEAM, "shop")
    for _ in range(5):
        if life.out.kubernetes.see(kind, TEAM, "shop") is not None:
            verdict = await life.turn("shop", "RegistrySettings")
            assert verdict.released or verdict.after, "nobody tells of a change during a deletion"
        life.out.clock.advance(timedelta(minutes=10))
    assert (life.out.kubernetes.see(kind, TEAM, "shop") is None) is goes
    assert ("acme/shop" not in life.out.hub.held) is goes
    if not goes:
        assert life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"
        life.out.kubernetes.change(kind, TEAM, "shop", {"metadata": {"annotations": {"freeleaps.com/paused": None}}})
        await life.live("shop", kind="RegistrySettings")
        assert life.out.hub.held == {}


# deletionPolicy


@pytest.mark.parametrize("component", ["jenkins", "argo", "ingress", "dns"])
async def test_one_component_stays_by_its_own_deletion_policy_and_the_rest_goes(component: str) -> None:
    life = ready(components={component: {"deletionPolicy": "Orphan"}})
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await looked_at(life, times=20, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    stays = {
        "jenkins": bool(life.out.jenkins.folders),
        "argo": bool(life.out.argocd.apps),
        "ingress": life.out.kubernetes.objects.get(("Ingress", "shop", "shop")) is not None,
        "dns": bool(life.out.godaddy.zones["example.com"]),
    }
    assert stays == {name: name == component for name in stays}


KEPT: tuple[dict[str, Any], ...] = (
    {"deletionPolicy": "Orphan"},
    {"managementPolicies": ["Observe", "Create", "Update"]},
    {"components": {"argo": {"deletionPolicy": "Orphan"}, "dns": {"managementPolicies": ["Observe"]}}},
)
DNS = ["a-shop", "shop"]


def delete(life: Life) -> None:
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")


def set_child(life: Life, kind: str, spec: dict[str, Any]) -> None:
    life.out.kubernetes.change(KINDS[kind].kind, TEAM, "shop", {"spec": spec})


def children_written(life: Life, since: int) -> list[str]:
    return [kind for verb, kind, _ in life.out.kubernetes.writes[since:] if verb == "patch" and kind in PARTS]


def stays(life: Life) -> tuple[bool, list[str]]:
    """Whether the application does, and which DNS records."""
    return "shop" in life.out.argocd.apps, sorted(record.name for record in life.out.godaddy.zones["example.com"])


@pytest.mark.parametrize("patch", KEPT, ids=["deletionPolicy", "managementPolicies", "components"])
@pytest.mark.parametrize("mode", ["Apply", "Plan"])
async def test_the_policy_of_the_moment_counts_at_a_deletion_though_no_pass_came_before(
    patch: dict[str, Any], mode: str
) -> None:
    life = ready()
    life.record("one")
    await life.live("one")
    if mode == "Plan":
        change(life, mode=mode)
        await looked_at(life)
    change(life, **patch)
    if mode == "Plan":
        await looked_at(life)
    delete(life)
    life.out.kubernetes.mark_deleted(KINDS["DeploymentRecord"].kind, TEAM, "one")
    for _ in range(20):
        if life.out.kubernetes.see(KINDS["DeploymentRecord"].kind, TEAM, "one") is not None:
            await life.turn("one")
        await looked_at(life, times=1, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert stays(life) == (True, DNS)
    assert bool(life.out.jenkins.folders) is ("components" not in patch)


async def test_a_policy_that_deletes_again_counts_at_a_deletion_too() -> None:
    life = ready(deletionPolicy="Orphan")
    change(life, deletionPolicy="Delete")
    delete(life)
    await looked_at(life, times=20, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert stays(life) == (False, [])


async def test_children_whose_policies_are_right_are_not_written_at_a_deletion() -> None:
    life = ready(components={"dns": {"deletionPolicy": "Orphan"}})
    mark = len(life.out.kubernetes.writes)
    delete(life)
    await looked_at(life, times=20, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert children_written(life, mark) == []


async def test_no_child_is_deleted_before_all_have_the_policy() -> None:
    life = ready()
    change(life, deletionPolicy="Orphan")
    delete(life)
    life.out.line.fail("kubernetes.merge_patch ArgoSettings", ExternalServiceError("503", service="kubernetes"))
    with pytest.raises(ExternalServiceError):
        await life.turn("shop", "DevOpsProject")
    assert not any(life.is_deleted("shop", kind) for kind in PARTS)
    await looked_at(life, times=20, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert stays(life) == (True, DNS)


async def blocked() -> Life:
    """A deletion that waits for a job in the folder that is not ours."""
    life = ready()
    await life.out.jenkins.create_item(("shop",), "nightly", b"<project/>")
    delete(life)
    await looked_at(life, times=6)
    assert life.reason("shop", "Stalled", "DevOpsProject") == "True/DeletionBlocked"
    return life


@pytest.mark.parametrize("patch", [KEPT[0], {"components": {"jenkins": {"deletionPolicy": "Orphan"}}}])
async def test_a_blocked_deletion_goes_on_when_the_project_says_to_leave_what_blocks_it(patch: dict[str, Any]) -> None:
    life = await blocked()
    change(life, **patch)
    await looked_at(life, times=8, minutes=0.5)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert ("shop",) in life.out.jenkins.folders


async def test_orphan_at_a_child_that_is_going_is_not_taken_back_by_its_project() -> None:
    life = await blocked()
    set_child(life, "JenkinsSettings", {"deletionPolicy": "Orphan"})
    await looked_at(life, times=8, minutes=0.5)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert ("shop",) in life.out.jenkins.folders


async def test_children_of_a_project_whose_spec_cannot_be_read_keep_their_policies() -> None:
    life = ready(deletionPolicy="Orphan")
    change(life, deletionPolicy="Delete", git=None)
    delete(life)
    await looked_at(life, times=20, minutes=0.2)
    assert life.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop") is None
    assert stays(life) == (True, DNS)


async def test_the_child_of_another_project_gets_no_policy() -> None:
    life = ready()
    foreign = {"ownerReferences": [{"kind": "DevOpsProject", "name": "shop", "uid": "another", "controller": True}]}
    life.out.kubernetes.change(KINDS["ArgoSettings"].kind, TEAM, "shop", {"metadata": foreign})
    change(life, deletionPolicy="Orphan")
    delete(life)
    mark = len(life.out.kubernetes.writes)
    await life.turn("shop", "DevOpsProject")
    assert sorted(children_written(life, mark)) == ["IngressResource", "JenkinsSettings"]


# What is replaced, by steps that the spec wants no more


REMOTE = {"destination": {"server": "https://cluster-2", "namespace": "shop"}}
STAYS: list[dict[str, Any]] = [
    {"components": {"ingress": {"deletionPolicy": "Orphan"}}},
    {"deletionPolicy": "Orphan"},
    {"managementPolicies": ["Observe", "Create", "Update"]},
]


@pytest.mark.parametrize("policies", STAYS, ids=["of the component", "of all", "no Delete"])
async def test_what_a_move_leaves_behind_goes_by_the_policies_of_now(policies: dict[str, Any]) -> None:
    life = ready()
    change(life, argo=REMOTE, **policies)
    await looked_at(life, times=8, minutes=1)
    assert life.out.kubernetes.see(INGRESS, "shop", "shop") is not None
    assert life.reason("shop", "Ready", "IngressResource") == "True/Succeeded"
    assert life.condition("shop", "IngressReady", "IngressResource") is None


async def test_what_was_to_stay_goes_where_it_is_to_go_by_now() -> None:
    life = ready(deletionPolicy="Orphan")
    change(life, deletionPolicy="Delete")
    change(life, argo=REMOTE)
    await looked_at(life, times=8, minutes=1)
    assert life.out.kubernetes.see(INGRESS, "shop", "shop") is None


@pytest.mark.parametrize("policies", STAYS, ids=["of the component", "of all", "no Delete"])
async def test_a_plan_removes_what_a_move_leaves_behind_by_the_policies_of_now(policies: dict[str, Any]) -> None:
    life = ready()
    change(life, mode="Plan", argo=REMOTE, **policies)
    await looked_at(life, times=2)
    planned = life.status("shop", "DevOpsProject")["plan"]
    assert [call for call in planned if call["action"] == "Delete"] == []
