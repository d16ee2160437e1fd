"""Message to first heartbeat: at rest, and while many children are created."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from testbed.stage import Stage
from testbed.stage_operator import REPOSITORY, clean_environment
from tests.bench import metronome
from tests.bench.contenders import UNHURRIED, running_in
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.ground import lifted, operator_on, quiet, set_up, stage_at_once
from tests.bench.storm import grow

PROJECTS = [f"talk-{number}" for number in range(10)]
AT_REST, AT_REST_EVERY = 20, timedelta(seconds=2)
IN_STORM_EVERY = timedelta(seconds=1)
CHILDREN = 500
ROUNDS = 6
"""At most. One alone has too few messages for a p99."""
TIMES = 10.0
TEXT = f"""\
From the time at which a message was to be published to the first heartbeat of its deployment; a message that goes out
late counts from when it was due. At rest one comes every {AT_REST_EVERY.total_seconds():g} s, to ten projects in turn,
so that a deployment is over before the next. In the storm one comes every {IN_STORM_EVERY.total_seconds():g} s, from
when {CHILDREN:,} children begin to be created until all are Ready, so that deployments under way meet too; the slowest
are those of its first two seconds. Rest and storm alternate, and the messages of all rounds are taken together. A
process of its own publishes and listens. The vendors answer at once, and their budgets are lifted."""


async def measure(repetitions: int) -> Findings:
    """Rounds of rest and storm, whose messages are taken together."""
    found: dict[str, list[float]] = {"at rest": [], "in a storm": []}
    async with stage_at_once() as stage, operator_on(stage, **lifted(), **UNHURRIED) as operator:
        await set_up(stage, PROJECTS, timedelta(minutes=3))
        for number in range(min(repetitions, ROUNDS)):
            await quiet(stage, timedelta(minutes=3))
            async with beating(stage, AT_REST_EVERY, AT_REST) as beats:
                await asyncio.sleep(AT_REST * AT_REST_EVERY.total_seconds())
            found["at rest"] += beats
            await quiet(stage, timedelta(minutes=3))
            children = await running_in(stage, stage.namespace, operator, prefix=f"storm-{number}")
            async with beating(stage, IN_STORM_EVERY, CHILDREN) as beats:
                await grow(stage, children, children.wanted(CHILDREN))
            found["in a storm"] += beats
    return findings_of({state: milliseconds(some) for state, some in found.items()})


@asynccontextmanager
async def beating(
    stage: Stage, every: timedelta, most: int, projects: Sequence[str] = PROJECTS
) -> AsyncIterator[list[float]]:
    """Messages as long as the body runs. Afterwards the list holds the latencies, in seconds."""
    seconds: list[float] = []
    command = [sys.executable, "-m", metronome.__name__, str(every.total_seconds()), str(most), *projects]
    environment = clean_environment(stage.environment())
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, cwd=REPOSITORY, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = await process.stdout.readline()
        if said.decode().strip() != metronome.READY:
            raise RuntimeError(f"the metronome does not run: {said!r}")
        process.stdin.write(b"begin\n")
        yield seconds
        process.stdin.write(b"end\n")
        seconds += _heard(json.loads(await process.stdout.read()))
    finally:
        if process.returncode is None and not process.stdout.at_eof():
            process.kill()
        await process.wait()


def _heard(found: list[float | None]) -> list[float]:
    lost = found.count(None)
    if lost:
        raise RuntimeError(f"of {lost} of {len(found)} messages nothing was heard")
    return [each for each in found if each is not None]


def milliseconds(seconds: list[float]) -> Spread:
    """What was heard after so many seconds."""
    return Spread.of([each * 1000 for each in seconds])


def findings_of(found: dict[str, Spread]) -> Findings:
    """Milliseconds at rest and in the storm."""
    rest, storm = found["at rest"], found["in a storm"]
    times = storm.percentile(99) / rest.percentile(99)
    title = f"Message to first heartbeat: p99 in a storm {times:.1f} times that at rest"
    table = Table(title, TEXT, ("state", "messages", "p50", "p99", "longest"), rows_of(found))
    goal = Goal("p99 of message to first heartbeat in a storm, against at rest", round(times, 1), TIMES, " times")
    return Findings([table], [goal], {"milliseconds": {state: each.values for state, each in found.items()}})


def rows_of(found: Mapping[str, Spread]) -> list[list[str]]:
    """State, messages, and p50, p99 and the longest in milliseconds."""
    return [
        [
            state,
            str(len(each.values)),
            *(f"{value:.0f} ms" for value in (*map(each.percentile, (50, 99)), each.values[-1])),
        ]
        for state, each in found.items()
    ]
