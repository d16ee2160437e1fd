"""Each alert fires on the series that it is for and on no healthy one, and has a heading in the runbook."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.promtool import ADVICE, find
from tests.unit.docs.test_links import anchors

from .queries import unknown

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "alerts" / "devops-reconciler.yaml"
P = "devops_reconciler_"


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@dataclass(frozen=True)
class Case:
    """Series, one sample a minute, after `minutes` of which the alert fires, and those on which it must not."""

    fires: dict[str, str]
    quiet: dict[str, str]
    minutes: int = 30


def check(name: str, value: int) -> dict[str, str]:
    return {f'{P}check_ok{{check="{name}", instance="a"}}': f"{value}x60"}


def calls(service: str, code: str, operation: str, samples: str) -> dict[str, str]:
    return {f'{P}vendor_calls_total{{service="{service}", code="{code}", operation="{operation}"}}': samples}


def took(service: str, slow: float) -> dict[str, str]:
    """Two calls a minute that are quick, and `slow` of about 9 s."""
    quick, every = "0+2x60", f"0+{2 + slow}x60"
    counts = {"0.1": quick, "5.0": quick, "10.0": every, "+Inf": every}
    return {
        f'{P}vendor_seconds_bucket{{service="{service}", operation="get application", le="{le}"}}': samples
        for le, samples in counts.items()
    }


def ends(samples: str) -> dict[str, str]:
    return {f'{P}expires_timestamp_seconds{{what="certificate", service="jenkins"}}': samples}


def age(queue: str, seconds: int) -> dict[str, str]:
    return {f'{P}queue_age_seconds{{queue="{queue}"}}': f"{seconds}x60"}


def ended(failed: str, good: str) -> dict[str, str]:
    return {
        f'{P}deployments_total{{result="{result}"}}': each for result, each in (("Failed", failed), ("Succeeded", good))
    }


def counter(name: str, labels: str, samples: str) -> dict[str, str]:
    return {f"{P}{name}{{{labels}}}": samples}


BORN = "_x10 1x60"
"""A counter that did not exist for ten minutes, and is 1 since."""
DAY = 86400
CASES: dict[str, Case] = {
    "OperatorAbsent": Case({}, {f"{P}build_info": "1x60"}),
    "NothingActs": Case(check("lease", 0), check("lease", 1)),
    "ConsumerSilent": Case(check("rabbitmq_connection", 0), check("rabbitmq_connection", 1)),
    "AuditTrailBlocked": Case(check("audit_trail", 0), check("audit_trail", 1)),
    "CheckFailing": Case(check("ttl_monitor", 0), check("jenkins_connection", 0)),
    "BreakerOpen": Case(
        # Open and tried in turn, as where a service does not answer.
        {f'{P}breaker_state{{service="jenkins"}}': " ".join(["2 2 1"] * 20)},
        {f'{P}breaker_state{{service="git"}}': " ".join(["0 0 2 1"] * 15)},
    ),
    "CallsFailing": Case(
        calls("jenkins", "200", "get item", "0+4x60") | calls("jenkins", "503", "get item", "0+1x60"),
        calls("jenkins", "200", "get item", "0+40x60") | calls("jenkins", "TimeoutError", "get item", "0+1x60"),
    ),
    "CallsSlow": Case(took("argocd", 1), took("argocd", 0.1)),
    "CredentialsRefused": Case(
        calls("jenkins", "401", "get item", "0+1x60"),
        # What a registry says first to everybody, and logins of projects.
        calls("registry", "401", "ping", "0+1x60")
        | calls("registry", "401", "check login", "0+1x60")
        | calls("git", "ProjectCredentialsInvalid", "resolve", "0+1x60"),
    ),
    "CertificateExpires": Case(ends(f"{10 * DAY}x120"), ends(f"{30 * DAY}x120"), minutes=90),
    "DeploymentsFailing": Case(ended("0+1x60", "0+0.2x60"), ended("0+0.2x60", "0+1x60")),
    "CleanupFailed": Case(
        counter("cleanup_results_total", 'kind="DnsRecord", result="cleanup_failed"', BORN),
        counter("cleanup_results_total", 'kind="DnsRecord", result="cleaned"', "0+1x60"),
    ),
    "ThingsLeft": Case(
        counter("things_left_total", 'kind="DnsRecord", service="godaddy"', BORN),
        counter("things_left_total", 'kind="DnsRecord", service="godaddy"', "3x120"),
        minutes=65,
    ),
    "MessagesOld": Case(age("messages", 400), age("messages", 100)),
    "DeploymentsOld": Case(age("deployments", 2000), age("deployments", 1000)),
    "PassesOld": Case(age("objects", 400), age("objects", 100)),
    "HeartbeatsWaiting": Case({f"{P}heartbeats_waiting": "200x60"}, {f"{P}heartbeats_waiting": "5x60"}),
    "MessagesRefused": Case(
        counter("messages_total", 'type="DevOpsReconcile", outcome="dead-lettered"', BORN),
        counter("messages_total", 'type="DevOpsReconcile", outcome="created"', "0+1x60"),
        minutes=20,
    ),
    "ReconcileErrors": Case(
        counter("internal_errors_total", 'where="loop"', BORN),
        counter("internal_errors_total", 'where="loop"', "7x60"),
        20,
    ),
    "TaskRestarts": Case(
        counter("task_restarts_total", 'task="canary"', "0+1x60"),
        counter("task_restarts_total", 'task="canary"', BORN),
        25,
    ),
    "ConfigurationsDiffer": Case(
        {f'{P}configuration_info{{fingerprint="{each}"}}': "1x120" for each in "ab"},
        {f'{P}configuration_info{{fingerprint="a", instance="{each}"}}': "1x120" for each in "ab"},
        minutes=60,
    ),
}


def firing(alert: str, series: dict[str, str], minutes: int, folder: Path) -> bool:
    """Whether promtool says that the alert fires. A healthy base is there, unless it is the alert for its absence."""
    base = {} if "OperatorAbsent" in alert else {f"{P}build_info": "1x200"}
    given = {**base, **series} or {"nothing": "1x60"}
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > 0'
    return "expr:" in found(query, given, [minutes], folder)


def found(query: str, series: dict[str, str], minutes: list[int], folder: Path) -> str:
    """What promtool prints that it finds for the query after each of `minutes`, with these series and the rules."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{each}m", "exp_samples": []} for each in minutes],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool = find()
    assert promtool is not None
    done = subprocess.run([str(promtool), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "expr:" in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


needs_promtool = pytest.mark.skipif(find() is None, reason=ADVICE)


def test_each_alert_has_a_case_and_no_case_is_stale() -> None:
    assert {f"Reconciler{name}" for name in CASES} == set(rules())


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_it_fires_on_what_it_is_for(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert firing(f"Reconciler{name}", case.fires, case.minutes, tmp_path)


@needs_promtool
@pytest.mark.parametrize(("what", "days"), [("token", 3), ("certificate", -2)], ids=["a token", "over already"])
def test_what_ends_soon_and_what_has_ended_fire(what: str, days: int, tmp_path: Path) -> None:
    series = {f'{P}expires_timestamp_seconds{{what="{what}", service="argocd"}}': f"{days * DAY}x120"}
    assert firing("ReconcilerCertificateExpires", series, 90, tmp_path)


@needs_promtool
def test_what_has_no_end_does_not_fire(tmp_path: Path) -> None:
    series = {f'{P}expires_timestamp_seconds{{what="token", service="argocd"}}': " ".join(["Inf"] * 120)}
    assert not firing("ReconcilerCertificateExpires", series, 90, tmp_path)


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_it_does_not_fire_on_what_is_healthy(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert not firing(f"Reconciler{name}", case.quiet, case.minutes, tmp_path)


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_it_waits_for_its_time(name: str, tmp_path: Path) -> None:
    """A moment's trouble wakes nobody: in the first minute only those fire that are about a single event."""
    if rules()[f"Reconciler{name}"]["for"] != "0m":
        assert not firing(f"Reconciler{name}", CASES[name].fires, 1, tmp_path)


@pytest.mark.parametrize("name", rules())
def test_its_query_asks_for_what_the_operator_exports(name: str) -> None:
    assert unknown(rules()[name]["expr"]) == []


@pytest.mark.parametrize("name", rules())
def test_its_link_leads_to_a_heading_of_its_own_in_the_runbook(name: str) -> None:
    page, _, anchor = rules()[name]["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert anchor in anchors((ROOT / page).read_text())


@pytest.mark.parametrize("name", rules())
def test_it_says_what_is_wrong_and_how_bad_it_is(name: str) -> None:
    rule = rules()[name]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert all(len(rule["annotations"][each].split()) > 3 for each in ("summary", "description")), json.dumps(rule)
