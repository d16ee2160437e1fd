"""A quiet tenant beside a noisy one: message to first heartbeat of the one, with and without broken objects beside it.

`python -m tests.bench.noisy --broken 200 --messages 30` tries it out in little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from testbed import chart
from testbed.stage import Stage
from testbed.stage_cluster import condition
from testbed.stage_operator import Operator
from tests.bench.bare_api import BareApi
from tests.bench.broken import MIX, NOWHERE, broken
from tests.bench.contenders import UNHURRIED
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.ground import lifted, operator_on, quiet, set_up, stage_at_once, until
from tests.bench.latency import beating, milliseconds, rows_of

PROJECTS = [f"calm-{number}" for number in range(10)]
NEIGHBOUR = "noisy-neighbour"
BROKEN = 2_000
MESSAGES = 200
EVERY = timedelta(seconds=1)
GROWTH = 20.0
ALONE, MEANWHILE, BESIDE = "alone", "while they are made", "beside them"
INTERVALS = {"RETRY_EXTERNAL_DELAY": "30s", "BREAKER_TIMEOUT": "60s"}
"""The defaults, instead of the stage's short ones."""
TEXT = """\
The quiet tenant has ten Ready projects in a namespace; one message comes every {every:g} s, to each project in turn.
The noisy one has {broken:,} children in a namespace of its own, none of which can become Ready: in turn a source on a
server that does not answer, a login whose Secret is missing, an image repository in an account that is not allowed, and
a host in a zone that is not allowed. One operator works for both, and looks at broken objects as often as its defaults
say: at the first about once a minute, when the breaker of their server lets one through, and at the others every 300 s.
Times count as in the table above: from when a message was due. The goal is about the time when all of them were looked
at once; how it was before, while they were created, is told too."""


async def measure(repetitions: int, *, broken: int = BROKEN, messages: int = MESSAGES) -> Findings:
    """One run: the messages of each state are many."""
    del repetitions
    found: dict[str, Spread] = {}
    async with stage_at_once() as stage, operator_of_both(stage):
        await set_up(stage, PROJECTS, timedelta(minutes=3))
        await quiet(stage, timedelta(minutes=1))
        found[ALONE] = await heard(stage, messages)
        async with beating(stage, EVERY, broken, PROJECTS) as beats:
            await make_noise(stage, broken)
        found[MEANWHILE] = milliseconds(beats)
        found[BESIDE] = await heard(stage, messages)
    return findings_of(found, broken)


@asynccontextmanager
async def operator_of_both(stage: Stage) -> AsyncIterator[Operator]:
    """An operator that works for both namespaces. Messages that name none are for the first one."""
    await stage.control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEIGHBOUR}}])
    await stage.control_plane.apply(rights_in(NEIGHBOUR, stage.namespace))
    hosts = f"{stage.environment()['GIT_ALLOWED_HOSTS']},{NOWHERE}"
    both = {"RECONCILER_NAMESPACES": f"{stage.namespace},{NEIGHBOUR}", "GIT_ALLOWED_HOSTS": hosts}
    async with operator_on(stage, **lifted(), **UNHURRIED, **INTERVALS, **both) as operator:
        yield operator


def rights_in(namespace: str, home: str) -> list[dict[str, Any]]:
    """What the chart lets an operator in `home` do there, for another namespace that it watches."""
    found = []
    for each in chart.rights(home):
        if each["kind"] in ("Role", "RoleBinding"):
            found.append({**each, "metadata": {**each["metadata"], "namespace": namespace}})
    return found


async def heard(stage: Stage, messages: int) -> Spread:
    """Of so many messages, one after the other."""
    async with beating(stage, EVERY, messages, PROJECTS) as beats:
        await asyncio.sleep(messages * EVERY.total_seconds())
    return milliseconds(beats)


async def make_noise(stage: Stage, count: int) -> None:
    """Create so many broken objects at once, and wait until the operator has said of each that it is not Ready."""
    async with BareApi(stage.control_plane) as api:
        await api.create_all(broken(NEIGHBOUR, count))

    async def looked_at() -> bool:
        found = [each for plural in MIX for each in await stage.kube.every(plural, NEIGHBOUR)]
        return len(found) == count and all(is_broken(each) for each in found)

    await until(looked_at, f"{count} broken objects are looked at", timedelta(minutes=15), every=timedelta(seconds=5))


def is_broken(resource: Mapping[str, Any]) -> bool:
    """Whether the operator has said why it is not Ready; RuntimeError where it is."""
    ready = condition(resource, "Ready")
    if ready is not None and ready["status"] == "True":
        raise RuntimeError(f"{resource['kind']} {resource['metadata']['name']} was to be broken, and is Ready")
    return any(
        found is not None and found["status"] == "True"
        for found in (condition(resource, "Stalled"), condition(resource, "VendorDegraded"))
    )


def findings_of(found: Mapping[str, Spread], broken: int = BROKEN) -> Findings:
    """Milliseconds of the quiet tenant, alone and beside the noisy one."""
    alone, beside = found[ALONE].percentile(99), found[BESIDE].percentile(99)
    growth = (beside / alone - 1) * 100
    title = f"A noisy tenant: p99 of its quiet neighbour grows by {growth:.0f} %"
    text = TEXT.format(every=EVERY.total_seconds(), broken=broken)
    table = Table(title, text, ("quiet tenant", "messages", "p50", "p99", "longest"), rows_of(found))
    name = f"p99 of message to first heartbeat beside {broken} broken objects of another tenant, growth"
    goal = Goal(name, round(growth), GROWTH, " %")
    return Findings([table], [goal], {"milliseconds": {state: each.values for state, each in found.items()}})


def main() -> int:
    """A trial of another size, which is kept nowhere."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.noisy", description=__doc__)
    parser.add_argument("--broken", type=int, default=BROKEN)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="in each state")
    options = parser.parse_args()
    found = asyncio.run(partial(measure, broken=options.broken, messages=options.messages)(1))
    sys.stdout.write("\n".join([found.tables[0].plain(), found.goals[0].text, json.dumps(found.raw), ""]))
    return 0 if found.goals[0].reached else 1


if __name__ == "__main__":
    sys.exit(main())
