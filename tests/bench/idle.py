"""At rest: requests for each object and hour, and memory for each object, as slopes between two numbers of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from testbed.stage import Stage
from tests.bench.contenders import NOOP, Running, operator_in, running_in
from tests.bench.figures import Findings
from tests.bench.ground import requests_by, stage_at_once, still, vendor_requests
from tests.bench.idle_table import KUBERNETES, AtRest, findings_of
from tests.bench.processor import resident_kilobytes
from tests.bench.storm import grow

LEVELS = (100, 600)
POLL_INTERVAL = timedelta(seconds=30)
LOOKS = 2
"""How often each object is looked at while requests are counted."""
FIRST_LOOK = 1.2
"""In intervals: an object rests once it was looked at, a little late as all looks are, after it was Ready."""
DEFAULT = timedelta(seconds=300)
"""`POLL_INTERVAL` where nobody sets it: what the figures are scaled to."""
SETTLED = timedelta(seconds=10)
"""Before the memory of one that does nothing at rest is read."""
PER_HOUR = timedelta(hours=1) / DEFAULT / LOOKS


async def measure(repetitions: int) -> Findings:
    """One run: what is counted hardly varies, and the looks take minutes."""
    del repetitions
    async with stage_at_once() as stage:
        interval = f"{POLL_INTERVAL.total_seconds():g}s"
        async with operator_in(stage, "idle-ours", POLL_INTERVAL=interval) as operator:
            running = await running_in(stage, "idle-ours", operator, prefix="idle", pinned=False)
            first = POLL_INTERVAL * FIRST_LOOK
            ours = [await _at_rest(stage, running, level, POLL_INTERVAL * LOOKS, first) for level in LEVELS]
        async with NOOP.start(stage, "idle-noop") as running:
            noop = [await _at_rest(stage, running, level, SETTLED) for level in LEVELS]
    return findings_of(ours, noop, per_hour=PER_HOUR)


async def _at_rest(
    stage: Stage, running: Running, level: int, window: timedelta, first: timedelta = timedelta(0)
) -> AtRest:
    """With so many objects Ready, and after a window in which nothing changes; requests of the `first` count not."""
    there = sum([len((await stage.kube.get(path))["items"]) for path in running.collections])
    await grow(stage, running, list(running.wanted(level))[there:])  # their names count on
    await still(stage, running.user)
    await asyncio.sleep(first.total_seconds())
    before, since = vendor_requests(stage), stage.control_plane.audit.position()
    await asyncio.sleep(window.total_seconds())
    requests = vendor_requests(stage) - before
    requests[KUBERNETES] = _requests(stage, running.user, since)
    return AtRest(level, resident_kilobytes(running.pid), requests)


def _requests(stage: Stage, user: str, since: int) -> int:
    """Of this user to the API server; a watch counts when it begins, the Lease and Kopf's peering do not."""
    found = requests_by(stage, user, since)
    return sum(event.verb != "watch" or event.stage == "ResponseStarted" for event in found)
