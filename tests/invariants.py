"""What must hold for the status of every object at every moment. Every test that ends with an object asserts it."""

from __future__ import annotations

from collections.abc import Iterable

from devops_reconciler.api.conditions import MESSAGE_LIMIT, Condition, Reason

SUMMARY = "Ready"
ABNORMAL = ("Reconciling", "Stalled", "Suspended", "Drifted", "Conflict", "VendorDegraded")
"""Conditions that are there only while True."""


def kstatus(
    conditions: Iterable[Condition], generation: int, observed_generation: int | None, *, deleting: bool = False
) -> str:
    """The status that `kstatus` (sigs.k8s.io/cli-utils) computes: in the order of its rules."""
    found = list(conditions)
    if deleting:
        return "Terminating"
    if observed_generation is not None and observed_generation != generation:
        return "InProgress"
    for item in found:
        if item.type == "Reconciling" and item.status == "True":
            return "InProgress"
        if item.type == "Stalled" and item.status == "True":
            return "Failed"
    ready = next((item for item in found if item.type == SUMMARY), None)
    if ready is None:
        return "Current"
    return "Current" if ready.status == "True" else "InProgress"


def assert_status_invariants(
    conditions: Iterable[Condition], generation: int, observed_generation: int | None = None
) -> None:
    """The rules of kstatus and of `metav1.Condition`."""
    found = list(conditions)
    by_type = {item.type: item for item in found}
    assert len(by_type) == len(found), f"a type twice: {[item.type for item in found]}"
    assert SUMMARY in by_type, "Ready is always there"
    for item in found:
        _assert_condition(item, generation)
    _assert_summary(by_type)
    if observed_generation == generation:
        assert "Stalled" in by_type or by_type[SUMMARY].status == "True" or "Reconciling" in by_type, (
            "observedGeneration has moved, and neither Ready nor Stalled says how it ended"
        )
    if by_type[SUMMARY].status == "True":
        status = kstatus(found, generation, generation)
        assert status == "Current", f"Ready, yet kstatus reads {status}"


def _assert_condition(item: Condition, generation: int) -> None:
    assert item.reason in set(Reason), f"{item.type}: unknown reason {item.reason}"
    assert len(item.message) <= MESSAGE_LIMIT, f"{item.type}: a message of {len(item.message)} characters"
    assert "\n" not in item.message, f"{item.type}: a message of several lines"
    assert item.observed_generation is not None, f"{item.type}: no observedGeneration"
    assert item.observed_generation <= generation, f"{item.type}: observed a generation that is yet to come"
    if item.type in ABNORMAL:
        assert item.status == "True", f"{item.type} is there, so it must be True"


def _assert_summary(by_type: dict[str, Condition]) -> None:
    ready = by_type[SUMMARY]
    assert not ("Reconciling" in by_type and "Stalled" in by_type), "Reconciling and Stalled at once"
    if ready.status == "True":
        assert "Reconciling" not in by_type, "Ready and Reconciling at once"
        assert "Stalled" not in by_type, "Ready and Stalled at once"
    elif ready.status == "Unknown":
        assert "Reconciling" in by_type, "Ready is Unknown, so something is under way"
    if "Stalled" in by_type:
        assert ready.status == "False", "Stalled, so Ready is False"
