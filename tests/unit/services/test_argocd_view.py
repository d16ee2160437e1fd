"""What an Application and a resource tree say, also when they say little."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from devops_reconciler.services.argocd_view import ApplicationView, failing_resources


def named(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "namespace": "shop"}


APP: dict[str, Any] = {
    "metadata": {
        "name": "shop",
        "annotations": {"a": "b"},
        "finalizers": ["f"],
        "deletionTimestamp": "2026-01-01T00:00:09Z",
    },
    "spec": {"project": "shop"},
    "status": {
        "reconciledAt": "2026-01-01T00:00:05Z",
        "sync": {"status": "Synced", "revision": "abc"},
        "health": {"status": "Degraded"},
        "summary": {"images": ["acme/shop@sha256:1"]},
        "conditions": [
            {"type": "ComparisonError", "message": "no path"},
            {"type": "OrphanedResourceWarning", "message": "3 orphaned"},
            {"type": "Informational", "message": "ignore me"},
        ],
        "resources": [
            {"kind": "Service", "name": "shop", "namespace": "shop", "health": {"status": "Healthy"}},
            {
                "kind": "Deployment",
                "name": "shop",
                "namespace": "shop",
                "health": {"status": "Degraded", "message": "0/1"},
            },
            {"kind": "ConfigMap", "name": "shop", "namespace": "shop"},
        ],
        "operationState": {
            "phase": "Failed",
            "message": "one or more objects failed to apply",
            "startedAt": "2026-01-01T00:00:01Z",
            "finishedAt": "2026-01-01T00:00:03Z",
            "operation": {"sync": {"revision": "main"}, "info": [{"name": "deployment", "value": "uid"}]},
            "syncResult": {
                "revision": "abc",
                "resources": [
                    {
                        "kind": "ConfigMap",
                        "name": "x",
                        "namespace": "shop",
                        "status": "SyncFailed",
                        "message": "immutable",
                    },
                    {"kind": "Job", "name": "migrate", "namespace": "shop", "hookPhase": "Failed", "message": "exit 1"},
                    {
                        "kind": "Service",
                        "name": "shop",
                        "namespace": "shop",
                        "status": "Synced",
                        "hookPhase": "Running",
                    },
                ],
            },
        },
    },
}


def at(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def test_everything_is_read_from_its_place() -> None:
    view = ApplicationView(APP)
    assert (view.name, view.project, view.annotations, view.finalizers) == ("shop", "shop", {"a": "b"}, ("f",))
    assert (view.deleting, view.deleting_since) == (True, at(9))
    assert (view.operation_phase, view.operation_running, view.operation_revision) == ("Failed", False, "abc")
    assert (view.operation_started_at, view.operation_finished_at, view.reconciled_at) == (at(1), at(3), at(5))
    assert view.operation_infos == {"deployment": "uid"}
    assert (view.sync_status, view.sync_revision, view.health) == ("Synced", "abc", "Degraded")
    assert view.images == ("acme/shop@sha256:1",)


def test_the_operation_names_what_could_not_be_applied() -> None:
    assert ApplicationView(APP).operation_message == (
        "one or more objects failed to apply; ConfigMap shop/x: immutable; Job shop/migrate: exit 1"
    )


def test_conditions_are_the_errors_and_warnings() -> None:
    expected = ("ComparisonError: no path", "OrphanedResourceWarning: 3 orphaned")
    assert ApplicationView(APP).conditions == expected


def test_health_is_explained_by_the_resources_when_it_has_no_words_of_its_own() -> None:
    assert ApplicationView(APP).health_message == "Deployment shop/shop Degraded: 0/1"
    own = {"status": {"health": {"status": "Degraded", "message": "its own"}}}
    assert ApplicationView(own).health_message == "its own"


@pytest.mark.parametrize(
    ("app", "running"),
    [
        ({"operation": {"sync": {}}}, True),
        ({"status": {"operationState": {"phase": "Running"}}}, True),
        ({"status": {"operationState": {"phase": "Terminating"}}}, True),
        ({"status": {"operationState": {"phase": "Succeeded"}}}, False),
        ({"status": {"operationState": {"phase": "Error"}}}, False),
        ({}, False),
    ],
)
def test_an_operation_runs_from_its_request_to_its_final_phase(app: dict[str, Any], running: bool) -> None:
    assert ApplicationView(app).operation_running is running


@pytest.mark.parametrize(
    "app",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"status": {"operationState": None, "sync": None, "health": None, "summary": None, "conditions": None}},
        {"status": {"reconciledAt": "soon", "resources": ["odd"], "conditions": ["odd"], "summary": {"images": None}}},
    ],
)
def test_what_is_missing_or_odd_reads_as_unknown(app: dict[str, Any]) -> None:
    view = ApplicationView(app)
    assert (view.sync_status, view.health, view.project) == ("Unknown", "Unknown", "default")
    assert (view.images, view.conditions, view.reconciled_at, view.operation_message) == ((), (), None, "")
    assert (view.operation_infos, view.health_message, view.deleting) == ({}, "", False)


def pod(name: str, reason: str, status: str, message: str = "") -> dict[str, Any]:
    health = {"status": status, **({"message": message} if message else {})}
    info = [{"name": "Status Reason", "value": reason}, {"name": "Containers", "value": "0/1"}]
    return {"kind": "Pod", "namespace": "shop", "name": name, "health": health, "info": info}


def test_the_blocking_pod_comes_first_with_its_reason() -> None:
    deployment = {"kind": "Deployment", "namespace": "shop", "name": "shop", "health": {"status": "Degraded"}}
    tree = {
        "nodes": [
            deployment,
            pod("shop-2", "ImagePullBackOff", "Progressing", "Back-off pulling image"),
            pod("shop-1", "Running", "Healthy"),
            pod("shop-3", "ContainerCreating", "Progressing"),
            pod("shop-0", "CrashLoopBackOff", "Degraded"),
        ]
    }
    assert failing_resources(tree) == [
        "Pod shop/shop-0: CrashLoopBackOff",
        "Pod shop/shop-2: ImagePullBackOff: Back-off pulling image",
        "Deployment shop/shop: Degraded",
    ]


@pytest.mark.parametrize("tree", [{}, {"nodes": None}, {"nodes": ["odd", {}]}])
def test_an_empty_or_odd_tree_names_nothing(tree: dict[str, Any]) -> None:
    assert failing_resources(tree) == []
