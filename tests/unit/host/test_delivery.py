"""The key figures of delivery by project: what is counted when, for how many, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.host.delivery import Delivery, Ended, ended
from devops_reconciler.host.index import Index
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from tests.unit.world import TEAM, outside

from .test_loop import Outbox

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def end(result: str, minute: int, *, asked: int = 0, project: str = "shop") -> Ended:
    return Ended(f"{project}-{minute}", (TEAM, project), result, START + MINUTE * asked, START + MINUTE * minute)


class Counted:
    """Figures of an operator that has seen these ends, one after the other."""

    def __init__(self, *ends: Ended, most: int = 10) -> None:
        self.metrics = Metrics()
        self.delivery = Delivery(self.metrics, most)
        for at, each in enumerate(ends):
            self.delivery.note(each, ends[: at + 1])

    def value(self, name: str, project: str = "shop", namespace: str = TEAM, **labels: str) -> float | None:
        labels |= {"namespace": namespace, "project": project}
        return self.metrics.registry.get_sample_value(f"devops_reconciler_project_{name}", labels)


def test_deployments_count_by_result_and_good_ones_have_a_lead_time() -> None:
    found = Counted(end("Succeeded", 5), end("Failed", 9, asked=6), end("Succeeded", 20, asked=17))
    assert found.value("deployments_total", result="Succeeded") == 2
    assert found.value("deployments_total", result="Failed") == 1
    assert (found.value("lead_seconds_count"), found.value("lead_seconds_sum")) == (2, 8 * 60)


@pytest.mark.parametrize(
    ("ends", "restored"),
    [
        ([end("Succeeded", 1), end("Failed", 10), end("Failed", 20), end("Succeeded", 25)], (1, 15 * 60)),
        ([end("Failed", 1), end("Succeeded", 2), end("Succeeded", 9)], (1, 60)),
        ([end("Failed", 1), end("Superseded", 2), end("Cancelled", 3), end("Succeeded", 4)], (1, 3 * 60)),
        ([end("Succeeded", 1), end("Cancelled", 2), end("Succeeded", 4)], (0, 0)),
        ([end("Failed", 1)], (0, 0)),
    ],
    ids=["from the first failure", "once", "whatever is between", "a cancelled one broke nothing", "not yet"],
)
def test_the_time_to_restore_is_from_the_first_failure_to_the_next_success(
    ends: list[Ended], restored: tuple[float, float]
) -> None:
    found = Counted(*ends)
    assert (found.value("restore_seconds_count"), found.value("restore_seconds_sum")) == restored


def test_projects_beyond_the_bound_are_counted_together() -> None:
    names = [f"p{number}" for number in range(5)]
    found = Counted(*(end("Succeeded", 1 + at, project=name) for at, name in enumerate(names)), most=3)
    assert [found.value("deployments_total", name, result="Succeeded") for name in names] == [1, 1, 1, None, None]
    assert found.value("deployments_total", "other", "", result="Succeeded") == 2
    assert found.value("lead_seconds_count", "other", "") == 2


@pytest.mark.parametrize("ends", [[end("Failed", 1)], [end("Failed", 1), end("Succeeded", 2)], []])
def test_a_project_that_goes_takes_its_figures_along_and_makes_room(ends: list[Ended]) -> None:
    found = Counted(*ends, most=1)
    found.delivery.forget(TEAM, "shop")
    assert TEAM not in found.metrics.exposition().decode()
    found.delivery.note(end("Succeeded", 5, project="next"), ())
    assert found.value("deployments_total", "next", result="Succeeded") == 1


def test_a_project_shows_zeros_before_its_first_deployment_ends() -> None:
    found = Counted()
    found.delivery.meet(TEAM, "shop")
    results = ("Succeeded", "Failed", "Superseded", "Cancelled")
    assert [found.value("deployments_total", result=result) for result in results] == [0, 0, 0, 0]
    assert (found.value("lead_seconds_count"), found.value("restore_seconds_count")) == (0, 0)


def record(name: str, environment: str = "production", **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": TEAM, "uid": f"uid-of-{name}", "creationTimestamp": "2026-01-01T12:00:00Z"}
    spec = {"projectRef": {"name": "shop"}, "environment": environment}
    return {"kind": "DeploymentRecord", "metadata": metadata, "spec": spec, "status": status}


def finished(reason: str) -> dict[str, Any]:
    return {
        "conditions": [{"type": "Finished", "status": "True", "reason": reason}],
        "finishedAt": "2026-01-01T12:05:00Z",
    }


def test_only_what_has_ended_in_production_counts_and_the_message_is_the_request() -> None:
    assert ended(record("one")) is None
    assert ended(record("one", "pr-7", **finished("Succeeded"))) is None
    sent = record("one", **finished("BuildFailed"))
    sent["metadata"]["annotations"] = {"freeleaps.com/event-timestamp": "2026-01-01T11:59:00Z"}
    assert ended(sent) == Ended("uid-of-one", (TEAM, "shop"), "Failed", START - MINUTE, START + 5 * MINUTE)


@pytest.mark.parametrize("nonsense", ["yesterday", "2026-01-01", "2026-01-01T11:59:00", ""])
def test_a_time_of_the_message_that_is_none_is_that_of_the_creation(nonsense: str) -> None:
    """Anybody may write annotations in their own namespace."""
    sent = record("one", **finished("Succeeded"))
    sent["metadata"]["annotations"] = {"freeleaps.com/event-timestamp": nonsense}
    assert ended(sent) == Ended("uid-of-one", (TEAM, "shop"), "Succeeded", START, START + 5 * MINUTE)


def test_what_the_watch_has_told_is_known_by_project() -> None:
    index = Index()
    index.note(record("one", **finished("Succeeded")), deleted=False)
    index.note(record("two"), deleted=False)
    index.note(record("three", "pr-7", **finished("Succeeded")), deleted=False)
    assert [each.uid for each in index.ended(TEAM, "shop")] == ["uid-of-one"]
    index.note(record("one", **finished("Succeeded")), deleted=True)
    assert index.ended(TEAM, "shop") == []


async def test_a_deployment_that_ends_in_a_pass_counts_for_its_project_until_that_is_gone() -> None:
    out, metrics = outside(), Metrics()
    loop = Loop(out.world, Outbox(), metrics)
    new = record("one")
    new["metadata"] |= {
        "finalizers": ["freeleaps.com/finalizer"],
        "creationTimestamp": out.clock.now().isoformat(),
    }
    out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, {"metadata": new["metadata"], "spec": new["spec"]})
    await loop._run(Key("DeploymentRecord", TEAM, "one"))
    out.clock.advance(out.world.settings.project_wait_timeout + MINUTE)
    await loop._run(Key("DeploymentRecord", TEAM, "one"))

    labels = {"namespace": TEAM, "project": "shop", "result": "Failed"}
    assert metrics.registry.get_sample_value("devops_reconciler_project_deployments_total", labels) == 1
    await loop._run(Key("DevOpsProject", TEAM, "shop"))
    assert metrics.registry.get_sample_value("devops_reconciler_project_deployments_total", labels) is None
