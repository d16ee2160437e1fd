"""What a user reads with kubectl in each outcome, kept in files to be read."""

from __future__ import annotations

import pytest

from .kubectl import expect, shown
from .play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_project_that_is_ready(play: Play) -> None:
    await play.set_up()
    expect("project-ready", await shown(play, "dop", play.project))


async def test_a_deployment_that_succeeded(play: Play) -> None:
    await play.set_up()
    record = await play.deploy()
    expect("deployment-succeeded", await shown(play, "dr", record["metadata"]["name"]))


async def test_a_deployment_whose_build_failed(play: Play) -> None:
    await play.set_up()
    await (await play.sample()).commit("Break it", {"Jenkinsfile": "// standin: fail\npipeline {}\n"}, branch="bad")
    record = await (await play.send("deploy", revision="bad")).ended("Failed")
    expect("deployment-build-failed", await shown(play, "dr", record["metadata"]["name"]))


async def test_a_deployment_of_a_revision_that_is_not_there(play: Play) -> None:
    await play.set_up()
    record = await (await play.send("deploy", revision="nowhere")).ended("Failed")
    expect("deployment-revision-not-found", await shown(play, "dr", record["metadata"]["name"]))


async def test_a_deployment_that_was_cancelled(play: Play) -> None:
    await play.set_up()
    source = {"Jenkinsfile": "// standin: slow 30\npipeline {}\n"}
    await (await play.sample()).commit("Build slowly", source, branch="slow")
    trigger = await play.send("deploy", revision="slow")
    await trigger.heard("build", "Running", message="runs")
    await play.send("cancel")
    record = await trigger.ended("Cancelled")
    expect("deployment-cancelled", await shown(play, "dr", record["metadata"]["name"]))


async def test_a_preview_that_has_expired(play: Play) -> None:
    await play.set_up()
    record = await play.deploy(environment="pr-7", ttl="5s")
    name = record["metadata"]["name"]
    await play.wait_record(name, "CleanupVerified")
    expect("preview-expired", await shown(play, "dr", name))
