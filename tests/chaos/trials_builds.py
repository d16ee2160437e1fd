"""Builds that are shown late, or not at all: stories 1 and 2."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from standins.controls import Call
from testbed.waiting import eventually

from .lane import Lane
from .project import Project
from .trial import Trial, ended_builds, one_build_each
from .writes import concerns, triggers_a_build

LATE = timedelta(seconds=8)
"""How late Jenkins shows what was asked of it."""
AWAY_SECONDS = 35.0
"""Longer than the operator bears not to see a build that it has seen."""


async def waits_in_the_queue(lane: Lane, project: Project) -> list[str]:
    """Nobody takes the build for a while, and the operator is killed meanwhile."""
    await project.set_up()
    queue = lane.stage.jenkins.queue
    before, queue.executors = queue.executors, 0
    try:
        event = await project.begin()
        await project.heard(event, "build", "Running")
        lane.replicas[0].kill()
        await lane.alive()
    finally:
        queue.executors = before
        queue.maintain()
    await project.ended(event)
    return await one_build_each(project)


async def dead_while_jenkins_forgets(lane: Lane, project: Project) -> list[str]:
    """Killed at the trigger; back when the build has ended and Jenkins knows nothing of its queue item any more."""
    await project.set_up()
    replica = lane.replicas[0]

    def triggers(call: Call) -> bool:
        return triggers_a_build(call) and concerns(call, project.name)

    trap = lane.controls["jenkins"].trap("after_effect", triggers, lane.kill)
    replica.stay_down()
    try:
        event = await project.begin()
        await eventually(ended_builds(project), "the build has ended", lane.patience)
        lane.stage.jenkins.queue.forget_left()
    finally:
        replica.rise()
    await lane.alive()
    await project.ended(event)
    return await one_build_each(project) if trap.sprung else ["it was not killed"]


async def shown_late(lane: Lane, project: Project) -> list[str]:
    """Jenkins shows a build long after it was asked for, and the operator was killed as it asked."""
    await project.set_up()
    lane.stage.jenkins.lag = LATE
    trap = lane.controls["jenkins"].trap(
        "after_reply", lambda call: triggers_a_build(call) and concerns(call, project.name), lane.kill_soon
    )
    await project.ended(await project.begin())
    await lane.alive()
    return await one_build_each(project) if trap.sprung else ["it was not killed"]


async def same_commit_twice(lane: Lane, project: Project) -> list[str]:
    """Jenkins folds equal queue items; two deployments of one commit are two builds all the same."""
    await project.set_up()
    for event in [await project.begin(), await project.begin(environment="pr-1", ttl="1h")]:
        await project.ended(event)
    return await one_build_each(project)


async def jenkins_away_during_a_build(lane: Lane, project: Project) -> list[str]:
    """An error is not an absence: the running build is neither stopped nor made again."""
    await project.set_up()
    await project.slow_down(10)
    event = await project.begin()
    await project.heard(event, "build", "Running", "runs")
    lane.stage.jenkins.controls.down = True
    await asyncio.sleep(AWAY_SECONDS)
    lane.stage.jenkins.controls.down = False
    await project.ended(event)
    return await one_build_each(project)


def build_trials() -> Iterator[Trial]:
    """All of them."""
    yield Trial(1, "a build waits in the queue, and the operator is killed", waits_in_the_queue)
    yield Trial(1, "killed at the trigger, and back when Jenkins has forgotten the item", dead_while_jenkins_forgets)
    yield Trial(1, f"Jenkins shows a build {LATE.total_seconds():g} s late, and the operator is killed", shown_late)
    yield Trial(1, "one commit is deployed to two environments at once", same_commit_twice)
    yield Trial(2, "Jenkins is away during a build", jenkins_away_during_a_build)
