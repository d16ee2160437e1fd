"""API requests of objects at rest, by the API server's own audit log: what grows with their number."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from testbed.stage import Stage
from testbed.stage_operator import Operator
from tests.bench.figures import Findings, Goal, Table
from tests.bench.ground import lifted, operator_on, passes, quiet, requests, set_up, stage_at_once

FEW, MANY = 4, 12
OBJECTS = 5
"""Of a project: itself and its four children."""
POLL_INTERVAL, AS_A_RULE = timedelta(seconds=10), timedelta(minutes=5)
POLLS = 4
LIMIT = 0.01
TEXT = """\
Projects that are Ready, without Secrets of their own, while nothing changes; each object is looked at by the poll,
which comes every 10 seconds here. Counted is every request of the operator but its watches, its Lease, Kopf's peering
and the question for the server's version, and converted to the `POLL_INTERVAL` of 5 minutes that is the default. The
slope is what an object more costs."""


@dataclass(frozen=True)
class Rest:
    """What so many objects asked for while they rested."""

    objects: int
    passes: int
    requests: Counter[str]

    @property
    def per_hour(self) -> float:
        """At the default interval."""
        return self.requests.total() * (timedelta(hours=1) / AS_A_RULE) / POLLS


async def measure(repetitions: int) -> Findings:
    """Counts: one run is enough."""
    del repetitions
    names = [f"at-rest-{number:02}" for number in range(MANY)]
    async with stage_at_once() as stage:
        variables = lifted() | {"POLL_INTERVAL": f"{POLL_INTERVAL.total_seconds():g}s"}
        async with operator_on(stage, **variables) as operator:
            await set_up(stage, names[:FEW], timedelta(minutes=5))
            few = await _rest(stage, operator, FEW)
            await set_up(stage, names[FEW:], timedelta(minutes=5))
            many = await _rest(stage, operator, MANY)
    return _findings(few, many)


async def _rest(stage: Stage, operator: Operator, projects: int) -> Rest:
    await quiet(stage)
    await asyncio.sleep(2.5 * POLL_INTERVAL.total_seconds())
    since, before = stage.control_plane.audit.position(), await passes(operator)
    await asyncio.sleep(POLLS * POLL_INTERVAL.total_seconds())
    done = await passes(operator) - before
    asked = Counter(f"{e.verb} {e.resource}" for e in requests(stage, since) if e.verb != "watch")
    return Rest(projects * OBJECTS, done, asked)


def _findings(few: Rest, many: Rest) -> Findings:
    slope = (many.per_hour - few.per_hour) / (many.objects - few.objects)
    rows = [
        [
            str(each.objects),
            str(each.passes),
            ", ".join(f"{count} {what}" for what, count in sorted(each.requests.items())) or "none",
            f"{each.per_hour:g}",
        ]
        for each in (few, many)
    ]
    table = Table("Objects at rest", TEXT, ("objects", "passes", "requests", "per hour"), rows)
    goal = Goal("API requests of an object more at rest, per hour", round(slope, 3), LIMIT)
    raw = {str(each.objects): {"passes": each.passes, "requests": dict(each.requests)} for each in (few, many)}
    return Findings([table], [goal], raw | {"slope": slope})
