"""Many previews: deployed at once, looked at by a new process, and expired at one time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.stage import Stage
from testbed.stage_cluster import condition, path
from testbed.stage_heartbeats import Heartbeat
from testbed.stage_operator import Operator
from testbed.triggers import initialize, reconcile
from tests.bench.contenders import UNHURRIED
from tests.bench.figures import Findings, Spread, Table
from tests.bench.ground import all_ready, lifted, operator_on, project_spec, quiet, stage_at_once, writes
from tests.bench.seen import Seen

PROJECTS = [f"team-{number:02}" for number in range(20)]
EACH = 10
COUNT = len(PROJECTS) * EACH
RECORDS = "deploymentrecords"
AHEAD = timedelta(seconds=20)
WINDOW = timedelta(seconds=30)
DEADLINE = timedelta(minutes=15)
TEXT = f"""\
{COUNT} previews of {len(PROJECTS)} projects, all by messages at one time. The vendors answer at once; their budgets and
the rate of expiry are lifted. A deployment counts from when the messages began to go out to its terminal heartbeat; an
expiry from `expiresAt`, which is the same for all, to the condition, as a watch sees it. The new process starts after
the old one has ended in order; its writes are those of its first {WINDOW.total_seconds():g} s."""


@dataclass
class Lives:
    """Seconds for each preview."""

    deployed: list[float] = field(default_factory=list)
    expired: list[float] = field(default_factory=list)
    cleaned: list[float] = field(default_factory=list)
    restart: float = 0.0
    """Until the new process is ready."""
    restart_writes: int = 0


async def measure(repetitions: int) -> Findings:
    """One run."""
    del repetitions
    lives = Lives()
    variables = lifted() | UNHURRIED | {"EXPIRY_RATE": "100000"}
    async with stage_at_once() as stage, operator_on(stage, **variables) as operator:
        await _set_up(stage)
        lives.deployed = await _deploy(stage)
        await quiet(stage, timedelta(minutes=2))
        await _restart(stage, operator, lives)
        await _expire(stage, lives)
    return findings_of(lives)


async def _set_up(stage: Stage) -> None:
    specs = [await project_spec(stage, name, "shared") | {"previews": {"max": EACH}} for name in PROJECTS]
    messages = [initialize(name, spec) for name, spec in zip(PROJECTS, specs, strict=True)]
    await asyncio.gather(*(stage.publish(message) for message in messages))
    await all_ready(stage, "devopsprojects", len(messages), timedelta(minutes=5))
    await quiet(stage, timedelta(minutes=1))


async def _deploy(stage: Stage) -> list[float]:
    ended: dict[str, float] = {}

    def hear(beat: Heartbeat) -> None:
        if beat.payload["terminal"]:
            ended.setdefault(beat.payload["trigger_event_id"], time.monotonic())

    stage.heartbeats.listeners.append(hear)
    messages = [reconcile(name, environment=f"pr-{number}") for number in range(EACH) for name in PROJECTS]
    started = time.monotonic()
    await asyncio.gather(*(stage.publish(message) for message in messages))
    for message in messages:
        last = await stage.heartbeats.terminal(
            message["payload"]["project"], event=message["event_id"], deadline=DEADLINE
        )
        if last.payload["result"] != "Succeeded":
            raise RuntimeError(f"a deployment ended with {last}")
    return [ended[message["event_id"]] - started for message in messages]


async def _restart(stage: Stage, operator: Operator, lives: Lives) -> None:
    await operator.stop()
    since = stage.control_plane.audit.position()
    started = time.monotonic()
    await operator.start()
    await operator.wait_ready()
    lives.restart = time.monotonic() - started
    await asyncio.sleep(WINDOW.total_seconds())
    lives.restart_writes = len(writes(stage, since))


async def _expire(stage: Stage, lives: Lives) -> None:
    now = datetime.now(UTC)
    at = (now + AHEAD).replace(microsecond=0)
    due = time.monotonic() + (at - now).total_seconds()
    records = await stage.kube.every(RECORDS, stage.namespace)
    collections = [path(RECORDS, namespace=stage.namespace)]
    async with (
        Seen(stage.kube, collections, _is("Expired"), new=False).watching() as expired,
        Seen(stage.kube, collections, _is("CleanupVerified"), new=False).watching() as cleaned,
    ):
        change = {"spec": {"expiresAt": at.isoformat().replace("+00:00", "Z")}}
        names = (path(RECORDS, each["metadata"]["name"], stage.namespace) for each in records)
        await asyncio.gather(*(stage.kube.patch(name, change) for name in names))
        await cleaned.reach(COUNT, DEADLINE)
    lives.expired = [seen - due for seen in expired.times.values()]
    lives.cleaned = [seen - due for seen in cleaned.times.values()]


def _is(kind: str) -> Any:
    return lambda resource: (condition(resource, kind) or {}).get("status") == "True"


def findings_of(lives: Lives) -> Findings:
    """Seconds of all previews, and of the restart."""
    rows = [_row("terminal heartbeat", lives.deployed), _row("Expired", lives.expired)]
    rows += [_row("clean-up verified", lives.cleaned)]
    rows.append(["new process ready", f"{lives.restart:.1f} s", "", f"{lives.restart_writes} API writes"])
    title = f"{COUNT} previews at once: deployed after {max(lives.deployed):.0f} s"
    return Findings([Table(title, TEXT, ("until", "p50", "p99", "last"), rows)], [], {"seconds": lives.__dict__})


def _row(name: str, seconds: Iterable[float]) -> list[str]:
    spread = Spread.of(list(seconds))
    return [name, *(f"{value:.1f} s" for value in (*map(spread.percentile, (50, 99)), spread.values[-1]))]
