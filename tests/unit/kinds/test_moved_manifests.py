"""The manifests of a live project move to another folder, which the commit that runs does not have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life
from .test_running_images import deploy, polls, running

ARGO = "ArgoSettings"
SECOND = timedelta(seconds=1)
OLD, NEW = "deploy", "k8s"


def commit_of(number: int) -> str:
    """The commit that `deploy` makes as that one."""
    return f"{number:040x}"


def move(life: Life, path: str) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"source": {"path": path}}}})


def source(life: Life, application: str = "shop") -> dict[str, Any]:
    return dict(life.out.argocd.apps[application]["spec"]["source"])


async def moved(**spec: Any) -> Life:
    """The first commit has its manifests in one folder, those after it in another one, and the project says so."""
    life = running(argo={"source": {"path": OLD}})
    life.out.argocd.folders = {commit_of(1): {OLD}, **{commit_of(number): {NEW} for number in range(2, 6)}}
    assert await deploy(life, "one", **spec) == "True/Succeeded"
    move(life, NEW)
    await polls(life)
    return life


@pytest.mark.parametrize("environment", ["production", "pr-7"])
async def test_they_move_with_the_next_deployment(environment: str) -> None:
    life = await moved(environment=environment)
    application = "shop" if environment == "production" else "shop-pr-7"
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    assert source(life, application)["path"] == OLD, "what runs is left alone"
    assert await deploy(life, "two", environment=environment) == "True/Succeeded"
    assert (source(life, application)["path"], source(life, application)["targetRevision"]) == (NEW, commit_of(2))


async def test_a_folder_that_is_not_there_fails_that_deployment_and_no_later_one() -> None:
    life = await moved()
    move(life, "nowhere")
    assert await deploy(life, "two", revision=commit_of(2)) == "True/InvalidSpec"
    assert "app path does not exist" in str(life.status("two"))
    await polls(life)
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    assert source(life)["path"] == OLD
    move(life, NEW)
    await polls(life)
    assert await deploy(life, "three", revision=commit_of(2)) == "True/Succeeded"


async def test_a_rollback_takes_the_folder_of_its_commit_from_a_preview_that_has_expired_since() -> None:
    life = await moved(environment="pr-7", ttl="1h")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("slow")
    await life.turn("slow")
    life.out.clock.advance(timedelta(seconds=5))
    life.record("back", rollbackTo="one")
    await life.turn("back")
    await life.expire("one")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "slow", {"spec": {"cancel": True}})
    await life.live("slow")
    await life.live("back")
    assert life.reason("back") == "True/Succeeded"
    assert (source(life)["path"], source(life)["targetRevision"]) == (OLD, commit_of(1))


async def test_a_rollback_takes_the_folder_of_its_commit() -> None:
    life = await moved()
    assert await deploy(life, "two") == "True/Succeeded"
    assert await deploy(life, "back", rollbackTo="one") == "True/Succeeded"
    assert (source(life)["path"], source(life)["targetRevision"]) == (OLD, commit_of(1))
    await polls(life)
    assert source(life)["path"] == OLD


async def test_a_folder_that_somebody_changes_by_hand_is_put_right_and_a_lost_application_made_again() -> None:
    life = await moved()
    life.out.argocd.apps["shop"]["spec"]["source"]["path"] = "by-hand"
    await polls(life)
    before = source(life)
    assert before["path"] == OLD
    del life.out.argocd.apps["shop"]
    await polls(life)
    assert source(life) == before


async def test_a_deployment_under_way_keeps_the_folder_with_which_it_began() -> None:
    life = await moved()
    life.out.argocd.health = "Progressing"
    life.out.git.commit("https://git.example.com/shop.git", "main", commit_of(2))
    life.record("two")
    while life.status("two").get("step") != "health":
        verdict = await life.turn("two")
        life.out.clock.advance(verdict.after or SECOND)
    move(life, "elsewhere")
    life.out.argocd.health = "Healthy"
    life.out.argocd.judge("shop")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"
    assert source(life)["path"] == NEW


async def test_definitions_of_an_older_operator_that_keep_no_folder_hold_up_no_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life = await moved()
    patch_status = life.out.kubernetes.patch_status

    async def pruned(kind: Any, namespace: str, name: str, fields: dict[str, Any], **options: Any) -> Any:
        for each in fields.get("environments", []):
            each.pop("path", None)
            each.pop("repoURL", None)
        return await patch_status(kind, namespace, name, fields, **options)

    monkeypatch.setattr(life.out.kubernetes, "patch_status", pruned)
    writes = life.out.line.count("kubernetes.patch_status DevOpsProject")
    assert await deploy(life, "two") == "True/Succeeded"
    assert source(life)["path"] == NEW
    assert life.out.line.count("kubernetes.patch_status DevOpsProject") - writes <= 2


async def test_of_a_deployment_of_an_older_operator_the_folder_is_not_known_and_left_alone() -> None:
    life = await moved()
    project = life.see("shop", "DevOpsProject")
    for field in ("path", "repoURL"):
        del project["status"]["environments"][0][field]
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, project)
    await polls(life)
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    assert source(life)["path"] == OLD
    assert await deploy(life, "two") == "True/Succeeded"
