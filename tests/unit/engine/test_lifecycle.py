"""Removal: in reverse order, only what is ours, each proven gone, and one that fails delays no other."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.policies import DeletionPolicy, ManagementPolicy
from devops_reconciler.engine.ledger import Entry, EntryState
from devops_reconciler.engine.lifecycle import policy_of, release
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.engine.resource import Intent, Observation, Resource
from devops_reconciler.engine.window import ACT_WITHIN, SAVES

from .bench import ME, Bench, of, states_of, step
from .line import Fault
from .things import CATALOG, App, Build, Folder, Image, Job, Record, Release, Revision, policy
from .world import Lags, Outside

FOLDER, JOB, APP = (
    step("folder", Folder(path="team")),
    step("job", Job(path="team/job")),
    step("app", App(name="shop", source="git", branch=None), rank=20),
)
API = step("api", Record(name="api", data="1"), rank=40)


def gone(bench: Bench, catalog: dict[str, type[Resource[Any]]] = CATALOG) -> Outcome:
    """Passes a second apart until all is cleaned."""
    for _ in range(60):
        outcome = bench.clean(catalog=catalog)
        if outcome.ready:
            return outcome
        bench.wait(1)
    raise AssertionError(outcome.results)


def test_removal_goes_by_rank_and_then_in_reverse() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB, APP, API)
    made = len(bench.writes())
    gone(bench)
    assert bench.writes()[made:] == ["zone replace", "zone replace", "apps delete", "items delete", "items delete"]
    assert bench.world.items.gone == ["team/job", "team"]
    assert {state for _, state in bench.states()} == {EntryState.CLEANED}


def test_a_thing_that_takes_time_to_go_holds_up_those_before_it() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB, APP)
    outcome = bench.clean()
    assert states_of(outcome.results) == [("app", "Running"), ("job", "Pending"), ("folder", "Pending")]
    bench.wait(1)
    outcome = bench.clean()
    assert states_of(outcome.results) == [("app", "Running"), ("job", "Pending"), ("folder", "Pending")]
    assert bench.world.items.gone == [], "the app is still going"
    bench.wait(4)
    assert bench.clean().ready
    assert bench.world.items.gone == ["team/job", "team"]


def test_what_has_not_had_its_turn_counts_as_never_deleted() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB, APP)
    bench.clean()
    assert [entry.intent and entry.intent.op for entry in bench.ledger.entries] == [None, None, "delete"]


def test_what_is_removed_later_is_in_the_order_of_the_pipeline_whenever_it_was_made() -> None:
    bench = Bench()
    bench.settle(FOLDER, step("last", Job(path="last")))
    bench.settle(FOLDER, JOB, step("last", Job(path="last")))
    gone(bench)
    assert bench.world.items.gone == ["last", "team/job", "team"]


@pytest.mark.parametrize("down", ["apps get", "apps delete", "items delete", "zone replace"])
def test_one_that_fails_delays_no_other(down: str) -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB, APP, API)
    bench.world.line.down = lambda name, writes: name == down
    for _ in range(12):
        bench.clean()
        bench.wait(1)
    left = {"apps get": "shop", "apps delete": "shop", "items delete": "team", "zone replace": "api"}[down]
    stuck = [key for key, state in bench.states() if state is not EntryState.CLEANED]
    assert left in stuck
    assert all(key.startswith(left) for key in stuck), f"{stuck} were held up by {left}"
    failed = next(entry for entry in bench.ledger.entries if entry.key == left)
    assert failed.state is EntryState.CLEANUP_FAILED
    assert down in failed.note
    bench.world.line.down = lambda name, writes: False
    gone(bench)
    assert (bench.world.items.things, bench.world.apps.things, bench.world.zone.past.now) == ({}, {}, {})


def test_an_error_is_told_with_its_cause() -> None:
    bench = Bench()
    bench.settle(FOLDER)
    bench.world.line.named[("items delete", 0)] = Fault.THROTTLED_429
    result = of(bench.clean(), "folder")
    assert (result.state, result.reason) == (StepState.WAITING, Reason.EXTERNAL_SERVICE_ERROR)
    assert result.after == timedelta(seconds=7)
    assert bench.ledger.entries[0].intent is None, "surely without effect, so nothing is waited for"
    assert bench.clean().ready


def test_the_intent_to_delete_is_saved_before_the_deletion() -> None:
    bench = Bench()
    bench.settle(FOLDER)
    saved: list[Any] = []
    number = len(bench.world.line.ops) + 2
    bench.world.line.hooks[number] = lambda: saved.extend(bench.applied)
    bench.clean()
    assert bench.world.line.ops[number].name == "items delete"
    assert [entry["intent"]["op"] for entry in saved] == ["delete"]


def test_a_slow_save_is_repeated_before_the_deletion() -> None:
    bench = Bench()
    bench.settle(FOLDER)
    before = len(bench.writes(saves=True))
    slow = iter([ACT_WITHIN + 1, 0.1])
    bench.world.line.takes = lambda name: timedelta(seconds=next(slow) if name == "save" else 0.1)
    bench.clean()
    assert bench.writes(saves=True)[before:] == ["save", "save", "items delete"]


def test_saves_that_are_always_slow_remove_nothing() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    before = len(bench.writes(saves=True))
    bench.world.line.takes = lambda name: timedelta(seconds=ACT_WITHIN + 1)
    outcome = bench.clean()
    assert bench.writes(saves=True)[before:] == ["save"] * SAVES
    assert states_of(outcome.results) == [("job", "Waiting"), ("folder", "Pending")]


@pytest.mark.parametrize("owner", [None, "mark-other"])
def test_what_is_not_ours_stays(owner: str | None) -> None:
    bench = Bench()
    bench.settle(FOLDER)
    bench.world.items.place("team", owner)
    result = of(gone(bench), "folder")
    assert result.message == "left: it does not carry our mark"
    assert bench.ledger.entries[0].note == "it does not carry our mark"
    assert "team" in bench.world.items.things
    assert "items delete" not in bench.writes()


def test_the_policy_of_now_counts_and_without_one_that_of_then() -> None:
    bench = Bench()
    orphan = policy(deletion=DeletionPolicy.ORPHAN)
    bench.settle(step("folder", Folder(path="team"), policy=orphan), JOB)
    keep = policy(management=frozenset({ManagementPolicy.OBSERVE}))
    outcome = bench.clean(policies={"job": keep})
    assert outcome.ready
    assert [of(outcome, name).message for name in ("job", "folder")] == [
        "left: managementPolicies do not allow to delete it",
        "left: deletionPolicy: Orphan",
    ]
    assert list(bench.world.items.things) == ["team", "team/job"]


def test_a_policy_is_kept_only_where_it_differs_from_the_default() -> None:
    bench = Bench()
    orphan = step("job", Job(path="team/job"), policy=policy(deletion=DeletionPolicy.ORPHAN))
    bench.settle(FOLDER, orphan)
    assert [entry.get("policy") for entry in bench.applied] == [None, {"deletion": "Orphan"}]


@pytest.mark.parametrize("deletion", DeletionPolicy)
@pytest.mark.parametrize("missing", [None, *ManagementPolicy])
def test_what_is_kept_of_a_policy_says_all_of_it(deletion: DeletionPolicy, missing: ManagementPolicy | None) -> None:
    bench, management = Bench(), frozenset(ManagementPolicy) - {missing}
    bench.world.items.place("team", ME)
    bench.advance(step("folder", Folder(path="team"), policy=policy(management=management, deletion=deletion)))
    then = policy_of(bench.entry("folder"))
    assert (then.management, then.deletion) == (management, deletion)


def test_a_policy_that_was_kept_in_full_still_counts() -> None:
    full = {"deletion": "Delete", "management": ["Create", "Delete", "Observe", "Update"]}
    then = policy_of(Entry(step="folder", kind="Folder", key="team", policy=full))
    assert (then.management, then.deletion) == (frozenset(ManagementPolicy), DeletionPolicy.DELETE)


def test_what_is_only_looked_at_is_cleaned_without_a_look() -> None:
    bench = Bench()
    bench.settle(APP, step("revision", Revision(name="main")), step("release", Release(name="shop", image="1")))
    calls = len(bench.world.line.ops)
    outcome = bench.clean(only=lambda entry: entry.step != "app")
    assert outcome.ready
    assert outcome.results == []
    assert len(bench.world.line.ops) == calls


def test_only_what_is_chosen_is_removed() -> None:
    bench = Bench()
    bench.settle(FOLDER, step("job", Job(path="other")))
    assert bench.clean(only=lambda entry: entry.step == "job").ready
    assert list(bench.world.items.things) == ["team"]
    assert bench.states() == [("team", EntryState.ACTIVE), ("other", EntryState.CLEANED)]


def test_what_was_given_away_is_not_touched() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    release(bench.ledger, lambda entry: entry.step == "folder", "another record holds it")
    bench.applied = bench.ledger.dump()
    gone(bench)
    assert list(bench.world.items.things) == ["team"]
    assert bench.ledger.entries[0].note == "another record holds it"


@pytest.mark.parametrize("catalog", [{}, {**CATALOG, "Folder": App}])
def test_an_entry_that_cannot_be_understood_delays_no_other(catalog: dict[str, Any]) -> None:
    bench = Bench()
    bench.settle(FOLDER, step("app", App(name="shop", source="git", branch=None)))
    known = {"App": App, **catalog}
    for _ in range(8):
        outcome = bench.clean(catalog=known)
        bench.wait(1)
    assert states_of(outcome.results) == [("folder", "Waiting")]
    assert bench.world.apps.things == {}
    assert list(bench.world.items.things) == ["team"]


def test_a_thing_that_was_asked_for_just_now_is_waited_for_before_it_is_said_to_be_gone() -> None:
    bench = Bench(Lags(names=timedelta(seconds=2)))
    bench.advance(FOLDER)
    assert bench.clean().ready is False
    gone(bench)
    assert bench.world.items.things == {}


class Far(Folder):
    """At a service to which a request may take long."""

    def arrives_in(self, world: Outside) -> timedelta:
        return timedelta(seconds=30)


FAR = step("far", Far(path="team"))
WITH_FAR: dict[str, type[Resource[Any]]] = {**CATALOG, "Far": Far}


def arrives_late(bench: Bench) -> None:
    """A request that was sent long ago has its effect now."""
    bench.world.items.place("team", ME, content="")


def test_an_attempt_without_a_known_outcome_is_waited_for_as_long_as_it_may_arrive() -> None:
    bench = Bench()
    bench.world.line.named[("items create", 0)] = Fault.TIMEOUT_BEFORE
    bench.advance(FAR)
    bench.wait(19)
    assert not bench.clean(catalog=WITH_FAR).ready
    arrives_late(bench)
    bench.clean(catalog=WITH_FAR)
    assert bench.world.items.things == {}
    assert bench.states() == [("team", EntryState.CLEANED)]


def test_the_first_of_two_attempts_is_waited_for_though_the_second_one_was_seen_and_removed() -> None:
    bench = Bench()
    bench.world.line.named[("items create", 0)] = Fault.TIMEOUT_BEFORE
    bench.advance(FAR)
    bench.wait(4)
    bench.settle(FAR)
    assert not bench.clean(catalog=WITH_FAR).ready
    assert bench.world.items.things == {}
    bench.wait(20)
    arrives_late(bench)
    gone(bench, WITH_FAR)
    assert bench.world.items.things == {}
    assert bench.states() == [("team", EntryState.CLEANED)]


def test_a_thing_that_was_made_anew_just_now_is_waited_for_too() -> None:
    bench = Bench(Lags(names=timedelta(seconds=2)))
    bench.settle(FOLDER)
    bench.world.items.remove("team")
    bench.wait(10)
    bench.advance(FOLDER)
    assert bench.clean().ready is False
    gone(bench)
    assert bench.world.items.things == {}


def test_a_thing_under_a_former_name_that_was_asked_for_just_now_is_removed_too() -> None:
    bench = Bench(Lags(names=timedelta(seconds=2)))
    bench.advance(FOLDER)
    bench.advance(step("folder", Folder(path="crew")))
    gone(bench)
    assert bench.world.items.things == {}


def test_a_value_without_its_mark_is_removed_by_its_preimage() -> None:
    bench = Bench()
    bench.world.line.named[("zone replace", 1)] = Fault.TIMEOUT_BEFORE
    bench.advance(API)
    assert "api" in bench.world.zone.past.now
    gone(bench)
    assert bench.world.zone.past.now == {}


def test_a_value_without_its_mark_is_removed_under_a_former_name_too() -> None:
    bench = Bench()
    bench.world.line.named[("zone replace", 1)] = Fault.TIMEOUT_BEFORE
    bench.advance(API)
    bench.advance(step("api", Record(name="api2", data="1")))
    gone(bench)
    assert bench.world.zone.past.now == {}


def test_an_image_is_gone_only_when_nothing_can_push_it_any_more() -> None:
    bench = Bench(Lags(tags=timedelta(seconds=2)))
    bench.world.builds.takes = 5
    steps = (step("build", Build(uid="u", tag="t"), rank=2), step("image", Image(tag="t"), announce=True, rank=1))
    bench.advance(*steps)
    bench.world.line.down = lambda name, writes: name == "builds stop"
    assert not bench.clean().ready
    gone(bench)  # the build has gone on to its end, and has pushed
    assert bench.world.tags.gone == ["t"]
    assert bench.world.tags.past.now == {}
    assert bench.world.builds.busy == 0


def test_an_image_that_a_build_has_just_pushed_is_waited_for_though_it_was_long_missing() -> None:
    bench = Bench(Lags(tags=timedelta(seconds=2)))
    bench.world.builds.takes = 60
    steps = (step("build", Build(uid="u", tag="t"), rank=2), step("image", Image(tag="t"), announce=True, rank=1))
    bench.advance(*steps)
    bench.world.line.down = lambda name, writes: name == "builds find"
    while bench.world.builds.busy:
        assert not bench.clean().ready
        bench.wait(1)
    bench.world.line.down = lambda name, writes: False
    gone(bench)
    bench.wait(60)
    assert bench.world.inventory()["tags"] == {}


def test_a_value_without_its_mark_is_removed_though_its_removal_failed_before() -> None:
    bench = Bench()
    bench.world.line.named = {("zone replace", 1): Fault.TIMEOUT_BEFORE, ("zone replace", 2): Fault.TIMEOUT_BEFORE}
    bench.advance(API)
    bench.clean()
    assert "api" in bench.world.zone.past.now
    gone(bench)
    assert bench.world.zone.past.now == {}


def test_a_build_between_the_queue_and_the_list_is_not_taken_for_gone() -> None:
    bench = Bench()
    bench.world.builds.gap = 3
    steps = (step("build", Build(uid="u", tag="t"), rank=2), step("image", Image(tag="t"), announce=True, rank=1))
    for _ in range(4):
        bench.advance(*steps)
        bench.wait(1)
    assert bench.entry("build").seen
    gone(bench)
    assert bench.world.builds.busy == 0
    bench.wait(60)
    assert bench.world.inventory()["tags"] == {}


class Stubborn(Job):
    """Deleting it has no effect."""

    settle: ClassVar[timedelta] = timedelta(seconds=4)

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await world.line.call("stubborn delete", lambda: None, writes=True)

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        return Observation(exists=True, owner=ME)


def test_a_deletion_without_effect_is_repeated_after_the_settle_time() -> None:
    bench = Bench()
    bench.settle(step("job", Stubborn(path="x")))
    at = []
    for _ in range(9):
        bench.clean(catalog={"Stubborn": Stubborn})
        bench.wait(1)
        at = [op.at for op in bench.world.line.ops if op.name == "stubborn delete"]
    assert len(at) == 3
    assert all(later - earlier >= 4 for earlier, later in pairwise(at))
    assert bench.states() == [("x", EntryState.ACTIVE)]
