"""Many objects and a restart: story 10."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from .lane import Lane
from .project import Project
from .trial import Trial, ask_deletion, one_build_each, touch

PROJECTS = 25
GODADDY_PER_MINUTE = 60
PER_SECOND = {"jenkins": 40, "argocd": 40, "dockerhub": 20, "godaddy": 10}
"""Requests a second on the average of five: well below what the budgets (a minute each) allow to come at once."""
WINDOW = 5.0
RETRY_AFTER = 6
SOON = timedelta(seconds=RETRY_AFTER - 1)
"""A second less: the operator counts from when it has read the answer."""
FEW = 4
ZONE_READ = r"/records(\?|$)"
TIGHT = {"GODADDY_REQUEST_BUDGET": str(GODADDY_PER_MINUTE), "START_SPREAD": "15s", "POLL_INTERVAL": "30s"}


async def asked_to_wait(lane: Lane, project: Project) -> list[str]:
    """One 429 among several projects that all ask: until its time nobody asks for that any more."""
    crowd = [project, *(Project(lane, f"{project.name}{number}") for number in range(FEW))]
    for each in crowd:
        await each.set_up()
    zone = lane.controls["godaddy"]
    fault = zone.fault("GET", ZONE_READ, 429, retry_after=str(RETRY_AFTER))
    for each in crowd:
        await touch(each, ["ingressresources"])
    async with asyncio.timeout(lane.patience.total_seconds()):
        await fault.happened.wait()
    for _ in range(RETRY_AFTER - 1):
        await asyncio.sleep(1)
        for each in crowd:
            await touch(each, ["ingressresources"])
    for each in crowd:
        await each.ready()
    refused = next(call for call in zone.seen("GET", ZONE_READ) if call.status == 429)
    early = [call for call in zone.seen("GET", ZONE_READ) if refused.at < call.at < refused.at + SOON]
    for each in crowd[1:]:
        await each.delete()
    return [f"asked {(call.at - refused.at).total_seconds():.1f} s after the 429: {call}" for call in early]


async def restart_among_many(lane: Lane, project: Project) -> list[str]:
    """All are looked at again after a restart: no vendor is flooded, and what is in flight comes first."""
    crowd = [Project(lane, f"{project.name}{number:02d}") for number in range(PROJECTS)]
    for each in crowd:
        await each.set_up()
    await project.set_up()
    await project.slow_down(3)
    event = await project.begin()
    await project.heard(event, "build", "Running")
    lane.stage.godaddy.per_minute = GODADDY_PER_MINUTE
    lane.stage.godaddy.over_budget.clear()
    marks = {name: len(controls.calls) for name, controls in lane.controls.items()}
    for replica in lane.replicas:
        replica.kill()
    await project.ended(event)
    await lane.alive()
    await asyncio.sleep(20)
    faults = _flooded(lane, marks) + await one_build_each(project)
    lane.stage.godaddy.per_minute = lane.stage.pace.godaddy_per_minute
    for each in crowd:
        await ask_deletion(each)
    for each in crowd:
        await each.gone()
    return faults


def _flooded(lane: Lane, marks: dict[str, int]) -> list[str]:
    faults = [f"beyond GoDaddy's limit: {call}" for call in lane.stage.godaddy.over_budget]
    for name, limit in PER_SECOND.items():
        calls = lane.controls[name].calls[marks[name] :]
        windows = Counter(int(call.at.timestamp() // WINDOW) for call in calls)
        most = max(windows.values(), default=0) / WINDOW
        if most > limit:
            faults.append(f"{name}: {most:g} requests a second")
    return faults


def herd_trials() -> Iterator[Trial]:
    """All of them."""
    yield Trial(10, f"GoDaddy says 429, to be asked again after {RETRY_AFTER} s", asked_to_wait)
    yield Trial(10, f"a restart among {PROJECTS} projects, one of them being deployed", restart_among_many, TIGHT)
