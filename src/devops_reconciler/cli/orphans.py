"""`devops-reconciler orphans`: marked things that no resource owns, what forced deletions have let go. Read-only."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..api.errors import ReconcilerError
from ..api.plain_text import plain
from ..host.drain import require_its_lease
from ..host.world import Replica, identify, open_world
from ..kinds import KINDS
from ..kinds.orphans import LEDGERS, Judged, Report, find_orphans
from ..runtime.clock import Clock, SystemClock
from ..runtime.fence import Fence
from ..runtime.logs import Redactor, configure
from ..runtime.metrics import Metrics
from ..runtime.secrets import Secrets
from ..runtime.settings import Settings
from ..services.kubernetes import Kubernetes
from ..services.kubernetes_access import find_cluster, open_cluster
from .hiding import hidden

NONE, SOME, UNREAD = 0, 1, 3
"""Exit codes; 2 is an invalid configuration."""
CLUSTER = "resources of this cluster"
"""Their name among the failures. Without them every marked thing would look like nobody's, so none is listed."""


def list_orphans(settings: Settings, environ: Mapping[str, str], *, as_json: bool, everything: bool) -> tuple[int, str]:
    """Exit code and what to print. Where the cluster does not give its resources, stderr says why."""
    clock = SystemClock()
    secrets = Secrets(settings, environ, clock)
    hide = secrets.hide
    configure("console", debug=False, hide=hide)
    try:
        report = asyncio.run(_look(settings, secrets, clock))
    except ReconcilerError as error:
        sys.stderr.write(f"{plain(hide(error.message))}\n")
        if not as_json:
            return UNREAD, ""
        report = Report(settings.operator_namespace, failures={CLUSTER: error.message})
    return exit_code(report), told(report, hide, as_json=as_json, everything=everything)


def told(report: Report, hide: Redactor, *, as_json: bool, everything: bool) -> str:
    """What is printed, without secrets: names and errors are what services say."""
    if as_json:
        return json.dumps(hidden(as_object(report), hide), indent=2)
    return hide(as_text(report, everything=everything))


async def _look(settings: Settings, secrets: Secrets, clock: SystemClock) -> Report:
    access = find_cluster(kubeconfig=settings.kubeconfig)
    # A fence that never opens: whatever this command calls, nothing is changed anywhere.
    replica = Replica("devops-reconciler/orphans", Fence(clock))
    async with open_cluster(access, clock, timeout=settings.request_timeout, agent=replica.agent) as kubernetes:
        cluster = await identify(kubernetes, settings)
        async with open_world(settings, secrets, clock, Metrics(), cluster, replica) as world:
            report = await find_orphans(world, [what.kind for what in KINDS.values()])
            await check_ledgers(report, kubernetes, settings, clock)
            return report


async def check_ledgers(report: Report, kubernetes: Kubernetes, settings: Settings, clock: Clock) -> None:
    """Where the operator runs in another namespace, its ledgers are there, and were not read."""
    try:
        await require_its_lease(kubernetes, settings, clock)
    except ReconcilerError as error:
        report.failures.setdefault(LEDGERS, error.message)


def exit_code(report: Report) -> int:
    """0: none. 1: some. 3: something could not be read, so that nobody can say that there are none."""
    return UNREAD if report.failures else SOME if report.found else NONE


def as_object(report: Report) -> dict[str, Any]:
    """The whole report as JSON."""
    return {
        "orphans": [_row(judged) for judged in report.orphans],
        "kept": [_row(judged) for judged in report.things if judged.state == "kept"],
        "held": [_row(judged) for judged in report.things if judged.state == "held"],
        "left_behind": [
            {
                "ledger": item.ledger,
                "object": item.owner,
                **{name: item.thing.get(name) for name in ("service", "kind", "id", "mark", "error", "at")},
                "now": item.now,
                "detail": item.detail,
            }
            for item in report.left
        ],
        "ledger_namespace": report.ledger_namespace,
        "other_clusters": dict(report.others),
        "failures": report.failures,
        "notes": report.notes,
    }


def _row(judged: Judged) -> dict[str, Any]:
    thing = judged.thing
    return {
        "service": thing.service,
        "kind": thing.kind,
        "id": thing.name or thing.id,
        "mark": thing.mark,
        "url": thing.url,
        "why": judged.why,
    }


def as_text(report: Report, *, everything: bool) -> str:
    """The report for people."""
    wanted = ("orphan", "kept", "held") if everything else ("orphan", "kept")
    shown = sorted(
        (each for each in report.things if each.state in wanted),
        key=lambda each: (wanted.index(each.state), each.thing.service, each.thing.kind, each.thing.id),
    )
    rows = [
        (each.state, each.thing.service, each.thing.kind, each.thing.name or each.thing.id, each.why) for each in shown
    ]
    parts = []
    if rows:
        parts.append(table(("STATE", "SERVICE", "KIND", "ID", "WHY"), rows))
    if report.left:
        left = [
            (
                item.now,
                str(item.thing.get("service")),
                str(item.thing.get("kind")),
                str(item.thing.get("id")),
                item.ledger,
            )
            for item in report.left
        ]
        parts.append("Let go by forced deletions:\n" + table(("NOW", "SERVICE", "KIND", "ID", "LEDGER"), left))
    parts.append("\n".join(map(plain, _summary(report))))
    return "\n\n".join(parts)


def _summary(report: Report) -> Iterable[str]:
    counts = {state: sum(1 for each in report.things if each.state == state) for state in ("orphan", "kept", "held")}
    orphans = "1 orphan" if counts["orphan"] == 1 else f"{counts['orphan']} orphans"
    yield f"{orphans}, {counts['kept']} kept on purpose, {counts['held']} held by resources."
    for cluster, count in sorted(report.others.items()):
        yield f"{count} things have marks of another cluster or installation ({cluster}); they are not listed."
    yield f"Ledgers of forced deletions are those in the namespace {report.ledger_namespace}."
    yield from report.notes
    for name, error in report.failures.items():
        yield f"{name} could not be read: {error}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, in plain text; nothing is added to the last one."""
    lines = [[plain(text) for text in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]]) for line in lines
    )
