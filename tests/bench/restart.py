"""A new process with thousands of records at their end: when it serves, what it asks, and what it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from testbed.kube_api import Object
from testbed.stage import Stage
from testbed.stage_operator import Operator
from testbed.triggers import Message, reconcile
from tests.bench.contenders import UNHURRIED
from tests.bench.ended import RECORDS, Copy, copy_all, deployed
from tests.bench.figures import Findings, Spread
from tests.bench.ground import (
    WRITES,
    lifted,
    operator_on,
    quiet,
    requests,
    set_up,
    stage_at_once,
    vendor_requests,
)
from tests.bench.processor import cpu_seconds, peak_kilobytes, resident_kilobytes
from tests.bench.restart_table import Restarted, findings_of

SPARE = "spare"
"""A project beside those of the records: the message that waits for the start is for it."""
RESTARTS = 3
PATIENCE = timedelta(minutes=2)


@dataclass(frozen=True)
class Size:
    """So many projects, and so many records at their end for each: one at first, then `many`."""

    projects: int = 50
    many: int = 100
    """As many as a project may keep."""
    spread: timedelta = timedelta(seconds=20)
    """`START_SPREAD`, over which the first looks at objects without work are spread."""


async def measure(repetitions: int) -> Findings:
    """Restarts with a record for each project first, then with all."""
    return await measure_with(Size(), min(repetitions, RESTARTS))


async def measure_with(size: Size, repetitions: int) -> Findings:
    """The same, as large as that."""
    names = [f"old-{number:03}" for number in range(size.projects)]
    variables = lifted() | UNHURRIED | {"START_SPREAD": f"{size.spread.total_seconds():g}s"}
    async with stage_at_once() as stage, operator_on(stage, **variables) as operator:
        await set_up(stage, [*names, SPARE], timedelta(minutes=5), historyLimit=size.many)
        *originals, _ = await deployed(stage, [*names, SPARE])
        await quiet(stage, PATIENCE)
        await operator.restart(kill=False)
        await _all_looked_at(stage, size.spread)  # for the first time since the deployments
        few = await _restarted(stage, operator, size.projects, size.spread, repetitions)
        await operator.stop()
        await copy_all(stage, _copies(originals, size.many - 1))
        many = await _restarted(stage, operator, size.projects * size.many, size.spread, repetitions)
    return findings_of(few, many)


def _copies(originals: Sequence[Object], each: int) -> Iterator[Copy]:
    for number in range(each):
        for original in originals:
            project = original["spec"]["projectRef"]["name"]
            yield Copy(original, f"{project}-copy-{number:03}")


async def _restarted(stage: Stage, operator: Operator, records: int, spread: timedelta, repetitions: int) -> Restarted:
    times = [await _until_it_serves(stage, operator) for _ in range(repetitions)]
    await quiet(stage, PATIENCE)
    await operator.stop()
    before, since = vendor_requests(stage), stage.control_plane.audit.position()
    await operator.start()
    await operator.wait_ready()
    await _all_looked_at(stage, spread)
    asked = requests(stage, since)
    written = [event for event in asked if event.verb in WRITES]
    return Restarted(
        records=records,
        ready=Spread.of([ready for ready, _ in times]),
        heard=Spread.of([heard for _, heard in times]),
        record_writes=sum(event.resource == RECORDS for event in written),
        other_writes=sum(event.resource != RECORDS for event in written),
        reads=sum(event.verb in ("get", "list") for event in asked),
        vendors=dict(vendor_requests(stage) - before),
        cpu=cpu_seconds([operator.pid]),
        resident=resident_kilobytes(operator.pid),
        peak=peak_kilobytes(operator.pid),
    )


async def _all_looked_at(stage: Stage, spread: timedelta) -> None:
    await asyncio.sleep(spread.total_seconds() * 1.1)  # waits are a little longer than planned
    await quiet(stage, PATIENCE)


async def _until_it_serves(stage: Stage, operator: Operator) -> tuple[float, float]:
    """Seconds from the start of the process until it is ready, and until a message that waited is heard of."""
    await operator.stop()
    message = reconcile(SPARE)
    await stage.publish(message)
    started = time.monotonic()
    await operator.start()
    heard = asyncio.create_task(_heard(stage, message))
    try:
        await operator.wait_ready(PATIENCE)
        ready = time.monotonic()
        return ready - started, await heard - started
    finally:
        heard.cancel()
        await stage.heartbeats.terminal(SPARE, event=message["event_id"], deadline=PATIENCE)


async def _heard(stage: Stage, message: Message) -> float:
    event = message["event_id"]
    await stage.heartbeats.wait(lambda beat: beat.payload["trigger_event_id"] == event, "it is heard of", PATIENCE)
    return time.monotonic()
