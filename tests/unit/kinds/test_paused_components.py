"""One component that is paused (`managementPolicies: []`): it stays as it is, and its project as Ready as it was."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.services.kubernetes import INGRESS

from .life import HOST, Life
from .test_policies import change, looked_at, outside_calls, ready

ALL = ["Observe", "Create", "Update", "Delete"]
PARTS = {
    "registry": ("RegistrySettings", "RegistryReady", "dockerhub."),
    "jenkins": ("JenkinsSettings", "JenkinsReady", "jenkins."),
    "argo": ("ArgoSettings", "ArgoReady", "argocd."),
}


def management(component: str, policies: list[str]) -> dict[str, Any]:
    return {component: {"managementPolicies": policies}}


def message(life: Life, type: str, kind: str = "DevOpsProject") -> str:
    found = life.condition("shop", type, kind)
    assert found is not None
    return str(found["message"])


def hosts(life: Life) -> list[str]:
    found = life.out.kubernetes.see(INGRESS, "shop", "shop")
    return [] if found is None else [rule["host"] for rule in found["spec"]["rules"]]


def records(life: Life) -> list[str]:
    return [record.name for record in life.out.godaddy.zones["example.com"] if record.type == "A"]


async def until_ready(life: Life) -> None:
    await looked_at(life, times=8, minutes=1)
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"


# A component that is a child of its own


@pytest.mark.parametrize("component", PARTS)
async def test_a_project_stays_ready_says_what_is_paused_and_leaves_it_alone(component: str) -> None:
    life = ready()
    kind, part, calls = PARTS[component]
    change(life, components=management(component, []))
    await looked_at(life, times=1)
    mark = len(life.out.line.calls)
    await looked_at(life)
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
    assert f"paused: {kind}" in message(life, "Ready")
    assert life.reason("shop", part, "DevOpsProject") == "True/Succeeded"
    assert message(life, part) == "paused; Succeeded: all is as the spec says"
    assert life.condition("shop", "Reconciling", "DevOpsProject") is None
    generation = life.see("shop", "DevOpsProject")["metadata"]["generation"]
    assert life.status("shop", "DevOpsProject")["observedGeneration"] == generation
    assert [call for call in outside_calls(life, mark) if call.startswith(calls)] == []
    change(life, components=management(component, ALL))
    await until_ready(life)
    assert message(life, "Ready") == "all is as the spec says"
    assert message(life, part) == "Succeeded: all is as the spec says"


async def test_a_new_project_waits_for_its_paused_component_and_says_so() -> None:
    life = Life()
    life.project(components=management("registry", []))
    await looked_at(life)
    assert life.reason("shop", "Ready", "DevOpsProject") == "Unknown/Paused"
    assert life.reason("shop", "Ready", "RegistrySettings") == "Unknown/Paused"
    assert life.reason("shop", "RegistryReady", "DevOpsProject") == "Unknown/Paused"
    assert life.reason("shop", "JenkinsReady", "DevOpsProject") == "True/Succeeded"
    assert life.out.hub.held == {}
    change(life, components=management("registry", ALL))
    await until_ready(life)


async def test_a_project_that_is_made_suspended_says_so_everywhere_and_begins_when_it_may() -> None:
    life = Life()
    life.project(suspend=True)
    await looked_at(life)
    for kind in ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
        assert life.reason("shop", "Ready", kind) == "Unknown/Paused"
        assert life.reason("shop", "Suspended", kind) == "True/Paused"
    assert outside_calls(life, 0) == []
    change(life, suspend=False)
    await until_ready(life)


# All of a project but one component


async def test_of_a_paused_project_the_component_that_overrides_it_is_set_up() -> None:
    life = Life()
    life.project(managementPolicies=[], components=management("registry", ALL))
    await looked_at(life)
    assert set(life.out.hub.held) == {"acme/shop"}
    assert (life.out.jenkins.folders, life.out.argocd.apps, hosts(life), records(life)) == ({}, {}, [], [])
    assert life.reason("shop", "RegistryReady", "DevOpsProject") == "True/Succeeded"
    assert life.reason("shop", "JenkinsReady", "DevOpsProject") == "Unknown/Paused"
    assert life.reason("shop", "Ready", "DevOpsProject") == "Unknown/Paused"
    change(life, managementPolicies=ALL)
    await until_ready(life)


async def test_a_project_that_is_paused_but_for_its_record_keeps_that_alone_right() -> None:
    life = ready()
    change(life, managementPolicies=[], components=management("dns", ALL))
    await looked_at(life, times=1)
    life.out.godaddy.zones["example.com"].clear()
    life.out.kubernetes.remove(INGRESS, "shop", "shop")
    life.out.argocd.apps.clear()
    await looked_at(life)
    assert (records(life), hosts(life), life.out.argocd.apps) == (["shop"], [], {})
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
    assert "paused: RegistrySettings, JenkinsSettings, ArgoSettings" in message(life, "Ready")
    assert life.condition("shop", "Suspended", "DevOpsProject") is None


async def test_all_components_paused_pause_the_whole_project_and_one_given_back_goes_on() -> None:
    life = ready()
    five = {name: {"managementPolicies": []} for name in (*PARTS, "ingress", "dns")}
    change(life, components=five)
    await looked_at(life, times=1)
    mark = len(life.out.line.calls)
    await looked_at(life)
    assert outside_calls(life, mark) == []
    for kind in ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
        assert life.reason("shop", "Suspended", kind) == "True/Paused"
        assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    change(life, components=management("argo", ALL))
    life.out.argocd.apps.clear()
    await looked_at(life)
    assert set(life.out.argocd.apps) == {"shop"}
    assert life.condition("shop", "Suspended", "DevOpsProject") is None


# Ingress and DNS record: two components of one child


async def test_a_paused_ingress_does_not_pause_its_record() -> None:
    life = ready()
    change(life, components=management("ingress", []))
    await looked_at(life, times=1)
    life.out.godaddy.zones["example.com"].clear()
    life.out.kubernetes.remove(INGRESS, "shop", "shop")
    await looked_at(life)
    assert (records(life), hosts(life)) == (["shop"], [])
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
    assert "paused: namespace, ingress" in message(life, "IngressReady")
    assert message(life, "IngressReady", "IngressResource") == "paused"
    assert life.condition("shop", "Suspended", "IngressResource") is None
    change(life, components=management("ingress", ALL))
    await until_ready(life)
    assert hosts(life) == [HOST]


async def test_a_paused_record_does_not_pause_its_ingress() -> None:
    life = ready()
    change(life, components=management("dns", []), ingress={"host": "new.example.com"})
    await looked_at(life)
    assert (records(life), hosts(life)) == (["shop"], ["new.example.com", HOST]), "what its record leads to is served"
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
    assert "paused: dns, published" in message(life, "DNSReady")
    assert message(life, "DNSReady", "IngressResource") == "paused"
    change(life, components=management("dns", ALL))
    await until_ready(life)
    assert (records(life), hosts(life)) == (["new"], ["new.example.com"])


@pytest.mark.parametrize(
    ("component", "made"), [("ingress", (["shop"], [])), ("dns", ([], [HOST]))], ids=["ingress", "dns"]
)
async def test_of_a_new_project_the_other_one_is_made(component: str, made: tuple[list[str], list[str]]) -> None:
    life = Life()
    life.project(components=management(component, []))
    await looked_at(life)
    assert (records(life), hosts(life)) == made
    assert life.reason("shop", "Ready", "IngressResource") == "Unknown/Paused"
    assert life.reason("shop", "Ready", "DevOpsProject") == "Unknown/Paused"
    change(life, components=management(component, ALL))
    await until_ready(life)
    assert (records(life), hosts(life)) == (["shop"], [HOST])


async def test_both_paused_pause_the_whole_object() -> None:
    life = ready()
    change(life, components=management("ingress", []) | management("dns", []))
    await looked_at(life, times=1)
    life.out.godaddy.zones["example.com"].clear()
    await looked_at(life)
    assert records(life) == []
    assert life.reason("shop", "Suspended", "IngressResource") == "True/Paused"
    assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"


async def test_what_a_paused_component_was_to_remove_stays_and_is_not_forgotten() -> None:
    life = ready()
    change(life, argo={"destination": {"server": "https://cluster-2", "namespace": "shop"}})
    change(life, components=management("ingress", []))
    await looked_at(life, times=8)
    assert hosts(life) == [HOST]
    assert "paused" in message(life, "CleanupVerified", "IngressResource")
    change(life, components=management("ingress", ALL))
    await looked_at(life, times=8)
    assert hosts(life) == []
    assert life.condition("shop", "CleanupVerified", "IngressResource") is None


async def test_a_plan_has_no_call_of_a_paused_component() -> None:
    life = Life()
    life.project(mode="Plan", components=management("dns", []) | management("jenkins", []))
    await life.turn("shop", "DevOpsProject")
    calls = {call["step"]: call["action"] for call in life.status("shop", "DevOpsProject")["plan"] if "object" in call}
    assert set(calls) == {"repository", "project", "application", "namespace", "ingress"}
    assert "would be refused" not in message(life, "Ready")
