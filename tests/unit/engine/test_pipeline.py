"""One pass: what is looked at, what is saved before what is written, and what errors mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    Waiting,
)
from devops_reconciler.engine.ledger import EntryState, Ledger
from devops_reconciler.engine.outcome import Facts
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.resource import Intent, Observation
from devops_reconciler.engine.window import ACT_WITHIN, SAVES

from .bench import ME, Bench, after, of, states_of, step
from .line import Fault
from .things import DEFAULT, Build, Folder, Image, Job, Record, Revision
from .world import Lags, Outside

FOLDER, JOB = Folder(path="team"), Job(path="team/job", content="a")


class Broken(Job):
    """Reading it raises."""

    error: ClassVar[Exception]

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        raise self.error


class Slow(Job):
    """Making it takes longer than an intent may be acted on."""

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        world.clock.advance(timedelta(seconds=ACT_WITHIN + 1))
        await super().create(world, me, seen)


class Refusing(Job):
    """The service refuses it."""

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        raise CredentialsError("may not")


class Wide(Job):
    """Shows what the engine makes of an observation."""

    shown: ClassVar[Observation] = Observation(exists=True, owner=ME)

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        return type(self).shown


def broken(error: Exception) -> Broken:
    class ThisBroken(Broken):
        pass

    ThisBroken.error = error
    return ThisBroken(path="x")


def showing(seen: Observation) -> Wide:
    class ThisWide(Wide):
        shown = seen

    return ThisWide(path="x")


def test_the_intents_of_all_known_steps_are_saved_once_and_before_the_first_write() -> None:
    bench = Bench()
    bench.advance(step("folder", FOLDER), step("job", JOB))
    assert bench.writes(saves=True) == ["save", "items create", "items create"]


def test_what_is_saved_before_the_write_tells_what_is_about_to_be_done() -> None:
    bench = Bench()
    saved = []
    bench.world.line.hooks[2] = lambda: saved.extend(bench.applied)
    bench.advance(step("folder", FOLDER))
    assert [(e["key"], e["intent"]["op"], e["intent"]["digest"], e["value"]) for e in saved] == [
        ("team", "create", FOLDER.digest(), {"path": "team", "content": ""})
    ]


def test_what_is_learned_before_a_thing_is_made_is_saved_with_its_intent_and_only_then() -> None:
    bench = Bench()
    asked: list[int] = []
    saved: list[list[str]] = []

    async def learn() -> None:
        asked.append(1)
        theirs = Ledger([])
        theirs.want("job", JOB).reached(Observation(exists=True), "", bench.world.clock.now())
        bench.ledger.inherit(theirs.entries, {})

    bench.world.line.hooks[3] = lambda: saved.append([e["key"] for e in bench.applied])
    steps = (step("folder", FOLDER, before=learn), step("job", JOB))
    bench.advance(*steps)
    assert saved == [[FOLDER.key, JOB.key]]
    bench.settle(*steps)
    bench.settle(step("folder", Folder(path="team", content="b"), before=learn), step("job", JOB))
    assert asked == [1], "it is there already, or is brought in line"


def test_what_cannot_be_learned_before_a_thing_is_made_keeps_it_from_being_made() -> None:
    bench = Bench()

    async def learn() -> None:
        raise ExternalServiceError("kubernetes: time-out", service="kubernetes")

    outcome = bench.advance(step("folder", FOLDER, before=learn), step("job", JOB))
    assert states_of(outcome.results) == [("folder", "Waiting"), ("job", "Pending")]
    assert bench.writes(saves=True) == []


def test_a_pass_that_changes_nothing_saves_and_writes_nothing() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER), step("job", JOB))
    before, done = bench.applied, len(bench.writes(saves=True))
    bench.wait(1000)
    assert bench.advance(step("folder", FOLDER), step("job", JOB)).ready
    assert (bench.applied, len(bench.writes(saves=True))) == (before, done)


def test_a_failing_save_means_that_nothing_is_written() -> None:
    bench = Bench()
    bench.world.line.named = {("save", 0): Fault.CONFLICT_409, ("save", 1): Fault.TIMEOUT_AFTER}
    with pytest.raises(ConflictError):
        bench.advance(step("folder", FOLDER))
    with pytest.raises(ExternalServiceError):
        bench.advance(step("folder", FOLDER))
    assert bench.writes() == []


def test_a_slow_save_is_repeated_before_the_write() -> None:
    assert ACT_WITHIN <= 5, "the settle times of the resources count on it"
    bench = Bench()
    slow = iter([ACT_WITHIN + 1, 0.1])
    bench.world.line.takes = lambda name: timedelta(seconds=next(slow) if name == "save" else 0.1)
    bench.advance(step("folder", FOLDER))
    assert bench.writes(saves=True) == ["save", "save", "items create"]
    intent = bench.entry("folder").intent
    assert intent is not None
    assert bench.world.clock.now() - intent.at < timedelta(seconds=1), "the intent is dated anew"
    assert bench.entry("folder").attempts == 1


def test_saves_that_are_always_slow_end_the_pass_without_a_write() -> None:
    bench = Bench()
    bench.world.line.takes = lambda name: timedelta(seconds=ACT_WITHIN + 1)
    outcome = bench.advance(step("folder", FOLDER), step("job", JOB))
    assert bench.writes(saves=True) == ["save"] * SAVES
    assert states_of(outcome.results) == [("folder", "Waiting"), ("job", "Pending")]
    assert "Kubernetes took longer" in of(outcome, "folder").message
    assert bench.entry("folder").intent is None, "nothing was tried, so nothing is waited for"


def test_a_slow_write_makes_the_next_one_save_again() -> None:
    bench = Bench()
    bench.advance(step("folder", FOLDER), step("slow", Slow(path="team/slow")), step("job", JOB))
    assert bench.writes(saves=True) == ["save", "items create", "items create", "save", "items create"]


def test_a_step_waits_for_the_facts_of_an_earlier_one() -> None:
    bench = Bench()
    steps = (step("revision", Revision(name="main")), after("build", "job", JOB), step("folder", FOLDER))
    outcome = bench.advance(*steps)
    assert states_of(outcome.results) == [("revision", "Succeeded"), ("job", "Pending"), ("folder", "Pending")]
    assert bench.writes() == []


def test_a_step_that_is_no_gate_holds_up_nothing() -> None:
    bench = Bench()
    outcome = bench.advance(step("x", broken(ConflictError("no")), gate=False), step("folder", FOLDER))
    assert states_of(outcome.results) == [("x", "Failed"), ("folder", "Running")]
    assert outcome.failure is of(outcome, "x")
    assert bench.writes() == ["items create"]


def test_a_refused_write_of_what_is_no_gate_puts_off_no_write_after_it() -> None:
    bench = Bench()
    steps = (step("x", Refusing(path="x"), gate=False), step("folder", FOLDER), step("job", JOB))
    outcome = bench.advance(*steps)
    assert states_of(outcome.results) == [("x", "Failed"), ("folder", "Running"), ("job", "Running")]
    assert [result.written for result in outcome.results] == [False, True, True]
    assert bench.writes(saves=True) == ["save", "items create", "items create"]
    assert bench.entry("x").intent is None, "what is surely not made is no attempt"
    bench.wait(60)
    outcome = bench.advance(*steps)
    assert states_of(outcome.results) == [("x", "Failed"), ("folder", "Succeeded"), ("job", "Succeeded")]


def test_a_paused_step_is_left_as_it_was_and_its_facts_still_count() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER))
    reads, writes, before = bench.reads(), bench.writes(), bench.states()
    outcome = bench.advance(step("folder", Folder(path="elsewhere"), paused=True))
    assert outcome.ready
    assert (of(outcome, "folder").reason, bench.states()) == (Reason.PAUSED, before)
    assert (bench.reads(), bench.writes()) == (reads, writes)


def test_a_step_that_is_paused_before_it_was_as_wanted_is_not_done() -> None:
    bench = Bench()
    outcome = bench.advance(step("folder", FOLDER, paused=True))
    assert states_of(outcome.results) == [("folder", "Running")]
    assert of(outcome, "folder").reason is Reason.PAUSED
    there = Observation(exists=True, owner=ME)
    bench.settle(step("x", showing(there)))
    assert bench.advance(step("x", showing(there), paused=True)).ready
    bench.advance(step("x", showing(replace(there, failed=(Reason.SYNC_FAILED, "red")))))
    assert not bench.advance(step("x", showing(there), paused=True)).ready


def test_a_step_without_a_resource_is_skipped_and_what_it_had_made_is_retired() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER))
    outcome = bench.advance(step("folder", None))
    assert states_of(outcome.results) == [("folder", "Skipped")]
    assert outcome.ready
    assert bench.states() == [("team", EntryState.RETIRED)]


def test_a_pass_without_any_step_gives_nothing_up() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER))
    assert bench.advance().ready
    assert bench.states() == [("team", EntryState.ACTIVE)]


def test_what_was_never_tried_is_forgotten_without_a_trace() -> None:
    bench = Bench()
    bench.world.items.place("team", None)
    bench.advance(step("job", broken(ExternalServiceError("ill", service="x"))))
    assert [entry.key for entry in bench.ledger.entries] == ["x"]
    bench.advance(step("job", None))
    assert bench.ledger.entries == []


def test_an_announced_thing_is_in_the_ledger_before_what_makes_it_is_triggered() -> None:
    bench = Bench()
    saved: list[str] = []
    steps = (step("build", Build(uid="u", tag="t")), step("image", Image(tag="t"), announce=True))
    bench.world.line.hooks[2] = lambda: saved.extend(entry["key"] for entry in bench.applied)
    bench.advance(*steps)
    assert saved == ["u", "t"]


def test_the_deadline_of_an_announced_thing_runs_only_when_its_time_has_come() -> None:
    bench = Bench(Lags(tags=timedelta(seconds=4)))
    bench.world.builds.takes = 600
    steps = (
        step("build", Build(uid="u", tag="t"), deadline=timedelta(hours=1)),
        step("image", Image(tag="t"), announce=True, deadline=timedelta(seconds=20)),
    )
    for _ in range(700):
        outcome = bench.advance(*steps)
        assert outcome.failure is None, outcome.failure
        if outcome.ready:
            return
        bench.wait(1)
    raise AssertionError("never ready")


@pytest.mark.parametrize(
    ("error", "state", "reason", "after_seconds"),
    [
        (Waiting("soon", after=timedelta(seconds=3)), StepState.RUNNING, Reason.PROGRESSING, 3),
        (
            ExternalServiceError("ill", service="x", after=timedelta(seconds=9), reason=Reason.RATE_LIMITED),
            StepState.WAITING,
            Reason.RATE_LIMITED,
            9,
        ),
        (CredentialsError("no"), StepState.FAILED, Reason.CREDENTIALS_INVALID, None),
        (RuntimeError("secret words"), StepState.WAITING, Reason.INTERNAL_ERROR, None),
        (KeyError("secret words"), StepState.WAITING, Reason.INTERNAL_ERROR, None),
    ],
)
def test_an_error_becomes_a_result(
    error: Exception, state: StepState, reason: Reason, after_seconds: float | None
) -> None:
    bench = Bench()
    result = of(bench.advance(step("x", broken(error)), step("folder", FOLDER)), "x")
    assert (result.state, result.reason, result.error) == (state, reason, error)
    assert result.after == (None if after_seconds is None else timedelta(seconds=after_seconds))
    assert "secret words" not in result.message
    assert bench.writes() == []


def test_an_error_of_the_function_that_makes_the_resource_is_a_result_too() -> None:
    def make(facts: Facts) -> Job:
        return Job(path=facts["revision"]["no such fact"])

    bench = Bench()
    wrong = Step("job", make, DEFAULT)
    outcome = bench.advance(step("revision", Revision(name="main")), wrong)
    assert of(outcome, "job").reason is Reason.INTERNAL_ERROR
    held = Step("late", make, DEFAULT, announce=True)
    outcome = bench.advance(step("revision", Revision(name="main")), wrong, held)
    assert of(outcome, "late").state is StepState.PENDING


def test_what_ends_the_process_ends_the_pass() -> None:
    bench = Bench()
    bench.world.line.hooks[0] = _interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.advance(step("folder", FOLDER))


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_AFTER, Fault.TIMEOUT_BEFORE, Fault.ERROR_500, Fault.BUG])
def test_a_write_that_may_have_had_its_effect_is_waited_for(fault: Fault) -> None:
    bench = Bench()
    bench.world.line.named[("items create", 0)] = fault
    outcome = bench.advance(step("folder", FOLDER), step("job", JOB))
    assert states_of(outcome.results) == [("folder", "Waiting"), ("job", "Pending")]
    assert bench.entry("folder").intent is not None
    assert bench.entry("job").intent is None, "it was not tried"


@pytest.mark.parametrize("fault", [Fault.THROTTLED_429, Fault.CONFLICT_409])
def test_a_write_that_surely_had_no_effect_is_tried_again_at_once(fault: Fault) -> None:
    bench = Bench()
    bench.world.line.named[("items create", 0)] = fault
    bench.advance(step("folder", FOLDER))
    assert bench.entry("folder").intent is None
    bench.advance(step("folder", FOLDER))
    assert bench.writes() == ["items create", "items create"]
    assert bench.entry("folder").attempts == 2


def test_a_write_that_surely_had_no_effect_does_not_forget_the_one_before() -> None:
    bench = Bench()
    bench.world.line.named = {("items create", 0): Fault.TIMEOUT_AFTER, ("items create", 1): Fault.THROTTLED_429}
    bench.advance(step("folder", FOLDER))
    first = bench.entry("folder").intent
    bench.world.items.remove("team")
    bench.wait(10)
    bench.advance(step("folder", FOLDER))
    assert bench.entry("folder").intent == first


def test_the_preimage_outlives_a_refusal_between_value_and_mark() -> None:
    bench = Bench()
    api = step("api", Record(name="api", data="1"))
    bench.world.line.named[("zone replace", 1)] = Fault.THROTTLED_429
    bench.advance(api)
    assert bench.world.zone.past.now == {"api": (("1", 600),)}, "the value is there and the mark is not"
    bench.settle(api)
    assert bench.world.zone.past.now["api/mark"] == ((f"owner={ME}", 600),)


def test_the_first_preimage_counts_until_the_thing_is_there_as_wanted() -> None:
    bench = Bench()
    bench.world.line.named[("items patch", 0)] = Fault.TIMEOUT_AFTER
    bench.world.items.place("x", ME)
    for values in (["theirs"], ["theirs", "ours"]):
        bench.advance(step("x", showing(Observation(exists=True, owner=ME, drift=("mark",), preimage=values))))
        intent = bench.entry("x").intent
        assert intent is not None
        assert intent.preimage == ["theirs"]
        bench.wait(10)


def test_the_preimage_outlives_a_failure_of_an_earlier_step() -> None:
    bench = Bench()
    bench.world.line.named[("zone replace", 1)] = Fault.TIMEOUT_BEFORE
    api = step("api", Record(name="api", data="1"))
    bench.advance(api)
    bench.wait(10)
    bench.advance(step("job", Refusing(path="job")), api)
    bench.settle(api)


def test_a_once_thing_is_not_looked_at_again_and_keeps_its_facts() -> None:
    bench = Bench()
    bench.settle(step("revision", Revision(name="main")))
    calls, applied = len(bench.world.line.ops), bench.applied
    outcome = bench.advance(step("revision", Revision(name="main")))
    assert outcome.ready
    assert bench.applied == applied, "nothing to save"
    assert outcome.facts["revision"] == {"commit": "c0ffee-main"}
    assert len(bench.world.line.ops) == calls


def test_the_facts_of_something_under_way_are_kept_for_its_next_look() -> None:
    bench = Bench()
    bench.advance(step("x", showing(Observation(exists=True, owner=ME, ready=False, facts={"since": None, "n": 1}))))
    assert bench.entry("x").facts == {"n": 1}, "nulls do not survive in the status"
    outcome = bench.advance(step("x", showing(Observation(exists=True, owner=ME, ready=False))))
    assert bench.entry("x").facts == {"n": 1}
    assert outcome.facts.get("x") is None, "later steps get only the facts of what is done"
