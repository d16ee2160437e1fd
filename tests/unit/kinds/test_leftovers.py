"""What an earlier spec had and cannot be removed: told for itself, tried again, in nobody's way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life

KINDS = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
LEFT = "CleanupVerified"


async def polls(life: Life, count: int = 4) -> None:
    """Passes over the project and its children, five minutes apart."""
    for _ in range(count):
        for kind in KINDS:
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(minutes=5))


async def deploy(life: Life, name: str, environment: str = "production") -> str | None:
    life.out.clock.advance(timedelta(seconds=5))
    life.record(name, environment=environment)
    await life.live(name, most=3000)
    return life.reason(name)


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


def running() -> Life:
    life = Life()
    life.project()
    life.set_up()
    return life


async def folder_with_a_job_of_somebody_else() -> Life:
    """`jenkins.folder` has changed, and the old folder cannot go."""
    life = running()
    assert await deploy(life, "one") == "True/Succeeded"
    await life.out.jenkins.create_item(("shop",), "nightly", b"<project/>")
    change(life, jenkins={"folder": "new"})
    await polls(life)
    return life


async def test_a_folder_that_cannot_go_stops_no_deployment() -> None:
    life = await folder_with_a_job_of_somebody_else()
    assert life.reason("shop", "Ready", "JenkinsSettings") == "True/Succeeded"
    assert life.reason("shop", "JenkinsReady", "DevOpsProject") == "True/Succeeded"
    assert life.condition("shop", "Conflict", "JenkinsSettings") is None
    assert life.reason("shop", LEFT, "JenkinsSettings") == "False/CleanupFailed"
    said = (life.condition("shop", LEFT, "JenkinsSettings") or {})["message"]
    assert "JenkinsFolder shop: " in said
    assert "nightly. Move or delete them" in said
    assert await deploy(life, "two") == "True/Succeeded"


async def test_a_folder_that_could_not_go_goes_when_it_can_and_nothing_more_is_said() -> None:
    life = await folder_with_a_job_of_somebody_else()
    await life.out.jenkins.delete_item(("shop", "nightly"))
    await polls(life, 1)
    assert sorted(life.out.jenkins.configs) == [("new",), ("new", "shop")]
    assert life.condition("shop", LEFT, "JenkinsSettings") is None
    assert {entry["state"] for entry in life.status("shop", "JenkinsSettings")["applied"]} == {"active"}


async def test_that_it_still_cannot_go_is_news_once() -> None:
    life = await folder_with_a_job_of_somebody_else()
    life.verdicts.clear()
    await polls(life, 3)
    assert [item for verdict in life.verdicts for item in verdict.transitions if item.type == LEFT] == []
    assert life.reason("shop", LEFT, "JenkinsSettings") == "False/CleanupFailed"


async def test_what_is_wanted_again_is_no_leftover() -> None:
    life = await folder_with_a_job_of_somebody_else()
    change(life, jenkins={"folder": "shop"})
    await polls(life)
    assert life.condition("shop", LEFT, "JenkinsSettings") is None
    assert sorted(life.out.jenkins.configs) == [("shop",), ("shop", "nightly"), ("shop", "shop")]


async def test_what_is_left_is_still_told_while_its_successor_is_not_ready() -> None:
    life = await folder_with_a_job_of_somebody_else()
    life.out.line.fail("jenkins.item", ExternalServiceError("down", service="jenkins"))
    await life.turn("shop", "JenkinsSettings")
    assert life.condition("shop", "VendorDegraded", "JenkinsSettings") is not None
    assert life.reason("shop", LEFT, "JenkinsSettings") == "False/CleanupFailed"


async def test_a_service_that_is_away_for_the_removal_alone_leaves_the_rest_ready() -> None:
    life = running()
    change(life, jenkins={"folder": "new"})
    await life.turn("shop", "DevOpsProject")
    life.out.line.fail("jenkins.delete_item", ExternalServiceError("down", service="jenkins"))
    for _ in range(6):
        verdict = await life.turn("shop", "JenkinsSettings")
        if life.condition("shop", LEFT, "JenkinsSettings") is not None:
            break
    assert life.reason("shop", "Ready", "JenkinsSettings") == "True/Succeeded"
    assert life.reason("shop", LEFT, "JenkinsSettings") == "False/CleanupFailed"
    assert verdict.after == life.out.world.settings.retry_external_delay
    life.out.clock.advance(verdict.after)
    await life.turn("shop", "JenkinsSettings")
    assert life.condition("shop", LEFT, "JenkinsSettings") is None


async def argo_project_with_a_preview_in_it() -> Life:
    """`argo.project` has changed while a preview lives in the old one."""
    life = running()
    assert await deploy(life, "one") == "True/Succeeded"
    assert await deploy(life, "preview", "pr-7") == "True/Succeeded"
    change(life, argo={"project": "new"})
    await polls(life)
    return life


async def test_an_argo_project_that_a_preview_is_in_stops_no_deployment() -> None:
    life = await argo_project_with_a_preview_in_it()
    assert sorted(life.out.argocd.app_projects) == ["new", "shop"]
    assert life.reason("shop", "ArgoReady", "DevOpsProject") == "True/Succeeded"
    assert life.reason("shop", LEFT, "ArgoSettings") == "False/CleanupFailed"
    said = (life.condition("shop", LEFT, "ArgoSettings") or {})["message"]
    assert "ArgoProject shop: " in said
    assert "shop-pr-7" in said
    life.out.git.commit(GIT_URL, "main", "4" * 40)
    assert await deploy(life, "two") == "True/Succeeded"


async def test_the_deployment_that_moves_the_preview_ends_the_old_argo_project() -> None:
    life = await argo_project_with_a_preview_in_it()
    assert await deploy(life, "moved", "pr-7") == "True/Succeeded"
    assert life.out.argocd.apps["shop-pr-7"]["spec"]["project"] == "new"
    await polls(life, 2)
    assert list(life.out.argocd.app_projects) == ["new"]
    assert life.condition("shop", LEFT, "ArgoSettings") is None
