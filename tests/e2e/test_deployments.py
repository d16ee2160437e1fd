"""Rollback, cancellation, several deployments at once, and what fails on the way."""

from __future__ import annotations

import pytest

from testbed.stage_cluster import NAMESPACE, condition

from .play import DEADLINE, RECORDS, Play, check_heartbeats, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
SLOW = "// standin: slow 30\n"


async def _slow_branch(play: Play, directive: str = SLOW) -> str:
    """A branch whose build takes long; its commit."""
    sample = await play.sample()
    return await sample.commit("Build slowly", {"Jenkinsfile": f"{directive}pipeline {{}}\n"}, branch="slow")


@pytest.mark.parametrize("to", ["record", "lastHealthy"])
async def test_a_rollback_deploys_the_earlier_image_without_a_build(play: Play, to: str) -> None:
    await play.set_up()
    first = await play.deploy()
    await (await play.sample()).commit("Worse", {"greeting.txt": "Worse.\n"})
    second = await play.deploy()
    assert (await play.visit()).image == second["status"]["image"]

    record = await (
        await play.send("rollback", to="lastHealthy" if to == "lastHealthy" else first["metadata"]["name"])
    ).ended()

    assert record["status"]["image"] == first["status"]["image"]
    assert record["status"]["commit"] == first["status"]["commit"]
    assert (await play.visit()).image == first["status"]["image"]
    assert len(play.builds) == 2
    application = play.stage.argocd.state.apps[play.project]
    assert application["spec"]["source"]["targetRevision"] == first["status"]["commit"]


async def test_a_cancellation_in_the_middle_of_a_build_stops_the_build(play: Play) -> None:
    await play.set_up()
    await _slow_branch(play)
    trigger = await play.send("deploy", revision="slow")
    await trigger.heard("build", "Running", message="runs")
    build = play.builds[0]
    assert build.building

    await play.send("cancel")

    record = await trigger.ended("Cancelled")
    assert build.result == "ABORTED"
    assert len(play.builds) == 1
    assert (reason_of(record, "Ready"), reason_of(record, "Stalled")) == ("Cancelled", "Cancelled")
    check_heartbeats(trigger.beats)
    assert play.tags == {}


async def test_a_second_deployment_waits_for_the_first(play: Play) -> None:
    await play.set_up()
    await _slow_branch(play, "// standin: slow 2\n")
    first = await play.send("deploy", revision="slow")
    await first.heard("build", "Running")

    second = await play.send("deploy", revision="main")

    await second.heard("queue", "Waiting", message=await first.name())
    await first.ended()
    record = await second.ended()
    assert (await play.visit()).image == record["status"]["image"]


async def test_replace_supersedes_the_deployment_under_way_and_stops_its_build(play: Play) -> None:
    await play.set_up()
    await _slow_branch(play)
    first = await play.send("deploy", revision="slow")
    await first.heard("build", "Running", message="runs")
    slow = play.builds[0]

    second = await play.send("deploy", revision="main", concurrency_policy="Replace")

    record = await second.ended()
    replaced = await first.ended("Superseded")
    assert slow.result == "ABORTED"
    assert reason_of(replaced, "Finished") == "Superseded"
    assert (await play.visit()).image == record["status"]["image"]


async def test_forbid_fails_while_another_deployment_is_under_way(play: Play) -> None:
    await play.set_up()
    await _slow_branch(play)
    first = await play.send("deploy", revision="slow")
    await first.heard("build", "Running")

    refused = await (await play.send("deploy", concurrency_policy="Forbid")).ended("Failed")

    assert reason_of(refused, "Finished") == "ConcurrencyForbidden"
    await play.send("cancel", deployment=await first.name())
    await first.ended("Cancelled")


async def test_a_failed_build_fails_the_deployment_and_leaves_what_runs(play: Play) -> None:
    await play.set_up()
    good = await play.deploy()
    await (await play.sample()).commit("Break it", {"Jenkinsfile": "// standin: fail\npipeline {}\n"}, branch="bad")

    trigger = await play.send("deploy", revision="bad")

    record = await trigger.ended("Failed")
    assert reason_of(record, "Finished") == "BuildFailed"
    last = (await trigger.terminal()).payload
    assert last["reason"] == "BuildFailed"
    assert len(play.builds) == 2
    assert (await play.visit()).image == good["status"]["image"]
    project = await play.ready()
    assert [each["holder"] for each in project["status"]["environments"]] == [good["metadata"]["name"]]


async def test_a_build_that_pushes_nothing_is_found_out(play: Play) -> None:
    """The build says SUCCESS; the registry is asked all the same."""
    await play.set_up()
    source = "// standin: no-push\npipeline {}\n"
    await (await play.sample()).commit("Forget to push", {"Jenkinsfile": source}, branch="empty")
    trigger = await play.send("deploy", revision="empty")

    waiting = await trigger.heard("image", message="does not show")

    assert waiting.payload["terminal"] is False
    name = waiting.payload["deployment"]
    record = await play.stage.kube.until(
        RECORDS,
        name,
        lambda it: (condition(it, "BuildSucceeded") or {}).get("status") == "True",
        "the build has succeeded",
        DEADLINE,
        NAMESPACE,
    )
    assert (condition(record, "ImageVerified") or {}).get("status") != "True"
    await play.send("cancel", deployment=name)
    await trigger.ended("Cancelled")
