"""The dashboard asks only for what the operator exports, and shows all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.dashboard import dashboard, text

from .queries import CARELESS, OURS, exported, unknown

FILE = Path(__file__).parents[3] / "deploy" / "dashboards" / "devops-reconciler.json"
QUERIES = [
    (f"{panel['title']} {target['refId']}", target["expr"])
    for panel in dashboard()["panels"]
    for target in panel.get("targets", ())
]


@pytest.mark.parametrize("query", [query for _, query in QUERIES], ids=[name for name, _ in QUERIES])
def test_each_query_asks_for_what_there_is(query: str) -> None:
    assert unknown(query) == []


@pytest.mark.parametrize("query", [query for _, query in QUERIES], ids=[name for name, _ in QUERIES])
def test_no_query_adds_up_several_operators(query: str) -> None:
    assert CARELESS.findall(query) == []
    assert query.count('{namespace=~"$namespace"') == len(OURS.findall(query)) > 0


def test_the_namespace_of_an_operator_may_be_chosen() -> None:
    (chosen,) = [each for each in dashboard()["templating"]["list"] if each["name"] == "namespace"]
    assert chosen["query"] == "label_values(devops_reconciler_build_info, namespace)"
    assert (chosen["includeAll"], chosen["allValue"]) == (True, ".*")


def test_no_metric_is_without_a_panel() -> None:
    shown = {name for _, query in QUERIES for name in OURS.findall(query)}
    histograms = {name.removesuffix("_bucket") for name in shown if name.endswith("_bucket")}
    missing = {name for name in exported() if name not in shown and not name.startswith(tuple(histograms))}
    assert missing == set()


def test_panels_have_a_place_of_their_own() -> None:
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in dashboard()["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_committed_dashboard_is_fresh() -> None:
    assert FILE.read_text() == text()
    assert json.loads(FILE.read_text())["panels"]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(devops_reconciler_nonsense_total[5m])", ["devops_reconciler_nonsense_total"]),
        ("devops_reconciler_breaker_state{shop='x'}", ["devops_reconciler_breaker_state{shop}"]),
        ("sum by (shop) (devops_reconciler_breaker_state)", ["by shop"]),
    ],
)
def test_a_query_for_what_there_is_not_is_noticed(query: str, wrong: list[str]) -> None:
    assert unknown(query) == wrong
