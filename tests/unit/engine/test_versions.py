"""What another version of the operator has kept, which knew less of a thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.policies import DriftPolicy, EffectivePolicy
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.preview import preview
from devops_reconciler.engine.resource import Resource, digest_of

from .bench import ME, Bench, of, step
from .line import Fault, run
from .things import CATALOG, DEFAULT, Job, Secret, policy
from .world import Outside

REPORT = policy(drift=DriftPolicy.REPORT)


class Labelled(Job):
    """A job with a field that came later, and one that may be null."""

    label: str = "none"
    folder: str | None = None


class Sealed(Secret):
    label: str = "none"


OLD = Labelled(path="a", content="1")


def by_the_version_before(
    resource: Resource[Outside], how: EffectivePolicy = REPORT, *, noted: bool = True, perhaps: bool = False
) -> Bench:
    """A thing that was made by a version without labels. `perhaps`: whose answer was lost; `noted`: with its nulls."""
    bench = Bench()
    if perhaps:
        bench.world.line.named[("items create", 0)] = Fault.TIMEOUT_AFTER
        bench.advance(step("x", resource, policy=how))
    else:
        bench.settle(step("x", resource, policy=how))
    (entry,) = bench.applied
    del entry["value"]["label"]
    said = entry["intent"] if perhaps else entry
    said["digest"] = digest_of(entry["value"])
    if not noted:
        entry.pop("nulls", None)
    bench.wait(60)
    return bench


def by_hand(bench: Bench) -> None:
    bench.world.items.place("a", ME, content="by hand")


def now(bench: Bench, resource: Resource[Outside], how: EffectivePolicy = REPORT) -> list[str]:
    """The writes of two passes of this version."""
    before = len(bench.writes())
    bench.advance(step("x", resource, policy=how))
    bench.wait(60)
    bench.advance(step("x", resource, policy=how))
    return bench.writes()[before:]


@pytest.mark.parametrize("label", ["none", "team"])
@pytest.mark.parametrize("perhaps", [False, True])
@pytest.mark.parametrize("noted", [False, True])
def test_a_field_that_came_later_writes_over_nothing_that_is_to_be_left(label: str, perhaps: bool, noted: bool) -> None:
    bench = by_the_version_before(OLD, perhaps=perhaps, noted=noted)
    by_hand(bench)
    wanted = Labelled(path="a", content="1", label=label)
    outcome = bench.advance(step("x", wanted, policy=REPORT))
    result = of(outcome, "x")
    assert (result.state, result.reason, result.drifted) == (StepState.SUCCEEDED, Reason.DRIFTED, ("content",))
    assert now(bench, wanted) == [], "nor does a later pass"
    assert now(bench, Labelled(path="a", content="2", label=label)) == ["items patch"], "a new value is applied"


def test_it_is_not_planned_either() -> None:
    bench = by_the_version_before(OLD)
    by_hand(bench)
    steps = [step("x", Labelled(path="a", content="1", label="team"), policy=REPORT)]
    calls = run(preview(steps, Ledger.load(bench.applied), bench.world, bench.world.clock, ME, CATALOG, {}))
    assert [call["action"] for call in calls] == ["Report"]


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        Labelled(path="a", content="2"),
        Labelled(path="a", content="2", label="team"),
        Labelled(path="a", content="1", folder="f"),
        Labelled(path="a", content="1", label="team", folder="f"),
    ],
)
def test_a_known_field_with_a_new_value_is_applied(wanted: Labelled, noted: bool) -> None:
    bench = by_the_version_before(OLD, noted=noted)
    by_hand(bench)
    assert now(bench, wanted) == ["items patch"]


def test_a_null_is_known_though_the_status_does_not_keep_it() -> None:
    bench = by_the_version_before(OLD)
    assert bench.applied[0]["nulls"] == ["folder"]
    bench = by_the_version_before(OLD.model_copy(update={"folder": "f"}))
    del bench.applied[0]["value"]["folder"]
    bench.applied[0]["digest"] = digest_of(bench.applied[0]["value"])
    by_hand(bench)
    assert now(bench, Labelled(path="a", content="1", folder="f")) == [], "it did not know folders either"


def test_what_is_repaired_says_nothing_of_nulls() -> None:
    bench = by_the_version_before(OLD, DEFAULT)
    by_hand(bench)
    assert now(bench, OLD, DEFAULT) == ["items patch"]
    assert "nulls" not in bench.applied[0]


@pytest.mark.parametrize("perhaps", [False, True])
@pytest.mark.parametrize(("label", "writes"), [("none", []), ("team", ["items patch"])])
def test_what_cannot_be_read_back_is_written_when_it_is_not_what_it_was(
    label: str, writes: list[str], perhaps: bool
) -> None:
    bench = by_the_version_before(Sealed(path="a", content="1"), DEFAULT, perhaps=perhaps)
    assert now(bench, Sealed(path="a", content="1", label=label), DEFAULT) == writes


def test_what_cannot_be_read_back_is_left_where_a_field_came_later() -> None:
    bench = by_the_version_before(Sealed(path="a", content="1"))
    assert now(bench, Sealed(path="a", content="1", label="team")) == []
    assert now(bench, Sealed(path="a", content="2", label="team")) == ["items patch"]


class Strict(Labelled):
    """It cannot say what a value of before was."""

    @classmethod
    def recall(cls, value: Mapping[str, Any]) -> Self:
        raise ValueError("no label")


def test_a_value_that_cannot_be_recalled_has_changed() -> None:
    bench = by_the_version_before(Strict(path="a", content="1"))
    by_hand(bench)
    assert now(bench, Strict(path="a", content="1", label="team")) == ["items patch"]


class Previous(Labelled):
    """Its digest is not that of its whole value, as of a DNS record that replaces another value."""

    previous: tuple[str, ...] = ()

    def digest(self) -> str:
        return super().digest() if not self.previous else self.model_copy(update={"previous": ()}).digest()


def test_a_digest_of_something_else_stays_as_it_is() -> None:
    bench = Bench()
    old = Previous(path="a", content="1", previous=("0",))
    bench.settle(step("x", old, policy=REPORT))
    by_hand(bench)
    ledger = Ledger.load(bench.applied)
    assert ledger.want("x", Previous(path="a", content="1"), leaves=True).digest == old.digest()
    assert now(bench, Previous(path="a", content="1")) == []
    assert now(bench, Previous(path="a", content="2")) == ["items patch"]


def test_a_value_that_was_never_applied_is_not_taken_for_the_one_that_was() -> None:
    bench = by_the_version_before(OLD)
    by_hand(bench)
    bench.applied[0]["value"]["content"] = "wanted, but never written"
    assert now(bench, Labelled(path="a", content="wanted, but never written", label="team")) == ["items patch"]


def test_an_attempt_at_another_value_is_not_taken_for_one_at_this() -> None:
    bench = by_the_version_before(OLD)
    bench.world.line.named[("items patch", 0)] = Fault.TIMEOUT_BEFORE
    bench.advance(step("x", Labelled(path="a", content="2"), policy=REPORT))
    assert now(bench, OLD) == [], "it was never written, and nothing differs"
    assert bench.entry("x").digest == OLD.digest()
