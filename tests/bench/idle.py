"""At rest: requests for each object and hour, and memory for each object, as slopes between two numbers of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from testbed.stage import Stage
from tests.bench.contenders import NOOP, Running, operator_in, running_in
from tests.bench.figures import Findings
from tests.bench.ground import passes, requests_by, stage_at_once, still, vendor_requests
from tests.bench.idle_table import KUBERNETES, AtRest, findings_of
from tests.bench.processor import resident_kilobytes
from tests.bench.storm import grow

DEFAULT = timedelta(seconds=300)
"""`POLL_INTERVAL` where nobody sets it: what the figures are scaled to."""
FIRST_LOOK = 1.2
"""In intervals: an object rests once it was looked at, a little late as all looks are, after it was Ready."""
WAVE = 100
"""So many objects are created at a time: a process keeps what its largest storm has taken, whoever is Ready since."""
SETTLED = timedelta(seconds=10)
"""Before the memory of one that does nothing at rest is read."""


@dataclass(frozen=True)
class Plan:
    """Between which numbers of objects the slope is taken; how often, and for how many intervals, all are looked at."""

    levels: tuple[int, ...] = (100, 600)
    interval: timedelta = timedelta(seconds=20)
    looks: int = 2


LARGE = Plan((500, 5000), DEFAULT, looks=1)
"""More than half an hour: so many cannot be looked at more often than they are by default."""


async def measure(repetitions: int, plan: Plan = Plan()) -> Findings:
    """One run: what is counted hardly varies, and the looks take minutes."""
    del repetitions
    window, first = plan.interval * plan.looks, plan.interval * FIRST_LOOK
    async with stage_at_once() as stage:
        interval = f"{plan.interval.total_seconds():g}s"
        async with operator_in(stage, "idle-ours", POLL_INTERVAL=interval) as operator:
            running = await running_in(stage, "idle-ours", operator, prefix="idle", pinned=False)
            ours = []
            for level in plan.levels:
                await _grown(stage, running, level, first)
                before = await passes(operator)
                at = await _at_rest(stage, running, level, window)
                ours.append(replace(at, looks=await passes(operator) - before))
        noop = []
        async with NOOP.start(stage, "idle-noop") as running:
            for level in plan.levels:
                await _grown(stage, running, level, SETTLED)
                noop.append(await _at_rest(stage, running, level, timedelta(0)))
    return findings_of(ours, noop, looks_per_hour=timedelta(hours=1) / DEFAULT)


measure_large = partial(measure, plan=LARGE)


async def _grown(stage: Stage, running: Running, level: int, settled: timedelta) -> None:
    """So many objects are Ready, and nothing changes for so long."""
    there = sum([len((await stage.kube.get(path))["items"]) for path in running.collections])
    await grow(stage, running, list(running.wanted(level))[there:], WAVE)  # their names count on
    await still(stage, running.user)
    await asyncio.sleep(settled.total_seconds())


async def _at_rest(stage: Stage, running: Running, level: int, window: timedelta) -> AtRest:
    """The requests in a window in which nothing changes, and the memory after it."""
    before, since = vendor_requests(stage), stage.control_plane.audit.position()
    await asyncio.sleep(window.total_seconds())
    requests = vendor_requests(stage) - before
    requests[KUBERNETES] = _requests(stage, running.user, since)
    return AtRest(level, resident_kilobytes(running.pid), requests)


def _requests(stage: Stage, user: str, since: int) -> int:
    """Of this user to the API server; a watch counts when it begins, the Lease and Kopf's peering do not."""
    found = requests_by(stage, user, since)
    return sum(event.verb != "watch" or event.stage == "ResponseStarted" for event in found)
