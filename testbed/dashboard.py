"""The Grafana dashboard, made from one table of panels. ``python -m testbed.dashboard`` prints it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

PREFIX = "devops_reconciler_"
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


def _rate(metric: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({PREFIX}{metric}[$__rate_interval]))"


def _share(metric: str, share: float, *by: str) -> str:
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({PREFIX}{metric}_bucket[$__rate_interval])))"


def _mean(metric: str) -> str:
    total, number = (
        f"sum by (namespace, project) (increase({PREFIX}{metric}_{part}[7d]))" for part in ("sum", "count")
    )
    return f"{total} / {number}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Health",
        (
            Panel(
                "Breakers",
                "0 closed, 1 half open, 2 open",
                ((f"max by (service) ({PREFIX}breaker_state)", "{{service}}"),),
            ),
            Panel(
                "Checks that fail",
                "By replica; vendors show here when /health is asked",
                ((f"min by (check) ({PREFIX}check_ok) == 0", "{{check}}"),),
            ),
            Panel(
                "What runs",
                "Version and configuration of each replica",
                (
                    (f"count by (version, kopf) ({PREFIX}build_info)", "{{version}}, Kopf {{kopf}}"),
                    (f"count by (fingerprint) ({PREFIX}configuration_info)", "configuration {{fingerprint}}"),
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
                ((f"sum by (result) (increase({PREFIX}deployments_total[1h]))", "{{result}}"),),
            ),
            Panel(
                "Share that failed",
                "Of the deployments of a day: the change failure rate",
                (
                    (
                        f'sum(increase({PREFIX}deployments_total{{result="Failed"}}[1d])) / '
                        f"sum(increase({PREFIX}deployments_total[1d]))",
                        "failed",
                    ),
                ),
                "percentunit",
            ),
            Panel(
                "Deployments of production, per day",
                "By project and result: how often is deployed",
                (
                    (
                        f"sum by (namespace, project, result) (increase({PREFIX}project_deployments_total[1d]))",
                        "{{project}} {{result}}",
                    ),
                ),
            ),
            Panel(
                "Lead time",
                "Mean of a week, by project: from the request of a deployment to its success",
                ((_mean("project_lead_seconds"), "{{project}}"),),
                "s",
            ),
            Panel(
                "Time to restore",
                "Mean of a week, by project: from a failed deployment to the next good one",
                ((_mean("project_restore_seconds"), "{{project}}"),),
                "s",
            ),
            Panel("Time of a step", "95 of 100 take less", ((_share("step_seconds", 0.95, "step"), "{{step}}"),), "s"),
        ),
    ),
    (
        "Queues",
        (
            Panel(
                "Age of the oldest", "By queue", ((f"max by (queue) ({PREFIX}queue_age_seconds)", "{{queue}}"),), "s"
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
                    (f"sum(rate({PREFIX}heartbeats_sent_total[$__rate_interval]))", "sent"),
                    (f"sum({PREFIX}heartbeats_waiting)", "waiting"),
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
                ((f"min by (service, what) ({PREFIX}expires_timestamp_seconds) - time()", "{{service}} {{what}}"),),
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
                    (f"sum by (kind) (increase({PREFIX}drift_found_total[1h]))", "{{kind}} drifted"),
                    (f"sum by (kind) (increase({PREFIX}drift_repaired_total[1h]))", "{{kind}} repaired"),
                    (f"sum by (result) (increase({PREFIX}cleanup_results_total[1h]))", "{{result}}"),
                    (f"sum by (service) (increase({PREFIX}things_left_total[1h]))", "left at {{service}}"),
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
                ((f"sum by (where) (increase({PREFIX}internal_errors_total[1h]))", "{{where}}"),),
            ),
            Panel(
                "Restarts of tasks, per hour",
                "",
                ((f"sum by (task) (increase({PREFIX}task_restarts_total[1h]))", "{{task}}"),),
            ),
            Panel("Memory", "Resident, by replica", (("process_resident_memory_bytes", "{{instance}}"),), "bytes"),
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
        "templating": {"list": [source]},
        "panels": panels,
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend, "datasource": source}
        for index, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def text() -> str:
    """The file as it is committed."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
