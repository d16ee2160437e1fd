"""API writes per object, by the API server's own audit log: what capacity an object costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from testbed.audit import AuditEvent
from testbed.stage import Stage
from testbed.stage_cluster import KINDS
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.ground import lifted, operator_on, passes, quiet, requests, set_up, stage_at_once, writes

PROJECTS = 20
CHILD_LIMIT, PROJECT_LIMIT = 3.0, 5.0
POLL_INTERVAL = timedelta(seconds=10)
TEXT = """\
From creation to Ready, the creation itself and the finalizer included; counted for each object. Events, the Lease and
Kopf's peering are apart. One project alone, then so many at once; then every object is looked at again by the poll, and
by a new process. The vendors answer at once and their budgets are lifted. Where the machine is short of time, waits
take longer than the 10 seconds after which they are told, and acts longer than the 5 after which intents are saved
anew: each is one write more."""


async def measure(repetitions: int) -> Findings:
    """Counts: one run is enough."""
    del repetitions
    async with stage_at_once() as stage:
        variables = lifted() | {"POLL_INTERVAL": f"{POLL_INTERVAL.total_seconds():g}s"}
        async with operator_on(stage, **variables) as operator:
            alone = await _set_up(stage, ["alone"])
            together = await _set_up(stage, [f"one-of-many-{number:02}" for number in range(PROJECTS)])
            since, before = stage.control_plane.audit.position(), await passes(operator)
            await asyncio.sleep(2.5 * POLL_INTERVAL.total_seconds())
            resync, looks = len(writes(stage, since)), await passes(operator) - before
            since = stage.control_plane.audit.position()
            await operator.restart()
            await asyncio.sleep(2.5 * POLL_INTERVAL.total_seconds())
            restart, again = len(writes(stage, since)), _looks(requests(stage, since))
    return _findings(alone, together, (resync, looks), (restart, again))


async def _set_up(stage: Stage, names: list[str]) -> dict[str, Spread]:
    for name in names:
        await stage.sample(name)
    since = stage.control_plane.audit.position()
    await set_up(stage, names, timedelta(minutes=5))
    await quiet(stage)
    return per_object(writes(stage, since))


def per_object(events: Iterable[AuditEvent]) -> dict[str, Spread]:
    """How often the objects of each of our kinds were written, by kind."""
    count = Counter((e.resource, e.name) for e in events if e.resource in KINDS and e.code < 400)
    return {plural: Spread.of([n for (kind, _), n in count.items() if kind == plural]) for plural, _ in count}


def _looks(events: Iterable[AuditEvent]) -> int:
    """How many of our objects were read by name."""
    return len({(e.resource, e.name) for e in events if e.resource in KINDS and e.verb == "get"})


def _findings(
    alone: dict[str, Spread], together: dict[str, Spread], resync: tuple[int, int], restart: tuple[int, int]
) -> Findings:
    head = ("kind", "alone", f"{PROJECTS} projects at once")
    rows = [[KINDS[plural], alone[plural].text(), together[plural].text()] for plural in alone]
    rows.append([f"resync, {resync[1]} passes", "", str(resync[0])])
    rows.append([f"restart, {restart[1]} objects looked at", "", str(restart[0])])
    children = [spread for plural, spread in alone.items() if plural != "devopsprojects"]
    goals = [
        Goal("API writes of a child", max(spread.median for spread in children), CHILD_LIMIT),
        Goal("API writes of a project", alone["devopsprojects"].median, PROJECT_LIMIT),
        Goal("API writes on resync", resync[0], 0),
        Goal("API writes on restart", restart[0], 0),
    ]
    raw = {
        "alone": {plural: spread.values for plural, spread in alone.items()},
        "together": {plural: spread.values for plural, spread in together.items()},
        "resync": resync[0],
        "restart": restart[0],
    }
    return Findings([Table("API writes", TEXT, head, rows)], goals, raw)
