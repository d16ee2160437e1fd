"""A project whose manifests move to another tool after it was deployed."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life
from .test_running_images import deploy, digest, polls

TOOLS = {"Kustomize": "kustomize", "Helm": "helm", "Directory": ""}


def switch(life: Life, kind: str, **source: str) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"source": {"kind": kind, **source}}}})


def source_of(life: Life, application: str = "shop") -> dict[str, Any]:
    return dict(life.out.argocd.apps[application]["spec"]["source"])


def tools(life: Life, application: str = "shop") -> set[str]:
    return set(source_of(life, application)) - {"repoURL", "path", "targetRevision"}


def expected(kind: str) -> set[str]:
    return {TOOLS[kind]} - {""}


@pytest.mark.parametrize(("before", "after"), [("Kustomize", "Helm"), ("Helm", "Kustomize"), ("Helm", "Directory")])
async def test_a_deployment_changes_the_tool_of_production_and_nothing_takes_it_back(before: str, after: str) -> None:
    life = Life()
    life.project(argo={"source": {"kind": before}})
    life.set_up()
    assert await deploy(life, "one") == "True/Succeeded"
    runs = source_of(life)
    switch(life, after)
    await polls(life)
    assert source_of(life) == runs, "what runs is left alone until something is deployed"
    assert await deploy(life, "two") == "True/Succeeded"
    assert tools(life) == expected(after)
    life.out.line.calls.clear()
    await polls(life)
    assert "argocd.patch_application" not in life.out.line.calls
    made = source_of(life)
    del life.out.argocd.apps["shop"]
    await polls(life)
    assert source_of(life) == made, "made again as it was"


async def test_the_tool_moves_with_the_path_and_keeps_the_image_that_runs() -> None:
    """Where the manifests are in a repository of their own: they are not of a commit that a deployment has set."""
    life = Life()
    life.project(argo={"source": {"repoURL": "https://git.example.com/manifests.git"}})
    life.set_up()
    assert await deploy(life, "one") == "True/Succeeded"
    switch(life, "Helm", path="chart")
    life.out.line.calls.clear()
    await polls(life)
    assert life.out.line.calls.count("argocd.patch_application") == 1
    assert tools(life) == {"helm"}
    values = {each["name"]: each["value"] for each in source_of(life)["helm"]["parameters"]}
    assert values == {"image.repository": "acme/shop", "image.digest": digest(life, "one")}
    assert source_of(life)["path"] == "chart"
    assert await deploy(life, "two") == "True/Succeeded"
    assert tools(life) == {"helm"}


async def test_a_preview_that_is_deployed_again_moves_too() -> None:
    life = Life()
    life.project()
    life.set_up()
    assert await deploy(life, "one", environment="pr-1") == "True/Succeeded"
    switch(life, "Helm", path="chart")
    await polls(life)
    assert await deploy(life, "two", environment="pr-1") == "True/Succeeded"
    assert tools(life, "shop-pr-1") == {"helm"}
    assert source_of(life, "shop-pr-1")["repoURL"] == GIT_URL
