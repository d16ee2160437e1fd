"""What git may take at most fits into what the chart gives the pod."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from devops_reconciler.services.git import PARALLEL
from devops_reconciler.services.git_process import DISK_LIMIT, MEMORY_LIMIT, PROCESSES
from testbed.chart import CHART, MANIFESTS

UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def size(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def of_chart() -> tuple[dict[str, Any], str]:
    """`resources` and the size of the volume."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return values["resources"], values["tmp"]["sizeLimit"]


def of_manifests() -> tuple[dict[str, Any], str]:
    objects = yaml.safe_load_all(MANIFESTS.read_text())
    pod = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    volume = next(each for each in pod["volumes"] if each["name"] == "tmp")
    return pod["containers"][0]["resources"], volume["emptyDir"]["sizeLimit"]


@pytest.fixture(params=[of_chart, of_manifests])
def given(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    found: tuple[dict[str, Any], str] = request.param()
    return found


def test_the_memory_of_all_gits_is_there_beside_what_the_operator_asks_for(given: tuple[dict[str, Any], str]) -> None:
    resources, _ = given
    gits = PARALLEL * PROCESSES * MEMORY_LIMIT
    assert gits + size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])


def test_the_files_of_all_gits_fit_into_the_volume_with_what_comes_between_two_looks(
    given: tuple[dict[str, Any], str],
) -> None:
    resources, volume = given
    assert PARALLEL * DISK_LIMIT * 5 // 4 <= size(volume) < size(resources["limits"]["ephemeral-storage"])
