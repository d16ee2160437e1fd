"""What the node without a machine says of a pod."""

from __future__ import annotations

from typing import Any

from testbed.nodes import WAITING, status_of


def pod(**annotations: str) -> dict[str, Any]:
    containers = [{"name": "shop", "image": "acme/shop:1"}, {"name": "log", "image": "acme/log:1"}]
    return {"metadata": {"name": "shop-1", "annotations": annotations}, "spec": {"containers": containers}}


def told(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


def test_a_pod_runs_with_all_its_containers() -> None:
    status = status_of(pod())
    assert status["phase"] == "Running"
    assert told(status)["Ready"] == "True"
    assert [(each["image"], each["ready"], set(each["state"])) for each in status["containerStatuses"]] == [
        ("acme/shop:1", True, {"running"}),
        ("acme/log:1", True, {"running"}),
    ]


def test_a_pod_that_is_to_wait_never_gets_ready_and_says_why() -> None:
    status = status_of(pod(**{WAITING: "ImagePullBackOff"}))
    assert status["phase"] == "Pending"
    assert told(status) == {"PodScheduled": "True", "Initialized": "True", "ContainersReady": "False", "Ready": "False"}
    assert {each["state"]["waiting"]["reason"] for each in status["containerStatuses"]} == {"ImagePullBackOff"}
