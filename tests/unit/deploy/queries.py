"""Which metrics and labels a PromQL query names, and which ones the operator exports."""

from __future__ import annotations

import re
from typing import Any

import yaml

from devops_reconciler.runtime.metrics import Metrics
from testbed.chart import CHART

OURS = re.compile(r"\bdevops_reconciler_\w+")
_SELECTOR = re.compile(r"\b(devops_reconciler_\w+)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_BY = re.compile(r"\bby \(([^)]*)\)")
ENDINGS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
OPERATOR = ("cluster", "namespace", "job")
"""The labels of a scrape that tell one operator from another."""
CARELESS = re.compile(rf"\b(?:sum|max|min|count|avg|group|topk|bottomk)\b(?! by \({', '.join(OPERATOR)}\b)")
"""What puts series together without a look at whose they are."""
TARGET = frozenset({"namespace", "service", "pod", "container", "endpoint", "job", "instance", "node"})
"""What Prometheus' operator gives each target of a ServiceMonitor, before the `relabelings` of the endpoint."""
SCRAPE = {*OPERATOR, "instance"}
"""Labels that a scrape gives."""
FREE = {*SCRAPE, "le", "version", "kopf", "python", "fingerprint"}
"""Labels of the scrape, of histograms, and of the two infos."""


def endpoint() -> dict[str, Any]:
    """The endpoint of the chart's ServiceMonitor."""
    template = (CHART / "templates" / "monitoring.yaml").read_text()
    block = template.partition("  endpoints:\n")[2].partition("{{- end }}")[0]
    (found,) = yaml.safe_load(block.replace("{{ .interval }}", "30s"))
    return dict(found)


def target_labels() -> set[str]:
    """The labels that a scrape by that endpoint adds."""
    dropped = [rule["regex"] for rule in endpoint().get("relabelings", ()) if rule["action"] == "labeldrop"]
    return {label for label in TARGET if not any(re.fullmatch(regex, label) for regex in dropped)}


def stored(label: str) -> str:
    """What becomes of a label of ours: Prometheus renames the one whose name the target has."""
    return f"exported_{label}" if label in target_labels() else label


def exported() -> dict[str, set[str]]:
    """The labels of each series, by its name and as the scrapes of the chart's ServiceMonitor store it."""
    found: dict[str, set[str]] = {}
    for name, kind, _, labels in Metrics().describe():
        endings = ENDINGS.get(kind, ("",))
        found |= {
            name + ending: {*map(stored, labels), *(("le",) if ending == "_bucket" else ())} for ending in endings
        }
    return found


def unknown(query: str) -> list[str]:
    """What of a query nothing exports: names of metrics, labels of selectors and of `by`."""
    known = exported()
    names = set(OURS.findall(query))
    wrong = [name for name in names if name not in known]
    labels = set().union(*(known.get(name, set()) for name in names)) | FREE
    for name, selector in _SELECTOR.findall(query):
        wrong += [
            f"{name}{{{label}}}" for label in _LABEL.findall(selector) if label not in known.get(name, set()) | SCRAPE
        ]
    for group in _BY.findall(query):
        wrong += [f"by {label}" for label in map(str.strip, group.split(",")) if label and label not in labels]
    return sorted(wrong)
