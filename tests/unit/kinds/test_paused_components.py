"""One component that is paused (`managementPolicies: []`): it stays as it is, and its project as Ready as it was."""

from __future__ import annotations

from typing import Any

import pytest

from .life import Life
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
