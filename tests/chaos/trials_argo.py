"""Argo CD that is slow to tell the truth, and waits that never end: stories 7 and 8."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from testbed.outside import Outside
from testbed.stage import ZONE
from testbed.stage_heartbeats import Heartbeat

from .lane import Lane
from .project import Project
from .trial import Trial

HEALTH_LAGS = (0.0, 0.3, 0.8, 1.5, 3.0, 6.0)
"""The last is long for a machine under load, and well below the time after which an image counts as not used."""
PROMPT = {"BUILD_TIMEOUT": "6s", "SYNC_TIMEOUT": "6s", "REACHABLE_TIMEOUT": "4s"}


async def old_health_remains(lag: float, lane: Lane, project: Project) -> list[str]:
    """Right after a sync the health of before is still shown; success comes with the truth alone."""
    await project.set_up()
    await project.deploy()
    await (await lane.stage.sample(project.name)).commit("Change", {"greeting.txt": "New.\n"})
    times = lane.stage.argocd.controller.times
    before = times.health_lag, times.healthy
    times.health_lag, times.healthy = lag, 1.0
    faults: list[str] = []

    def heard(beat: Heartbeat) -> None:
        told = beat.payload["terminal"] or (beat.payload["step"], beat.payload["state"]) == ("health", "Succeeded")
        if beat.payload["trigger_event_id"] == project.events[-1] and told:
            faults.extend(_untrue(lane, project))

    lane.stage.heartbeats.listeners.append(heard)
    try:
        await project.ended(await project.begin())
    finally:
        times.health_lag, times.healthy = before
    visit = await Outside(lane.stage.godaddy.resolvers, lane.stage.ingress.port).visit(f"{project.name}.{ZONE}")
    record = (await lane.stage.kube.every("deploymentrecords", lane.stage.namespace))[-1]
    return faults if visit.status == 200 else [*faults, f"{visit} after {record['metadata']['name']}"]


def _untrue(lane: Lane, project: Project) -> list[str]:
    """What makes a success a lie at this moment."""
    live = lane.stage.argocd.cluster.of(project.name)
    healthy = live.phase == "Healthy" and live.serving == live.objects
    return [] if healthy else [f"told as healthy while the old version answers and the new one is {live.phase}"]


async def a_build_never_ends(lane: Lane, project: Project) -> list[str]:
    await project.set_up()
    await project.slow_down(120)
    return await _fails_and_names(project, "BuildTimeout", "build")


async def a_build_never_starts(lane: Lane, project: Project) -> list[str]:
    await project.set_up()
    queue = lane.stage.jenkins.queue
    before, queue.executors = queue.executors, 0
    try:
        return await _fails_and_names(project, "BuildTimeout", "queue")
    finally:
        queue.executors = before


async def a_sync_never_ends(lane: Lane, project: Project) -> list[str]:
    await project.set_up()
    lane.stage.argocd.hold_operation(project.name)
    try:
        return await _fails_and_names(project, "SyncFailed", f"sync of {project.name}: running")
    finally:
        lane.stage.argocd.release(project.name)


async def it_never_gets_healthy(lane: Lane, project: Project) -> list[str]:
    await project.set_up()
    times = lane.stage.argocd.controller.times
    before, times.healthy = times.healthy, 600.0
    try:
        return await _fails_and_names(project, "HealthTimeout", "health")
    finally:
        times.healthy = before


async def a_broken_sync_does_not_block_its_fix(lane: Lane, project: Project) -> list[str]:
    """The next deployment goes through although the operation of the one before does not end by itself."""
    await project.set_up()
    lane.stage.argocd.hold_operation(project.name)
    try:
        faults = await _fails_and_names(project, "SyncFailed", f"sync of {project.name}: running")
        await project.ended(await project.begin())
    finally:
        lane.stage.argocd.release(project.name)
    return faults


async def _fails_and_names(project: Project, reason: str, words: str) -> list[str]:
    last = await project.ended(await project.begin(), "Failed")
    told = last.payload
    faults = [] if told["reason"] == reason else [f"the reason is {told['reason']} instead of {reason}"]
    return faults if words in told["message"].lower() else [*faults, f"'{words}' is not named: {told['message']}"]


def argo_trials() -> Iterator[Trial]:
    """All of them."""
    for lag in HEALTH_LAGS:
        yield Trial(7, f"health is shown {lag:g} s late", partial(old_health_remains, lag))
    yield Trial(8, "a build never ends", a_build_never_ends, PROMPT)
    yield Trial(8, "a build never leaves the queue", a_build_never_starts, PROMPT)
    yield Trial(8, "a sync never ends", a_sync_never_ends, PROMPT)
    yield Trial(8, "it never gets healthy", it_never_gets_healthy, PROMPT)
    yield Trial(8, "a sync that never ended, then a good deployment", a_broken_sync_does_not_block_its_fix, PROMPT)
