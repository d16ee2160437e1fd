"""The Grafana dashboard, made from one table of panels. ``python -m testbed.dashboard`` prints it.

One Prometheus may have several operators: no query adds them up, and the variable `namespace` chooses among them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

PREFIX = "devops_reconciler_"
OPERATOR = ("cluster", "namespace", "job")
"""The labels of a scrape that tell one operator from another, as in the alerts."""
PROJECT = ("exported_namespace", "project")
"""A project. Its own label `namespace` is renamed by Prometheus where the scrape gives one of that name."""
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 8, 7
PER_ROW = 24 // WIDTH


@dataclass(frozen=True)
class Panel:
    """One panel: queries by legend. `unit` is Grafana's name of it."""

    title: str
    text: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"


def _of(metric: str, *matchers: str) -> str:
    """The series of a metric, of the chosen operators."""
    selector = ", ".join(('namespace=~"$namespace"', *matchers))
    return f"{PREFIX}{metric}{{{selector}}}"


def _by(function: str, what: str, *labels: str) -> str:
    """`what` put together by these labels, for each operator."""
    return f"{function} by ({', '.join((*OPERATOR, *labels))}) ({what})"


def _rate(metric: str, *by: str) -> str:
    return _by("sum", f"rate({_of(metric)}[$__rate_interval])", *by)


def _more(metric: str, time: str, *by: str) -> str:
    """By how much a counter has grown in this time."""
    return _by("sum", f"increase({_of(metric)}[{time}])", *by)


def _share(metric: str, share: float, *by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', *by, 'le')})"


def _mean(metric: str) -> str:
    return f"{_more(f'{metric}_sum', '7d', *PROJECT)} / {_more(f'{metric}_count', '7d', *PROJECT)}"


def _failed() -> str:
    failed = _of("deployments_total", 'result="Failed"')
    return f"{_by('sum', f'increase({failed}[1d])')} / {_more('deployments_total', '1d')}"


_MEMORY = f"process_resident_memory_bytes and on ({', '.join(OPERATOR)}, instance) {_of('build_info')}"

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Health",
        (
            Panel(
                "Breakers",
                "0 closed, 1 half open, 2 open",
                ((_by("max", _of("breaker_state"), "service"), "{{service}}"),),
            ),
            Panel(
                "Checks that fail",
                "By replica; vendors show here when /health is asked",
                ((f"{_by('min', _of('check_ok'), 'check')} == 0", "{{check}}"),),
            ),
            Panel(
                "What runs",
                "Version and configuration of each replica",
                (
                    (_by("count", _of("build_info"), "version", "kopf"), "{{version}}, Kopf {{kopf}}"),
                    (_by("count", _of("configuration_info"), "fingerprint"), "configuration {{fingerprint}}"),
                ),
                kind="stat",
            ),
        ),
    ),
    (
        "Deployments",
        (
            Panel(
                "Deployments that ended, per hour",
                "By result",
                ((_more("deployments_total", "1h", "result"), "{{result}}"),),
            ),
            Panel(
                "Share that failed",
                "Of the deployments of a day: the change failure rate",
                ((_failed(), "failed"),),
                "percentunit",
            ),
            Panel(
                "Deployments of production, per day",
                "By project and result: how often is deployed",
                (
                    (
                        _more("project_deployments_total", "1d", *PROJECT, "result"),
                        "{{exported_namespace}} {{project}} {{result}}",
                    ),
                ),
            ),
            Panel(
                "Lead time",
                "Mean of a week, by project: from the request of a deployment to its success",
                ((_mean("project_lead_seconds"), "{{exported_namespace}} {{project}}"),),
                "s",
            ),
            Panel(
                "Time to restore",
                "Mean of a week, by project: from a failed deployment to the next good one",
                ((_mean("project_restore_seconds"), "{{exported_namespace}} {{project}}"),),
                "s",
            ),
            Panel("Time of a step", "95 of 100 take less", ((_share("step_seconds", 0.95, "step"), "{{step}}"),), "s"),
        ),
    ),
    (
        "Queues",
        (
            Panel(
                "Age of the oldest", "By queue", ((_by("max", _of("queue_age_seconds"), "queue"), "{{queue}}"),), "s"
            ),
            Panel(
                "Messages",
                "By type and outcome",
                ((_rate("messages_total", "type", "outcome"), "{{type}} {{outcome}}"),),
            ),
            Panel(
                "Heartbeats",
                "Sent per second, and those that wait for the broker",
                (
                    (_rate("heartbeats_sent_total"), "sent"),
                    (_by("sum", _of("heartbeats_waiting")), "waiting"),
                ),
            ),
        ),
    ),
    (
        "Services",
        (
            Panel(
                "Requests by answer",
                "Per second",
                ((_rate("vendor_calls_total", "service", "code"), "{{service}} {{code}}"),),
                "reqps",
            ),
            Panel(
                "Time of a request",
                "95 of 100 take less",
                ((_share("vendor_seconds", 0.95, "service"), "{{service}}"),),
                "s",
            ),
            Panel(
                "Certificates and tokens end in",
                "None is shown for what does not tell its end",
                (
                    (
                        f"{_by('min', _of('expires_timestamp_seconds'), 'service', 'what')} - time()",
                        "{{service}} {{what}}",
                    ),
                ),
                "s",
            ),
        ),
    ),
    (
        "Work",
        (
            Panel(
                "Passes",
                "Per second, by kind and outcome",
                ((_rate("reconciles_total", "kind", "outcome"), "{{kind}} {{outcome}}"),),
            ),
            Panel(
                "Time of a pass", "95 of 100 take less", ((_share("reconcile_seconds", 0.95, "kind"), "{{kind}}"),), "s"
            ),
            Panel(
                "Drift and clean-ups, per hour",
                "Found, repaired; results of clean-ups",
                (
                    (_more("drift_found_total", "1h", "kind"), "{{kind}} drifted"),
                    (_more("drift_repaired_total", "1h", "kind"), "{{kind}} repaired"),
                    (_more("cleanup_results_total", "1h", "result"), "{{result}}"),
                    (_more("things_left_total", "1h", "service"), "left at {{service}}"),
                ),
            ),
        ),
    ),
    (
        "The process",
        (
            Panel(
                "Errors of the operator, per hour",
                "",
                ((_more("internal_errors_total", "1h", "where"), "{{where}}"),),
            ),
            Panel(
                "Restarts of tasks, per hour",
                "",
                ((_more("task_restarts_total", "1h", "task"), "{{task}}"),),
            ),
            Panel("Memory", "Resident, by replica", ((_MEMORY, "{{instance}}"),), "bytes"),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; the data source is asked for."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": _at(0, top, 24, 1)})
        for index, panel in enumerate(row):
            place = _at(index % PER_ROW * WIDTH, top + 1 + index // PER_ROW * HEIGHT, WIDTH, HEIGHT)
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
        top += 1 + HEIGHT * -(-len(row) // PER_ROW)
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": "devops-reconciler",
        "title": "DevOps reconciler",
        "tags": ["devops-reconciler"],
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, _namespace()]},
        "panels": panels,
    }


def _namespace() -> dict[str, Any]:
    """The variable for the namespaces of operators. All of them is anything: not every scrape has the label."""
    return {
        "name": "namespace",
        "type": "query",
        "label": "Operator's namespace",
        "datasource": SOURCE,
        "query": f"label_values({PREFIX}build_info, namespace)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "expr": query,
            "legendFormat": f"{{{{namespace}}}} {legend}",
            "datasource": SOURCE,
        }
        for index, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def text() -> str:
    """The file as it is committed."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
