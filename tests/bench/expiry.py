"""Previews whose time is over within one minute: how late that shows, when they are gone, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from testbed.kube_api import Object
from testbed.stage import Stage
from testbed.stage_cluster import condition, path
from testbed.stage_operator import Operator
from testbed.triggers import initialize
from tests.bench.contenders import UNHURRIED
from tests.bench.ended import RECORDS, deployed
from tests.bench.expiry_table import Cost, findings_of
from tests.bench.figures import Findings, Spread
from tests.bench.ground import (
    UNLIMITED,
    WRITES,
    all_ready,
    lifted,
    operator_on,
    passes,
    project_spec,
    quiet,
    requests,
    stage_at_once,
    until,
    vendor_requests,
)
from tests.bench.previews import REAL, ZONES, Preview, make_outside, make_records
from tests.bench.processor import cpu_seconds
from tests.bench.seen import Seen

MINUTE = timedelta(minutes=1)
SPREAD = timedelta(seconds=10)
"""`START_SPREAD`: who waits for its time has been looked at once before that."""
VARIABLES = {
    "DNS_ALLOWED_ZONES": ",".join(ZONES),
    "EXPIRY_RATE": str(UNLIMITED),
    "START_SPREAD": f"{SPREAD.total_seconds():g}s",
    "TTL_CHECK_INTERVAL": "30s",
}
AHEAD = timedelta(seconds=30)
"""For a start of the operator, and its first looks."""
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Size:
    """So many projects and previews of each."""

    projects: int = 50
    each: int = 20


async def measure(repetitions: int) -> Findings:
    """One minute, and what follows until all are gone: there are enough previews for a distribution."""
    del repetitions
    return await measure_with(Size())


async def measure_with(size: Size) -> Findings:
    """The same with so many."""
    names = [f"team-{number:03}" for number in range(size.projects)]
    async with stage_at_once() as stage:
        for zone in ZONES[1:]:
            stage.godaddy.add_zone(zone)
        async with operator_on(stage, **lifted(), **UNHURRIED, **VARIABLES) as operator:
            await _set_up(stage, names, size.each)
            originals = await deployed(stage, names, environment=REAL, ttl="1h")
            await quiet(stage, PATIENCE)
            await operator.stop()
            previews = list(previews_of(originals, size))
            started = time.monotonic()
            await make_outside(stage, previews)
            took = timedelta(seconds=round(time.monotonic() - started))
            first = datetime.now(UTC).replace(microsecond=0) + took * 3 + AHEAD  # the records are as many requests
            await make_records(stage, previews, first)
            await _wait_for_all(stage, operator, len(previews), first)
            return await _over(stage, operator, previews, first)


async def _set_up(stage: Stage, names: Sequence[str], each: int) -> None:
    """Projects by message, in turn in all zones."""
    messages = []
    for number, name in enumerate(names):
        host = {"host": f"{name}.{ZONES[number % len(ZONES)]}"}
        spec = await project_spec(stage, name, previews={"max": each + 1}, ingress=host)
        messages.append(initialize(name, spec))
    await asyncio.gather(*(stage.publish(message) for message in messages))
    await all_ready(stage, "devopsprojects", len(messages), PATIENCE)


def previews_of(originals: Sequence[Object], size: Size) -> Iterator[Preview]:
    """In turn of all projects, their ends spread evenly over a minute."""
    count = len(originals) * size.each
    for index in range(count):
        number, which = divmod(index, len(originals))
        yield Preview(originals[which], number + 1, timedelta(seconds=int(MINUTE.total_seconds() * index / count)))


async def _wait_for_all(stage: Stage, operator: Operator, count: int, first: datetime) -> None:
    """Until the operator has looked at everything. Raises RuntimeError where the first has expired by then."""
    await operator.start()
    await operator.wait_ready()
    await asyncio.sleep(SPREAD.total_seconds() * 1.1)

    async def looked() -> bool:
        return await passes(operator) >= count

    await until(looked, "all are looked at", PATIENCE, every=timedelta(seconds=1))
    await quiet(stage, PATIENCE)
    late = (datetime.now(UTC) - first).total_seconds()
    if late > 0:
        raise RuntimeError(f"the first preview expired {late:.0f} s before all was ready")


async def _over(stage: Stage, operator: Operator, previews: Sequence[Preview], first: datetime) -> Findings:
    """From before the first expires until all are gone and the operator writes nothing more."""
    collection = path(RECORDS, namespace=stage.namespace)
    server = list(stage.control_plane.pids.values())
    before, since = vendor_requests(stage), stage.control_plane.audit.position()
    cpu = [cpu_seconds([operator.pid]), cpu_seconds(server)]
    async with (
        Seen(stage.kube, [collection], _is("Expired"), old=True).watching() as expired,
        Seen(stage.kube, [collection], _is("CleanupVerified"), old=True).watching() as gone,
    ):
        await gone.reach(len(previews), PATIENCE)
    await quiet(stage, PATIENCE)
    uids = {
        each["metadata"]["name"]: each["metadata"]["uid"] for each in await stage.kube.every(RECORDS, stage.namespace)
    }
    to_wall = time.time() - time.monotonic()
    lags = {
        what: Spread.of([seen.times[uids[it.name]] + to_wall - (first + it.later).timestamp() for it in previews])
        for what, seen in (("Expired", expired), ("CleanupVerified", gone))
    }
    count = len(previews)
    written = [event for event in requests(stage, since) if event.verb in WRITES]
    cost = Cost(
        writes={kind: number / count for kind, number in Counter(event.resource for event in written).items()},
        reads=sum(event.verb in ("get", "list") for event in requests(stage, since)) / count,
        vendors=sum((vendor_requests(stage) - before).values()) / count,
        operator_cpu=(cpu_seconds([operator.pid]) - cpu[0]) / count,
        server_cpu=(cpu_seconds(server) - cpu[1]) / count,
    )
    await _check_gone(stage, previews)
    return findings_of(lags, cost)


async def _check_gone(stage: Stage, previews: Sequence[Preview]) -> None:
    """Raises RuntimeError where something of a preview is left outside."""
    names = {preview.name for preview in previews}
    left = [thing for thing in await stage.inventory() if any(name in thing.name for name in names)]
    if left:
        raise RuntimeError(f"{len(left)} things are left, {left[0]} first")


def _is(kind: str) -> Callable[[Object], bool]:
    def matches(record: Object) -> bool:
        found = condition(record, kind)
        return found is not None and found["status"] == "True"

    return matches
