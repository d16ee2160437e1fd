"""A create storm: many objects at once, until all are Ready; what it took, by the audit log and the kernel."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from testbed.audit import AuditEvent
from testbed.stage import Stage
from tests.bench.bare_api import BareApi
from tests.bench.contenders import Running, Wanted
from tests.bench.ground import WRITES, requests_by, still
from tests.bench.processor import cpu_seconds, own_cpu_seconds
from tests.bench.seen import Seen

DEADLINE = timedelta(minutes=10)


@dataclass(frozen=True)
class Storm:
    """What one storm came to. Seconds; counts are of accepted requests of the operator."""

    objects: int
    seconds: float
    """From the first creation until the last is Ready, as a watch sees it."""
    writes: int
    """To the objects themselves."""
    others: int
    """Other writes: events."""
    refused: int
    """Writes that the server refused, such as conflicts."""
    span: float
    """From the first creation to the operator's last write, by the server's clock."""
    operator_cpu: float
    server_cpu: float
    """Of API server, etcd and controller manager."""
    bench_cpu: float
    """Of the bench itself, with the stand-ins and the programs that these run."""
    requests: dict[str, int]
    """Of the operator, refused ones too, by verb and resource."""

    @property
    def reads(self) -> int:
        """Requests that write nothing, watches apart."""
        return sum(count for name, count in self.requests.items() if name.split()[0] in ("get", "list"))

    @property
    def rate(self) -> float:
        """API writes a second."""
        return (self.writes + self.others) / self.span


async def grow(stage: Stage, running: Running, wanted: Wanted, wave: int | None = None) -> float:
    """Create all of these and wait until all are Ready: seconds from the first creation to the last Ready.

    All at once, or a `wave` at a time, of which the next one comes when the last one is Ready.
    """
    bodies = list(wanted)
    size = wave or max(1, len(bodies))
    async with BareApi(stage.control_plane) as api, Seen(stage.kube, running.collections).watching() as seen:
        started = time.monotonic()
        for first in range(0, len(bodies), size):
            some = bodies[first : first + size]
            await api.create_all(some)
            await seen.reach(first + len(some), DEADLINE)
    return max(seen.times.values(), default=started) - started


async def create_storm(stage: Stage, running: Running, count: int) -> Storm:
    """Create so many at once, and wait until all are Ready and the operator writes nothing more."""
    server = list(stage.control_plane.pids.values())
    since = stage.control_plane.audit.position()
    before = (cpu_seconds([running.pid]), cpu_seconds(server), own_cpu_seconds())
    seconds = await grow(stage, running, running.wanted(count))
    await still(stage, running.user)
    after = (cpu_seconds([running.pid]), cpu_seconds(server), own_cpu_seconds())
    operator_cpu, server_cpu, bench_cpu = (now - then for now, then in zip(after, before, strict=True))
    asked = requests_by(stage, running.user, since)
    written = [event for event in asked if event.verb in WRITES]
    resources = {path.rpartition("/")[2] for path in running.collections}
    accepted = [event for event in written if event.code < 400]
    return Storm(
        objects=count,
        seconds=seconds,
        writes=sum(event.resource in resources for event in accepted),
        others=sum(event.resource not in resources for event in accepted),
        refused=len(written) - len(accepted),
        span=(max(event.received for event in accepted) - _first_creation(stage, since)).total_seconds(),
        operator_cpu=operator_cpu,
        server_cpu=server_cpu,
        bench_cpu=bench_cpu,
        requests=dict(Counter(map(_kind, asked)).most_common()),
    )


def _kind(event: AuditEvent) -> str:
    return f"{event.verb} {event.resource}{'/' * bool(event.subresource)}{event.subresource}"


def _first_creation(stage: Stage, since: int) -> datetime:
    return min(
        event.received
        for event in stage.control_plane.audit.events(user="admin", since=since)
        if event.verb == "create"
    )
