"""Deadlines: from when they count, and what is said of a step whose time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import Waiting
from devops_reconciler.engine.resource import ABSENT, Observation

from .bench import ME, Bench, of, step
from .test_pipeline import JOB, Wide, showing
from .things import Job
from .world import Outside


class Busy(Wide):
    """The service does not take it now."""

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        raise Waiting("another one is under way", after=timedelta(seconds=5))

    update = create


def test_an_overdue_step_fails_with_the_cause_and_begins_nothing_more() -> None:
    bench = Bench()
    late = step("job", JOB, deadline=timedelta(seconds=60), overdue=Reason.BUILD_TIMEOUT)
    bench.world.line.down = lambda name, writes: True
    assert of(bench.advance(late), "job").state is StepState.WAITING
    bench.wait(61)
    result = of(bench.advance(late), "job")
    assert (result.state, result.reason) == (StepState.FAILED, Reason.BUILD_TIMEOUT)
    assert "items get" in result.message
    bench.world.line.down = lambda name, writes: False
    result = of(bench.advance(late), "job")
    assert (result.state, result.reason) == (StepState.FAILED, Reason.BUILD_TIMEOUT)
    assert bench.writes() == []


@pytest.mark.parametrize("anew", [False, True])
def test_another_value_has_its_own_time_only_where_the_step_says_so(anew: bool) -> None:
    bench = Bench()

    def late(content: str) -> StepState:
        job = Job(path="job", content=content)
        return of(bench.advance(step("job", job, deadline=timedelta(seconds=60), anew=anew)), "job").state

    bench.world.line.down = lambda name, writes: True
    assert late("1") is StepState.WAITING
    bench.wait(61)
    assert late("1") is StepState.FAILED
    assert late("2") is (StepState.WAITING if anew else StepState.FAILED)
    bench.wait(61)
    assert late("2") is StepState.FAILED


@pytest.mark.parametrize("there", [False, True])
def test_an_overdue_step_whose_write_was_refused_says_what_the_service_said(there: bool) -> None:
    bench = Bench()
    if there:
        bench.world.items.place("team", ME)
    seen = Observation(exists=there, owner=ME, drift=("data",), message="" if there else "no such job")
    Busy.shown = seen
    late = step("job", Busy(path="team"), deadline=timedelta(seconds=60), overdue=Reason.BUILD_TIMEOUT)
    assert of(bench.advance(late), "job").message == "another one is under way"
    bench.wait(61)
    result = of(bench.advance(late), "job")
    assert (result.state, result.reason) == (StepState.FAILED, Reason.BUILD_TIMEOUT)
    assert result.message == "not done after 60 s: another one is under way"


def test_what_was_refused_is_not_the_cause_once_it_was_taken() -> None:
    bench = Bench()
    Busy.shown = ABSENT
    late = step("job", Busy(path="team"), deadline=timedelta(seconds=60))
    bench.advance(late)
    Busy.shown = Observation(exists=True, owner=ME)
    assert of(bench.advance(late), "job").done
    assert bench.entry("job").refused == ""
    Busy.shown = Observation(exists=True, owner=ME, ready=False, message="it restarts")
    bench.advance(late)
    bench.wait(61)
    assert of(bench.advance(late), "job").message == "not done after 60 s: it restarts"


def test_a_step_may_have_more_time_while_its_service_gives_no_answer() -> None:
    bench = Bench()
    times = {"deadline": timedelta(seconds=60), "outage": timedelta(seconds=600), "overdue": Reason.IMAGE_NOT_FOUND}
    bench.world.line.down = lambda name, writes: True
    bench.advance(step("job", JOB, **times))
    bench.wait(599)
    assert of(bench.advance(step("job", JOB, **times)), "job").state is StepState.WAITING
    bench.wait(1)
    result = of(bench.advance(step("job", JOB, **times)), "job")
    assert (result.state, result.reason) == (StepState.FAILED, Reason.EXTERNAL_SERVICE_ERROR)
    assert result.message.startswith("not done after 600 s: ")
    shown = step("x", showing(Observation(exists=True, owner=ME, ready=False)), **times)
    bench.advance(shown)
    bench.wait(60)
    result = of(bench.advance(shown), "x")
    assert (result.state, result.reason) == (StepState.FAILED, Reason.IMAGE_NOT_FOUND), "it has answered"


def test_what_was_done_has_its_time_anew_when_it_is_not_any_more() -> None:
    bench = Bench()
    bench.world.items.place("team", ME)
    job = step("job", JOB, deadline=timedelta(seconds=60))
    bench.settle(job)
    bench.wait(10_000)
    bench.world.line.down = lambda name, writes: True
    assert of(bench.advance(job), "job").state is StepState.WAITING
    bench.wait(61)
    assert of(bench.advance(job), "job").state is StepState.FAILED
