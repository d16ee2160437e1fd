"""Many projects: the memory of the operator with 200, and 50 created at once within the budgets of the vendors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from standins.controls import Call
from testbed.stage import Stage
from testbed.stage_inventory import Thing
from testbed.stage_operator import Operator
from tests.bench.figures import Findings, Goal, Table
from tests.bench.ground import CALM, lifted, operator_on, quiet, set_up, stage_at_once
from tests.bench.processor import peak_kilobytes

MEGABYTE = 1_000_000
MEMORY_LIMIT = 250.0
RESIDENT = 200
AT_ONCE = 50
GODADDY_LIMIT = 60
"""Requests a minute to each endpoint, as GoDaddy's terms say; its stand-in counts and refuses."""
MINUTE = timedelta(minutes=1)
LOGINS = ("/login", "/token", "/session")
MEMORY_TEXT = """\
Resident memory by the kernel. All projects are Ready; each has four children, so that with 200 projects there are 1,000
objects. The vendors answer at once and their budgets are lifted."""
STORM_TEXT = """\
Projects with repositories of their own, all by messages at one time. The operator keeps to the budgets that it has by
default, and GoDaddy's stand-in refuses what exceeds 60 requests a minute to one endpoint. Each project is made of ten
things at the vendors: folder, two credentials and job; repository; repository, project and application; record and
mark. Two writes of a DNS record are on one endpoint, so that GoDaddy alone allows for 30 projects a minute."""


async def measure_memory(repetitions: int) -> Findings:
    """Before any project, with all of them Ready, and after a restart."""
    del repetitions  # a stage of its own for each would take minutes, and the kernel's figure hardly varies
    async with stage_at_once() as stage, operator_on(stage, **lifted()) as operator:
        empty = _megabytes(operator)
        started = time.monotonic()
        names = [f"project-{number:03}" for number in range(RESIDENT)]
        await set_up(stage, names, timedelta(minutes=15), repository="shared")
        seconds = time.monotonic() - started
        await quiet(stage, timedelta(minutes=2))
        full, peak = _megabytes(operator), _peak(operator)
        await operator.restart(kill=False)
        await quiet(stage, timedelta(minutes=2))
        again = _megabytes(operator)
    rows = [
        ["no project", f"{empty:.0f} MB", ""],
        [f"{RESIDENT} projects Ready, after {seconds:.0f} s", f"{full:.0f} MB", f"{peak:.0f} MB"],
        ["the same after a restart", f"{again:.0f} MB", ""],
    ]
    table = Table("Memory of the operator", MEMORY_TEXT, ("state", "resident", "peak"), rows)
    goal = Goal(f"resident memory with {RESIDENT} projects", round(max(full, peak)), MEMORY_LIMIT, " MB")
    raw = {"megabytes": {"empty": empty, "full": full, "peak": peak, "restarted": again}, "seconds": seconds}
    return Findings([table], [goal], raw)


def _megabytes(operator: Operator) -> float:
    return operator.resident_bytes / MEGABYTE


def _peak(operator: Operator) -> float:
    return peak_kilobytes(operator.pid) / 1000


@dataclass(frozen=True)
class Service:
    """What one vendor saw."""

    name: str
    calls: int
    writes: int
    repeated: int
    """Writes whose very target had been written before."""
    things: int
    busiest: int
    """Most requests to one endpoint within a minute."""
    refused: int


async def measure_storm(repetitions: int) -> Findings:
    """All at once."""
    del repetitions  # the budgets make this take minutes, whatever the operator does
    async with stage_at_once(godaddy_per_minute=GODADDY_LIMIT) as stage, operator_on(stage, **CALM) as operator:
        names = [f"team-{number:02}" for number in range(AT_ONCE)]
        for name in names:
            await stage.sample(name)
        started = time.monotonic()
        await set_up(stage, names, timedelta(minutes=10))
        seconds = time.monotonic() - started
        services = _services(stage, await stage.inventory())
        memory = _peak(operator)
    return _storm_findings(services, seconds, memory)


def _services(stage: Stage, things: Iterable[Thing]) -> list[Service]:
    count = Counter(thing.service for thing in things)
    standins = {"jenkins": stage.jenkins, "argocd": stage.argocd, "dockerhub": stage.hub, "godaddy": stage.godaddy}
    return [_service(name, standin.controls.calls, count[name]) for name, standin in standins.items()]


def _service(name: str, calls: list[Call], things: int) -> Service:
    made = [call for call in calls if _is_write(call)]
    targets = Counter((call.method, call.path, call.query, call.body if call.method == "POST" else "") for call in made)
    return Service(
        name,
        len(calls),
        len(made),
        sum(count - 1 for count in targets.values()),
        things,
        max((busiest(calls, endpoint) for endpoint in {(c.method, c.template) for c in calls}), default=0),
        sum(1 for call in calls if call.status == 429),
    )


def _is_write(call: Call) -> bool:
    return call.method not in ("GET", "HEAD", "OPTIONS") and not call.path.endswith(LOGINS)


def busiest(calls: list[Call], endpoint: tuple[str, str]) -> int:
    """Most requests to an endpoint within any minute."""
    times = sorted(call.at for call in calls if (call.method, call.template) == endpoint)
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] >= MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


def _storm_findings(services: list[Service], seconds: float, memory: float) -> Findings:
    head = ("vendor", "things", "writes", "repeated writes", "calls", "busiest endpoint and minute", "refused")
    rows = [
        [s.name, *(str(value) for value in (s.things, s.writes, s.repeated, s.calls, s.busiest, s.refused))]
        for s in services
    ]
    title = f"{AT_ONCE} projects created at once: all Ready after {seconds:.0f} s, peak memory {memory:.0f} MB"
    godaddy = next(s for s in services if s.name == "godaddy")
    goals = [
        Goal("writes beyond one per external thing", max(s.writes - s.things + s.repeated for s in services), 0),
        Goal("requests refused by vendors", sum(s.refused for s in services), 0),
        Goal("busiest minute of a GoDaddy endpoint", godaddy.busiest, GODADDY_LIMIT, " requests"),
    ]
    raw = {"seconds": seconds, "vendors": {s.name: s.__dict__ for s in services}}
    return Findings([Table(title, STORM_TEXT, head, rows)], goals, raw)
