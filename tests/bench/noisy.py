"""A tenant with many broken objects beside a quiet one: how late the quiet one's first heartbeats come."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from testbed.stage import Stage
from testbed.stage_cluster import condition
from tests.bench.bare_api import BareApi
from tests.bench.contenders import UNHURRIED
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.ground import lifted, operator_on, quiet, set_up, stage_at_once, until
from tests.bench.latency import PROJECTS, beating, rows_of
from tests.bench.mix import MIX, broken

BROKEN = 2000
MESSAGES, EVERY = 60, timedelta(seconds=1.5)
ALONE, MEANWHILE, BESIDE = "alone", "while the broken ones come", "beside them"
GROWTH = 20.0
TEXT = f"""\
As above, one message every {EVERY.total_seconds():g} s to ten projects in turn; then another tenant creates {BROKEN:,}
children at once, none of which can become Ready: a registry namespace that is not allowed, a repository that is not
there, a Git host that is not allowed, a host outside of all zones, in turn; then the same messages again beside them,
each of which is looked at every 300 s, the default."""


async def measure(repetitions: int) -> Findings:
    """One run: the broken ones take long to come."""
    del repetitions
    found: dict[str, list[float]] = {}
    async with stage_at_once() as stage, operator_on(stage, **lifted(), **UNHURRIED):
        await set_up(stage, PROJECTS, timedelta(minutes=3))
        await quiet(stage, timedelta(minutes=1))
        found[ALONE] = await _some(stage)
        async with beating(stage, EVERY, BROKEN) as found[MEANWHILE]:
            await _break(stage)
        await quiet(stage, timedelta(minutes=2))
        found[BESIDE] = await _some(stage)
    return findings_of({state: Spread.of([each * 1000 for each in some]) for state, some in found.items()})


async def _some(stage: Stage) -> list[float]:
    async with beating(stage, EVERY, MESSAGES) as beats:
        await asyncio.sleep(MESSAGES * EVERY.total_seconds())
    return beats


async def _break(stage: Stage) -> None:
    async with BareApi(stage.control_plane) as api:
        await api.create_all(broken(stage.namespace, stage.git.address, BROKEN))

    async def stalled() -> bool:
        some = [each for plural in MIX for each in await stage.kube.every(plural, stage.namespace)]
        return sum(1 for each in some if (condition(each, "Stalled") or {}).get("status") == "True") >= BROKEN

    await until(stalled, f"{BROKEN} objects are Stalled", timedelta(minutes=5), every=timedelta(seconds=5))


def findings_of(found: dict[str, Spread]) -> Findings:
    """Milliseconds alone, meanwhile, and beside the broken ones."""
    growth = (found[BESIDE].percentile(99) / found[ALONE].percentile(99) - 1) * 100
    title = f"Beside a tenant with {BROKEN:,} broken objects: p99 of message to first heartbeat grows by {growth:.0f} %"
    table = Table(title, TEXT, ("state", "messages", "p50", "p99", "longest"), rows_of(found))
    goal = Goal("growth of a quiet tenant's p99 beside a broken one", round(growth), GROWTH, " %")
    return Findings([table], [goal], {"milliseconds": {state: each.values for state, each in found.items()}})
