"""Drift and new values, and what is written only once."""

from __future__ import annotations

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ReconcilerError,
)
from devops_reconciler.api.policies import DriftPolicy, ManagementPolicy
from devops_reconciler.engine.resource import Observation

from .bench import ME, Bench, of, step
from .line import Fault
from .test_pipeline import FOLDER, JOB, showing
from .things import Job, Secret, policy


def test_drift_is_repaired_and_told() -> None:
    bench = Bench()
    steps = (step("folder", FOLDER), step("job", JOB))
    bench.settle(*steps)
    bench.world.items.place("team/job", ME, content="by hand")
    assert of(bench.advance(*steps), "job").drifted == ("content",)
    bench.settle(*steps)
    assert bench.world.items.things["team/job"].fields == {"content": "a"}


def test_a_new_value_is_no_drift() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER), step("job", JOB))
    outcome = bench.advance(step("folder", FOLDER), step("job", Job(path="team/job", content="b")))
    assert of(outcome, "job").drifted == ()
    assert bench.writes()[-1] == "items patch"


def test_drift_that_is_only_reported_is_ready_and_told() -> None:
    bench = Bench()
    reporting = policy(drift=DriftPolicy.REPORT)
    steps = (step("folder", FOLDER), step("job", JOB, policy=reporting))
    bench.settle(*steps)
    bench.world.items.place("team/job", ME, content="by hand")
    outcome = bench.advance(*steps)
    assert outcome.ready
    assert (of(outcome, "job").reason, of(outcome, "job").drifted) == (Reason.DRIFTED, ("content",))
    assert bench.world.items.things["team/job"].fields == {"content": "by hand"}


def test_what_was_only_for_the_time_being_is_brought_in_line_and_is_no_drift() -> None:
    bench = Bench()
    reporting = policy(drift=DriftPolicy.REPORT)
    bench.world.items.place("x", ME)
    for seen in (Observation(exists=True, owner=ME), Observation(exists=True, owner=ME, interim=True)):
        assert bench.advance(step("x", showing(seen), policy=reporting)).ready
    rest = Observation(exists=True, owner=ME, drift=("repositories",))
    assert of(bench.advance(step("x", showing(rest), policy=reporting)), "x").drifted == ()
    assert bench.writes() == ["items patch"]


def test_a_blind_value_is_written_exactly_when_it_changes() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER), step("secret", Secret(path="team/s", content="1")))
    assert bench.writes() == ["items create", "items create"]
    for content in ("2", "1"):
        bench.wait(10)
        bench.settle(step("folder", FOLDER), step("secret", Secret(path="team/s", content=content)))
        assert bench.writes()[-1] == "items patch"
        assert bench.world.items.things["team/s"].fields == {"content": content}
    assert len(bench.writes()) == 4


@pytest.mark.parametrize("first", ["items create", "items patch"])
def test_a_blind_value_that_was_perhaps_written_is_written_over(first: str) -> None:
    bench = Bench()
    old, new = (step("secret", Secret(path="s", content=content)) for content in ("1", "2"))
    bench.settle(old)
    if first == "items create":
        bench.world.items.remove("s")
    bench.wait(10)
    bench.world.line.named[(first, bench.writes().count(first))] = Fault.TIMEOUT_AFTER
    bench.advance(new)
    assert bench.world.items.things["s"].fields == {"content": "2"}, "though nobody was told"
    bench.wait(10)
    bench.settle(old)
    assert bench.world.items.things["s"].fields == {"content": "1"}


def test_read_only_creates_nothing_and_says_so() -> None:
    bench = Bench()
    read_only = policy(management=frozenset({ManagementPolicy.OBSERVE}))
    outcome = bench.advance(step("folder", FOLDER, policy=read_only))
    assert of(outcome, "folder").reason is Reason.DEPENDENCY_NOT_READY
    assert isinstance(of(outcome, "folder").error, ReconcilerError)
    assert bench.writes(saves=True) == []
