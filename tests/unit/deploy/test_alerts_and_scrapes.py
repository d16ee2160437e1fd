"""What alerts make of scrapes as they are: some fail, one Prometheus has several operators, a start that waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devops_reconciler.runtime.metrics import Metrics

from .queries import CARELESS, OPERATOR, endpoint, stored, target_labels
from .test_alerts import CASES, P, check, counter, ended, found, needs_promtool, rules

COUNTED = [name for name in CASES if "increase(" in rules()[f"Reconciler{name}"]["expr"]]
Fired = set[tuple[str, str]]
"""Alerts, and from which operator."""


def fired(
    series: dict[str, str], minutes: list[int], folder: Path, *, within: int = 1, label: str = "job"
) -> dict[int, Fired]:
    """What fires at each of these minutes, or has fired within the last ones. `label` tells the operators apart."""
    query = f'count by (alertname, {label}) (count_over_time(ALERTS{{alertstate="firing"}}[{within}m]))'
    shown: dict[int, Fired] = {each: set() for each in minutes}
    for block in found(query, series, minutes, folder).split("expr: ")[1:]:
        time = re.search(r", time: (?:(\d+)h)?(?:(\d+)m)?", block)
        assert time is not None
        at = int(time[1] or 0) * 60 + int(time[2] or 0)
        shown[at] |= set(re.findall(rf'alertname="Reconciler(\w+)"(?:, {label}="([^"]*)")?', block))
    return shown


def of(value: str, series: dict[str, str], label: str = "job") -> dict[str, str]:
    """The same series, as they are scraped from an operator with this label."""
    own = f'{label}="{value}"'
    return {
        name.replace("{", f"{{{own}, ") if "{" in name else f"{name}{{{own}}}": samples
        for name, samples in series.items()
    }


def scraped(series: dict[str, str]) -> dict[str, str]:
    """The same series, as a scrape by the chart's ServiceMonitor stores them: its labels go before ours."""
    ours = {label for _, _, _, labels in Metrics().describe() for label in labels} & target_labels()
    clash = re.compile(rf"([{{ ])({'|'.join(sorted(ours))})=")
    given = ", ".join(f'{label}="of the target"' for label in sorted(ours))
    return {
        f"{clash.sub(lambda own: f'{own[1]}{stored(own[2])}=', name)[:-1]}, {given}}}": samples
        for name, samples in series.items()
        if "{" in name
    } | {f"{name}{{{given}}}": samples for name, samples in series.items() if "{" not in name}


def window(name: str) -> int:
    """Over how many minutes an alert counts."""
    ((number, unit),) = set(re.findall(r"increase\([^[]*\[(\d+)([mh])\]", rules()[f"Reconciler{name}"]["expr"]))
    return int(number) * (60 if unit == "h" else 1)


def counted(name: str, samples: str) -> dict[str, str]:
    """The series that the alert is for, with these samples, from an operator of the alert's name."""
    return of(name, {series: samples for series in CASES[name].fires if 'result="Succeeded"' not in series})


def own(shown: Fired) -> set[str]:
    """The alerts that fire for the operator that has their name, or for nobody knows whom."""
    return {alert for alert, operator in shown if operator in (alert, "") and alert in COUNTED}


# Scrapes that fail


@needs_promtool
@pytest.mark.parametrize("lost", ["one scrape", "many scrapes", "Prometheus was away"])
def test_what_was_counted_long_ago_is_not_new_after_scrapes_that_failed(lost: str, tmp_path: Path) -> None:
    """A scrape that fails ends the series; where Prometheus itself was away, it has a gap."""
    series: dict[str, str] = {}
    for name in COUNTED:
        most = window(name) - 2
        gap = {"one scrape": "stale", "many scrapes": f"stale _x{most - 1}"}.get(lost, f"_x{most}")
        series |= counted(name, f"30x130 {gap} 30x200")
    assert own(fired(series, [260], tmp_path, within=130)[260]) == set()


@needs_promtool
def test_what_is_counted_in_a_series_that_was_just_born_is_new_for_a_time(tmp_path: Path) -> None:
    series = {key: each for name in COUNTED for key, each in counted(name, "_x60 30x200").items()}
    shown = fired(series, [80, 190], tmp_path, within=20)
    assert (own(shown[80]), own(shown[190])) == (set(COUNTED), set())
    assert len(COUNTED) == 8


@needs_promtool
def test_what_is_counted_after_a_restart_in_the_same_pod_is_new(tmp_path: Path) -> None:
    series = counter("internal_errors_total", 'where="loop"', "5x60 stale _x5 1x60")
    assert ("ReconcileErrors", "") in fired(series, [90], tmp_path, within=20)[90]


# The labels of the target


def test_no_label_that_an_alert_asks_for_is_lost_to_one_of_the_target() -> None:
    ours = {label for _, _, _, labels in Metrics().describe() for label in labels}
    assert endpoint()["relabelings"] == [{"action": "labeldrop", "regex": "service"}]
    assert "honorLabels" not in endpoint(), "the namespace of an operator would be that of a project"
    assert {label for label in ours if stored(label) != label} == {"namespace"}  # as the dashboard knows


@needs_promtool
def test_each_alert_is_the_same_as_the_monitor_of_the_chart_scrapes_it(tmp_path: Path) -> None:
    names = [name for name in CASES if name not in ("OperatorAbsent", "ConfigurationsDiffer")]
    series: dict[str, str] = {}
    for name in names:
        series |= of(f"{name} well", scraped(CASES[name].quiet)) | of(f"{name} ill", scraped(CASES[name].fires))
    shown = fired(series, sorted({CASES[name].minutes for name in names}), tmp_path)
    for name in names:
        here = {operator for alert, operator in shown[CASES[name].minutes] if alert == name}
        assert (f"{name} ill" in here, f"{name} well" in here) == (True, False), name
    query = 'count by (service) (ALERTS{alertname="ReconcilerBreakerOpen", alertstate="firing"})'
    assert 'service="jenkins"' in found(query, series, [CASES["BreakerOpen"].minutes], tmp_path)


# Two operators at one Prometheus


def test_no_alert_adds_up_several_operators() -> None:
    assert {name: CARELESS.findall(rule["expr"]) for name, rule in rules().items()} == {name: [] for name in rules()}


@needs_promtool
def test_a_healthy_operator_hides_no_ill_one(tmp_path: Path) -> None:
    names = [name for name in CASES if name not in ("OperatorAbsent", "ConfigurationsDiffer")]
    series: dict[str, str] = {}
    for name in names:
        series |= of(f"{name} well", CASES[name].quiet) | of(f"{name} ill", CASES[name].fires)
    shown = fired(series, sorted({CASES[name].minutes for name in names}), tmp_path)
    for name in names:
        here = {operator for alert, operator in shown[CASES[name].minutes] if alert == name}
        assert (f"{name} ill" in here, f"{name} well" in here) == (True, False), name


TWO = {
    "ConfigurationsDiffer": [counter("configuration_info", f'fingerprint="{each}"', "1x120") for each in "ab"],
    "HeartbeatsWaiting": [{f"{P}heartbeats_waiting": "60x120"}] * 2,
    "TaskRestarts": [counter("task_restarts_total", 'task="canary"', "_x40 2x120")] * 2,
    "DeploymentsFailing": [ended("_x40 2x120", "_x40 1x120")] * 2,
}
"""Of each alert two operators that are well, though both together would look ill, or do so by chance."""


@needs_promtool
@pytest.mark.parametrize("label", OPERATOR)
def test_two_operators_that_are_well_are_not_ill_together(label: str, tmp_path: Path) -> None:
    series: dict[str, str] = {}
    for first, second in TWO.values():
        series |= of("a", first, label) | of("b", second, label)
    shown = fired(series, [90], tmp_path, within=90, label=label)[90]
    assert {alert for alert, _ in shown} & set(TWO) == set()


# A start that waits


@needs_promtool
def test_an_operator_whose_replicas_all_wait_in_their_start_does_not_act(tmp_path: Path) -> None:
    waits, acts = check("start", 0) | check("audit_trail", 1), check("start", 1) | check("lease", 1)
    shown = fired(of("waits", waits) | of("acts", acts), [20], tmp_path)[20]
    assert shown - {("OperatorAbsent", "")} == {("NothingActs", "waits"), ("CheckFailing", "waits")}


@needs_promtool
def test_a_replica_that_waits_in_its_start_beside_one_that_acts_is_a_warning(tmp_path: Path) -> None:
    series = {
        f'{P}check_ok{{check="start", instance="new"}}': "0x60",
        f'{P}check_ok{{check="start", instance="old"}}': "1x60",
        f'{P}check_ok{{check="lease", instance="old"}}': "1x60",
    }
    assert fired(series, [20], tmp_path)[20] - {("OperatorAbsent", "")} == {("CheckFailing", "")}


@needs_promtool
def test_a_start_and_a_replica_that_stands_by_are_no_trouble(tmp_path: Path) -> None:
    series = {f"{P}build_info": "1x60"}
    for instance in "ab":
        series[f'{P}check_ok{{check="start", instance="{instance}"}}'] = "0x3 1x60"
        series[f'{P}check_ok{{check="lease", instance="{instance}"}}'] = "_x4 1x60"
    assert fired(series, [50], tmp_path, within=50)[50] == set()
