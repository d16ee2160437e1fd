"""The metrics, read back by a parser of OpenMetrics."""

from collections.abc import Callable, Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from devops_reconciler.runtime.metrics import CONTENT_TYPE, Metrics
from devops_reconciler.services.breaker import State

parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(metrics.exposition().decode())
        for sample in family.samples
    }


def test_each_operation_has_its_metric() -> None:
    names = {name: labels for name, _, _, labels in Metrics().describe()}
    assert (
        names.items()
        >= {
            "devops_reconciler_reconciles_total": ("kind", "outcome"),
            "devops_reconciler_reconcile_seconds": ("kind",),
            "devops_reconciler_vendor_calls_total": ("service", "operation", "code"),
            "devops_reconciler_vendor_seconds": ("service", "operation"),
            "devops_reconciler_breaker_state": ("service",),
            "devops_reconciler_messages_total": ("type", "outcome"),
            "devops_reconciler_deployments_total": ("result",),
            "devops_reconciler_step_seconds": ("step",),
            "devops_reconciler_queue_age_seconds": ("queue",),
            "devops_reconciler_drift_found_total": ("kind",),
            "devops_reconciler_drift_repaired_total": ("kind",),
            "devops_reconciler_cleanup_results_total": ("kind", "result"),
            "devops_reconciler_things_left_total": ("service", "kind"),
            "devops_reconciler_heartbeats_sent_total": (),
            "devops_reconciler_internal_errors_total": ("where",),
            "devops_reconciler_project_deployments_total": ("namespace", "project", "result"),
            "devops_reconciler_project_lead_seconds": ("namespace", "project"),
            "devops_reconciler_project_restore_seconds": ("namespace", "project"),
        }.items()
    )


def test_the_exposition_is_openmetrics_with_the_process() -> None:
    metrics = Metrics()
    metrics.vendor_call("jenkins", "get job", "200", 0.2)
    metrics.watch_breaker("jenkins", lambda: "OPEN")
    metrics.configuration.info({"fingerprint": "abc"})
    found = samples(metrics)
    call = (("code", "200"), ("operation", "get job"), ("service", "jenkins"))
    assert found["devops_reconciler_vendor_calls_total", call] == 1
    assert found["devops_reconciler_vendor_seconds_sum", call[1:]] == 0.2
    assert found["devops_reconciler_breaker_state", (("service", "jenkins"),)] == 2
    assert found["devops_reconciler_configuration_info", (("fingerprint", "abc"),)] == 1
    assert found["process_resident_memory_bytes", ()] > 0
    assert CONTENT_TYPE.startswith("application/openmetrics-text")


def test_two_objects_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.heartbeats_sent.inc()
    assert samples(first)["devops_reconciler_heartbeats_sent_total", ()] == 1
    assert samples(second)["devops_reconciler_heartbeats_sent_total", ()] == 0


@pytest.mark.parametrize("state", State)
def test_each_state_of_a_breaker_has_its_value(state: State) -> None:
    metrics = Metrics()
    metrics.watch_breaker("jenkins", lambda: state)
    value = {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}[state.value]
    assert samples(metrics)["devops_reconciler_breaker_state", (("service", "jenkins"),)] == value
