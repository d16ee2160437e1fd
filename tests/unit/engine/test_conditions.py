"""From outcomes to conditions: the rules of kstatus, and no change without a cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.api.conditions import MESSAGE_LIMIT, Condition, Reason
from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import ExternalServiceError, FailedError
from devops_reconciler.engine.conditions import Conditions, say, shorten, summarise
from devops_reconciler.engine.outcome import Outcome, StepResult
from tests.invariants import assert_status_invariants, kstatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
ILL = ExternalServiceError("down", service="jenkins")

DONE = StepResult("job", StepState.SUCCEEDED, Reason.SUCCEEDED)
SKIPPED = StepResult("dns", StepState.SKIPPED)
PENDING = StepResult("late", StepState.PENDING)
RUNNING = StepResult("build", StepState.RUNNING, Reason.PROGRESSING, "build 7 runs")
WAITING = StepResult("build", StepState.WAITING, Reason.EXTERNAL_SERVICE_ERROR, "jenkins: down", error=ILL)
BUG = StepResult("build", StepState.WAITING, Reason.INTERNAL_ERROR, "unexpected KeyError", error=KeyError("x"))
FAILED = StepResult("build", StepState.FAILED, Reason.BUILD_FAILED, "red", error=FailedError("red"))
FOREIGN = StepResult("job", StepState.FAILED, Reason.OWNERSHIP_CONFLICT, "not ours", error=FailedError("not ours"))
DRIFTED = StepResult("job", StepState.SUCCEEDED, Reason.DRIFTED, "differs and is left so: a", drifted=("a",))
ALL = [DONE, SKIPPED, PENDING, RUNNING, WAITING, BUG, FAILED, FOREIGN, DRIFTED]


def after(
    *results: StepResult, before: list[Condition] | None = None, generation: int = 1, acted: bool = False
) -> tuple[dict[str, tuple[str, str]], bool, Conditions]:
    """The conditions after one pass: type → (status, reason); and whether observedGeneration moves."""
    conditions = Conditions(before or [], generation, NOW)
    settled = summarise(conditions, Outcome(list(results), acted=acted), generation)
    assert_status_invariants(conditions.list(), generation, generation if settled else generation - 1)
    return {item.type: (item.status, item.reason) for item in conditions.list()}, settled, conditions


READY = {"Ready": ("True", "Succeeded")}


@pytest.mark.parametrize(
    ("results", "expected", "settled"),
    [
        ((), READY, True),
        ((DONE, SKIPPED), READY, True),
        (
            (DONE, RUNNING, PENDING),
            {"Ready": ("Unknown", "Progressing"), "Reconciling": ("True", "Progressing")},
            False,
        ),
        ((PENDING,), {"Ready": ("Unknown", "Progressing"), "Reconciling": ("True", "Progressing")}, False),
        (
            (DONE, WAITING),
            {
                "Ready": ("Unknown", "ExternalServiceError"),
                "Reconciling": ("True", "ProgressingWithRetry"),
                "VendorDegraded": ("True", "ExternalServiceError"),
            },
            False,
        ),
        (
            (BUG,),
            {"Ready": ("False", "InternalError"), "Reconciling": ("True", "ProgressingWithRetry")},
            False,
        ),
        ((DONE, FAILED, PENDING), {"Ready": ("False", "BuildFailed"), "Stalled": ("True", "BuildFailed")}, True),
        (
            (WAITING, FAILED),
            {
                "Ready": ("False", "BuildFailed"),
                "Stalled": ("True", "BuildFailed"),
                "VendorDegraded": ("True", "ExternalServiceError"),
            },
            True,
        ),
        (
            (FOREIGN, RUNNING),
            {
                "Ready": ("False", "OwnershipConflict"),
                "Stalled": ("True", "OwnershipConflict"),
                "Conflict": ("True", "OwnershipConflict"),
            },
            True,
        ),
        ((DRIFTED,), {**READY, "Drifted": ("True", "Drifted")}, True),
    ],
)
def test_an_outcome_becomes_conditions(
    results: tuple[StepResult, ...], expected: dict[str, tuple[str, str]], settled: bool
) -> None:
    found, moved, _ = after(*results)
    assert (found, moved) == (expected, settled)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ((DONE,), "Current"),
        ((RUNNING,), "InProgress"),
        ((WAITING,), "InProgress"),
        ((BUG,), "InProgress"),
        ((FAILED,), "Failed"),
        ((RUNNING, FAILED), "Failed"),
    ],
)
def test_kstatus_reads_what_is_meant(results: tuple[StepResult, ...], status: str) -> None:
    _, settled, conditions = after(*results)
    assert kstatus(conditions.list(), 1, 1) == status
    assert kstatus(conditions.list(), 1, -1) == "InProgress", "not yet observed"
    assert settled == (status != "InProgress")


def test_what_is_ready_stays_so_while_a_service_cannot_be_asked() -> None:
    _, _, ready = after(DONE)
    found, settled, _ = after(DONE, WAITING, PENDING, before=ready.list())
    assert found == {**READY, "VendorDegraded": ("True", "ExternalServiceError")}
    assert settled


@pytest.mark.parametrize("result", [RUNNING, BUG])
def test_what_is_ready_does_not_stay_so_for_other_causes(result: StepResult) -> None:
    _, _, ready = after(DONE)
    found, settled, _ = after(WAITING, result, before=ready.list())
    assert found["Ready"][0] != "True"
    assert not settled


def test_what_is_ready_does_not_stay_so_for_another_spec_or_after_a_write() -> None:
    _, _, ready = after(DONE)
    assert after(WAITING, before=ready.list(), generation=2)[0]["Ready"][0] == "Unknown"
    assert after(WAITING, before=ready.list(), acted=True)[0]["Ready"][0] == "Unknown"


def test_the_time_of_a_transition_moves_only_with_the_status() -> None:
    first = Conditions([], 1, NOW)
    first.put("Ready", "Unknown", Reason.PROGRESSING, "a")
    second = Conditions(first.list(), 1, LATER)
    second.put("Ready", "Unknown", Reason.BREAKER_OPEN, "b")
    assert second.list()[0].last_transition_time == NOW
    second.put("Ready", "False", Reason.BUILD_FAILED)
    assert second.list()[0].last_transition_time == LATER


def test_only_a_new_status_or_reason_is_an_event() -> None:
    first = Conditions([], 1, NOW)
    first.progressing("a", Reason.PROGRESSING, retrying=False)
    assert [item.type for item in first.transitions] == ["Ready", "Reconciling"]
    second = Conditions(first.list(), 2, LATER)
    second.progressing("other words", Reason.PROGRESSING, retrying=False)
    assert second.transitions == []
    second.progressing("other words", Reason.RATE_LIMITED, retrying=True)
    assert [(item.type, item.reason) for item in second.transitions] == [
        ("Ready", "RateLimited"),
        ("Reconciling", "ProgressingWithRetry"),
    ]


def test_the_same_outcome_again_changes_nothing() -> None:
    for result in ALL:
        _, _, first = after(result)
        second = Conditions(first.list(), 1, LATER)
        summarise(second, Outcome([result]), 1)
        assert second.list() == first.list()
        assert second.transitions == []


def test_ready_comes_first_and_the_others_by_name() -> None:
    conditions = Conditions([], 1, NOW)
    for kind in ("Synced", "Drifted", "Ready", "Healthy"):
        conditions.put(kind, "True", Reason.SUCCEEDED)
    assert [item.type for item in conditions.list()] == ["Ready", "Drifted", "Healthy", "Synced"]
    assert conditions.is_true("Synced")
    assert not conditions.is_true("Stalled")


def test_a_message_names_its_step_fits_and_is_one_line() -> None:
    assert say(RUNNING) == "build: build 7 runs"
    assert say(PENDING) == "late"
    assert shorten("a\n  b\tc") == "a b c"
    assert shorten("\x1b[31ma\x1b[0m\x07") == "a"
    assert shorten("x" * MESSAGE_LIMIT) == "x" * MESSAGE_LIMIT
    assert shorten("x" * (MESSAGE_LIMIT + 1)) == "x" * (MESSAGE_LIMIT - 1) + "…"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(ALL), max_size=4), st.booleans(), st.booleans(), st.integers(0, 90)),
        max_size=8,
    )
)
def test_the_invariants_hold_after_any_history(history: list[tuple[list[StepResult], bool, bool, int]]) -> None:
    known: list[Condition] = []
    generation, observed, now = 1, -1, NOW
    for results, edited, acted, seconds in history:
        generation, now = generation + edited, now + timedelta(seconds=seconds)
        conditions = Conditions(known, generation, now)
        if summarise(conditions, Outcome(results, acted=acted), generation):
            observed = generation
        assert_status_invariants(conditions.list(), generation, observed)
        for item in conditions.list():
            same = next((c for c in known if c.type == item.type and c.status == item.status), None)
            assert item.last_transition_time == (same.last_transition_time if same else now)
        known = conditions.list()


def bad(*items: tuple[str, str, Reason], message: str = "", observed: int = 1) -> list[Condition]:
    return [
        Condition(
            type=kind,
            status=status,
            reason=reason.value,
            message=message,
            last_transition_time=NOW,
            observed_generation=observed,
        )
        for kind, status, reason in items
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        bad(("Stalled", "True", Reason.BUILD_FAILED)),
        bad(("Ready", "True", Reason.SUCCEEDED), ("Ready", "True", Reason.SUCCEEDED)),
        bad(("Ready", "True", Reason.SUCCEEDED), ("Reconciling", "True", Reason.PROGRESSING)),
        bad(("Ready", "True", Reason.SUCCEEDED), ("Stalled", "True", Reason.BUILD_FAILED)),
        bad(("Ready", "True", Reason.SUCCEEDED), ("Drifted", "False", Reason.DRIFTED)),
        bad(("Ready", "Unknown", Reason.PROGRESSING)),
        bad(("Ready", "Unknown", Reason.PROGRESSING), ("Stalled", "True", Reason.BUILD_FAILED)),
        bad(
            ("Ready", "False", Reason.BUILD_FAILED),
            ("Reconciling", "True", Reason.PROGRESSING),
            ("Stalled", "True", Reason.BUILD_FAILED),
        ),
        bad(("Ready", "True", Reason.SUCCEEDED), observed=2),
        bad(("Ready", "True", Reason.SUCCEEDED), message="two\nlines"),
        bad(("Ready", "False", Reason.BUILD_FAILED)),
    ],
    ids=range(12),
)
def test_the_invariants_find_what_is_wrong(conditions: list[Condition]) -> None:
    with pytest.raises(AssertionError):
        assert_status_invariants(conditions, 1, 1)
