"""A project goes: previews first, then all that is its own; only what is meant to stay stays."""

from __future__ import annotations

import pytest

from testbed.stage_cluster import KINDS, path

from .play import DEADLINE, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _resources(play: Play) -> list[str]:
    found = []
    for plural in KINDS:
        found += [f"{plural}/{each['metadata']['name']}" for each in await play.stage.kube.every(plural)]
    return [each for each in found if play.project in each]


async def test_a_deleted_project_leaves_only_its_image_repository_and_the_namespace_of_production(play: Play) -> None:
    await play.set_up()
    await play.deploy()
    await play.deploy(environment="pr-1", ttl="1h")

    await play.delete()

    left = [each for each in await play.left() if not each.startswith("dockerhub tag")]
    assert left == [f"dockerhub repository acme/{play.project}", f"kubernetes namespace {play.project}"]
    assert await _resources(play) == []
    assert await play.outside.is_gone(play.host)
    assert await play.outside.is_gone(play.preview_host("pr-1"))


async def test_deletion_policy_delete_takes_the_image_repository_too(play: Play) -> None:
    await play.set_up(components={"registry": {"deletionPolicy": "Delete"}})
    await play.deploy()

    await play.delete()

    assert await play.left() == [f"kubernetes namespace {play.project}"]


async def test_deletion_policy_orphan_leaves_everything_with_its_mark(play: Play) -> None:
    await play.set_up(deletionPolicy="Orphan")
    before = await play.stage.inventory(play.project)

    await play.delete()

    assert await play.stage.inventory(play.project) == before
    assert await _resources(play) == []


async def test_a_project_that_is_deleted_in_the_middle_of_a_build_stops_the_build(play: Play) -> None:
    await play.set_up()
    source = "// standin: slow 30\npipeline {}\n"
    await (await play.sample()).commit("Build slowly", {"Jenkinsfile": source})
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running", message="runs")
    build = play.builds[0]

    await play.delete()

    assert build.result == "ABORTED"
    left = [each for each in await play.left() if not each.startswith("dockerhub")]
    assert left in ([], [f"kubernetes namespace {play.project}"])


async def test_a_child_that_is_deleted_by_hand_comes_back(play: Play) -> None:
    await play.set_up()
    before = await play.stage.kube.read("argosettings", play.project)
    assert before is not None

    await play.stage.kube.delete(path("argosettings", play.project))

    uid = before["metadata"]["uid"]
    await play.stage.kube.until(
        "argosettings", play.project, lambda it: it["metadata"]["uid"] != uid, "a new child", DEADLINE
    )
    await play.stage.kube.until(
        "argosettings",
        play.project,
        lambda it: any(
            each["type"] == "Ready" and each["status"] == "True" for each in it["status"].get("conditions", [])
        ),
        "Ready again",
        DEADLINE,
    )
    assert play.project in play.stage.argocd.state.apps
