"""What KWOK is told of the pods that are never to be ready."""

from __future__ import annotations

from typing import Any

import yaml

from testbed.build import BUNDLES
from testbed.nodes import UNMARKED, unless_waiting

OURS: list[dict[str, Any]] = list(yaml.safe_load_all((BUNDLES["kwok"].folder / "stages.yaml").read_text()))


def stage(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchExpressions": [{"key": ".status.phase"}]}}}


def expressions(stage: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage["spec"]["selector"]["matchExpressions"]
    return found


def test_no_pod_is_for_both_the_stage_that_makes_it_ready_and_the_one_that_keeps_it() -> None:
    assert UNMARKED in expressions(unless_waiting(stage("pod-ready")))
    (waiting,) = OURS
    assert UNMARKED | {"operator": "Exists"} in expressions(waiting)


def test_a_pod_that_waits_may_be_deleted() -> None:
    assert UNMARKED not in expressions(unless_waiting(stage("pod-delete")))
