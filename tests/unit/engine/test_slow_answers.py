"""A look tells how things were when it was sent: what happened while its answer was under way, it cannot know."""

from __future__ import annotations

from datetime import timedelta

from devops_reconciler.engine.ledger import EntryState

from .bench import Bench, step
from .line import Fault
from .things import Build, Job

BUILD = step("build", Build(uid="u1", tag="t"))
JOB = step("job", Job(path="job"))


def test_a_slow_answer_that_it_is_absent_makes_no_second_one() -> None:
    bench = Bench()
    bench.world.line.named[("builds trigger", 0)] = Fault.ERROR_500
    bench.advance(BUILD)
    bench.wait(30)
    bench.world.line.takes = lambda name: timedelta(seconds=20 if name == "builds find" else 0)
    outcome = bench.advance(BUILD)
    assert not outcome.acted, "at the time of the look the trigger was 30 s old, and might have shown later"
    bench.advance(BUILD)
    assert len(bench.world.builds.all) == 1


def test_a_slow_answer_that_it_is_absent_does_not_end_its_removal() -> None:
    bench = Bench()
    bench.world.line.named[("items create", 0)] = Fault.ERROR_500
    bench.advance(JOB)
    bench.wait(2)
    bench.world.line.takes = lambda name: timedelta(seconds=2)
    assert not bench.clean().ready
    assert bench.states() == [("job", EntryState.PENDING)]
    assert bench.clean().ready
