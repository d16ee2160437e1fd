"""The operator is killed, or told to end, while it works."""

from __future__ import annotations

import pytest

from .play import Play, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _with_build_of(play: Play, seconds: int) -> None:
    source = f"// standin: slow {seconds}\npipeline {{}}\n"
    await (await play.sample()).commit("Take time", {"Jenkinsfile": source})


async def test_a_kill_in_the_middle_of_a_build_costs_no_second_build_and_no_heartbeat(play: Play) -> None:
    await play.set_up()
    await _with_build_of(play, 4)
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running", message="runs")

    await play.operator.restart(kill=True)

    record = await trigger.ended()
    assert len(play.builds) == 1
    assert play.builds[0].result == "SUCCESS"
    assert (await play.visit()).image == record["status"]["image"]
    check_heartbeats(trigger.beats, repeats=True)


async def test_a_message_that_comes_while_the_operator_is_dead_is_not_lost(play: Play) -> None:
    await play.set_up()
    await play.operator.kill()
    trigger = await play.send("deploy")

    await play.operator.start()
    await play.operator.wait_ready()

    await trigger.ended()
    assert len(play.builds) == 1
    check_heartbeats(trigger.beats)


async def test_an_orderly_stop_in_the_middle_of_a_build_exits_with_0_and_goes_on_later(play: Play) -> None:
    await play.set_up()
    await _with_build_of(play, 4)
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running", message="runs")

    code = await play.operator.stop()

    assert code == 0, play.operator.logs()
    await play.operator.start()
    await play.operator.wait_ready()
    await trigger.ended()
    assert len(play.builds) == 1
    check_heartbeats(trigger.beats, repeats=True)


async def test_a_preview_expires_while_the_operator_is_dead_and_is_cleaned_up_after(play: Play) -> None:
    await play.set_up()
    record = await play.deploy(environment="pr-1", ttl="1s")
    await play.operator.restart(kill=True)

    await play.wait_record(record["metadata"]["name"], "CleanupVerified")

    assert await play.left(f"{play.project}-pr-1") == []
