"""Kubernetes kills the pod only after the time that work in flight has."""

from __future__ import annotations

import yaml

from devops_reconciler.runtime.settings import OperatorVariables
from testbed.chart import CHART, MANIFESTS


def test_by_default_the_pod_is_killed_fifteen_seconds_after_work_in_flight_must_have_ended() -> None:
    objects = yaml.safe_load_all(MANIFESTS.read_text())
    pod = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    timeout = OperatorVariables().reconciler_shutdown_timeout.total_seconds()
    assert pod["terminationGracePeriodSeconds"] == timeout + 15


def test_the_chart_has_no_fixed_time_to_kill_the_pod() -> None:
    (line,) = (
        line
        for line in (CHART / "templates" / "deployment.yaml").read_text().splitlines()
        if "terminationGracePeriodSeconds" in line
    )
    assert line.split(": ", 1)[1] == '{{ include "devops-reconciler.grace" . }}'
