"""The ledger: what is remembered of each thing, under which identity, and in which order it goes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from devops_reconciler.engine.ledger import Entry, EntryState, Ledger, age
from devops_reconciler.engine.resource import Intent, Observation

from .things import App, Folder, Image, Job, Release

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INTENT = Intent(op="create", at=NOW, digest="d", preimage=["foreign"])
SEEN = Observation(exists=True, owner="me", facts={"n": 1}, external_id="x1", url="https://x/1")


def active(ledger: Ledger, step: str, resource: Folder | Job) -> Entry:
    entry = ledger.want(step, resource)
    entry.reached(SEEN, resource.digest(), NOW)
    return entry


def states(ledger: Ledger) -> list[tuple[str, str, EntryState]]:
    return [(entry.step, entry.key, entry.state) for entry in ledger.entries]


def test_of_two_attempts_to_make_it_either_may_still_arrive() -> None:
    entry = Entry(step="job", kind="Job", key="a", intent=INTENT)
    entry.doubt(INTENT, again=False)
    assert entry.doubted_at is None, "one attempt, and it is there: it has arrived"
    entry.doubt(INTENT, again=True)
    assert entry.doubted_at == NOW
    entry.intent = Intent(op="create", at=NOW + timedelta(seconds=3))
    entry.reached(SEEN, "d", NOW + timedelta(seconds=4))
    assert entry.doubted_at == NOW + timedelta(seconds=3)
    entry.doubt(Intent(op="update", at=NOW + timedelta(seconds=5)), again=False)
    assert entry.doubted_at == NOW + timedelta(seconds=3)


def test_a_wanted_thing_is_entered_with_its_value() -> None:
    ledger = Ledger([])
    entry = ledger.want("job", Job(path="a", content="1"))
    assert (entry.kind, entry.key, entry.value) == ("Job", "a", {"path": "a", "content": "1"})
    assert ledger.want("job", Job(path="a", content="2")) is entry
    assert entry.value["content"] == "2"


def test_what_was_reached_is_active_and_keeps_what_was_seen() -> None:
    ledger = Ledger([])
    entry = ledger.want("job", Job(path="a"))
    entry.intent, entry.absent_since = INTENT, NOW
    entry.reached(SEEN, "d1", NOW)
    assert (entry.state, entry.digest, entry.facts) == (EntryState.ACTIVE, "d1", {"n": 1})
    assert [entry.intent, entry.absent_since] == [None, None]
    assert (entry.external_id, entry.url, entry.finished_at) == ("x1", "https://x/1", NOW)
    entry.reached(Observation(exists=True), "d2", NOW + timedelta(hours=1))
    assert (entry.external_id, entry.url, entry.finished_at) == ("x1", "https://x/1", NOW)


def test_another_identity_retires_the_old_one() -> None:
    ledger = Ledger([])
    active(ledger, "job", Job(path="a"))
    ledger.want("job", Job(path="b"))
    assert states(ledger) == [("job", "a", EntryState.RETIRED), ("job", "b", EntryState.PENDING)]


def test_another_kind_is_another_identity() -> None:
    ledger = Ledger([])
    active(ledger, "x", Job(path="a"))
    ledger.want("x", Folder(path="a"))
    assert [(e.kind, e.state) for e in ledger.entries] == [("Job", EntryState.RETIRED), ("Folder", EntryState.PENDING)]


class Placed(Job):
    """A job that may be at each of several places, under the same name."""

    place: ClassVar[tuple[str, ...]] = ("at",)
    at: str


def test_the_same_key_at_another_place_is_another_thing() -> None:
    ledger = Ledger([])
    here = active(ledger, "job", Placed(path="a", at="here"))
    assert ledger.want("job", Placed(path="a", at="here", content="2")) is here
    ledger.want("job", Placed(path="a", at="there")).intent = INTENT
    assert [(e.value["at"], e.state) for e in ledger.entries] == [
        ("here", EntryState.RETIRED),
        ("there", EntryState.PENDING),
    ]
    assert ledger.want("job", Placed(path="a", at="here")) is here
    assert [(e.value["at"], e.state) for e in ledger.entries] == [
        ("there", EntryState.RETIRED),
        ("here", EntryState.PENDING),
    ]


def test_what_is_inherited_of_another_place_is_another_thing() -> None:
    theirs, ledger = Ledger([]), Ledger([])
    active(theirs, "job", Placed(path="a", at="here"))
    active(theirs, "job", Placed(path="a", at="there"))
    active(ledger, "job", Placed(path="a", at="there"))
    ledger.inherit(theirs.entries, {"Placed": ("at",)})
    assert [(e.value["at"], e.state) for e in ledger.entries] == [
        ("there", EntryState.ACTIVE),
        ("here", EntryState.RETIRED),
    ]


def test_what_was_never_tried_is_forgotten_when_it_is_not_wanted_any_more() -> None:
    ledger = Ledger([])
    ledger.want("job", Job(path="a"))
    ledger.want("job", Job(path="b"))
    assert states(ledger) == [("job", "b", EntryState.PENDING)]


def test_what_was_tried_is_retired_with_its_intent() -> None:
    ledger = Ledger([])
    ledger.want("job", Job(path="a")).intent = INTENT
    ledger.want("job", Job(path="b"))
    assert states(ledger) == [("job", "a", EntryState.RETIRED), ("job", "b", EntryState.PENDING)]
    assert ledger.entries[0].intent == INTENT


def test_what_others_make_is_never_forgotten_but_a_mere_view_of_it_is() -> None:
    ledger = Ledger([])
    ledger.want("image", Image(tag="a"))
    ledger.want("release", Release(name="a", image="1"))
    ledger.follow(["x"])
    assert states(ledger) == [("image", "a", EntryState.RETIRED)]


def test_what_is_wanted_again_is_taken_back_with_all_that_is_known_of_it() -> None:
    ledger = Ledger([])
    first = active(ledger, "job", Job(path="a"))
    ledger.want("job", Job(path="b")).intent = INTENT
    assert ledger.want("job", Job(path="a")) is first
    assert states(ledger) == [("job", "b", EntryState.RETIRED), ("job", "a", EntryState.PENDING)]
    assert (first.digest, first.facts, first.seen) == (Job(path="a").digest(), {"n": 1}, True)
    assert (first.started_at, first.finished_at) == (None, None), "its deadline runs anew"
    back = ledger.want("job", Job(path="b"))
    assert back.intent == INTENT


def test_what_is_gone_and_wanted_again_begins_anew() -> None:
    ledger = Ledger([])
    entry = active(ledger, "job", Job(path="a"))
    entry.state = EntryState.CLEANED
    again = ledger.want("job", Job(path="a"))
    assert (again.state, again.digest, again.seen) == (EntryState.PENDING, "", False)
    assert len(ledger.entries) == 1


def test_a_failed_removal_is_taken_back_too() -> None:
    ledger = Ledger([])
    entry = active(ledger, "job", Job(path="a"))
    entry.state, entry.note = EntryState.CLEANUP_FAILED, "no"
    assert ledger.want("job", Job(path="a")) is entry
    assert (entry.state, entry.note) == (EntryState.PENDING, "")


def test_a_renamed_step_keeps_its_thing() -> None:
    ledger = Ledger([])
    entry = active(ledger, "job", Job(path="a"))
    assert ledger.want("the-job", Job(path="a")) is entry
    ledger.follow(["the-job"])
    assert states(ledger) == [("the-job", "a", EntryState.ACTIVE)]


def test_what_is_inherited_keeps_what_tells_what_is_there_and_begins_anew() -> None:
    theirs = Ledger([])
    entry = active(theirs, "job", Job(path="a"))
    entry.intent, entry.attempts, entry.started_at = INTENT, 3, NOW
    ledger = Ledger([])
    ledger.inherit(theirs.entries, {})
    (taken,) = ledger.entries
    assert (taken.key, taken.facts, taken.intent, taken.seen) == ("a", {"n": 1}, INTENT, True)
    assert (taken.digest, taken.attempts, taken.started_at, taken.finished_at) == ("", 0, None, None)
    taken.state = EntryState.RETIRED
    assert (entry.state, entry.digest, entry.attempts) == (EntryState.ACTIVE, Job(path="a").digest(), 3), "theirs stays"


def test_what_is_inherited_and_not_wanted_is_retired_and_what_is_wanted_is_taken_back() -> None:
    theirs = Ledger([])
    active(theirs, "job", Job(path="a"))
    active(theirs, "job", Job(path="b"))
    assert states(theirs) == [("job", "a", EntryState.RETIRED), ("job", "b", EntryState.ACTIVE)]
    ledger = Ledger([])
    ledger.inherit(theirs.entries, {})
    ledger.want("job", Job(path="a"))
    assert states(ledger) == [("job", "b", EntryState.RETIRED), ("job", "a", EntryState.PENDING)]


def test_what_is_inherited_twice_or_known_already_is_one_thing_and_what_is_over_is_none() -> None:
    theirs = Ledger([])
    active(theirs, "job", Job(path="a"))
    for state in (EntryState.CLEANED, EntryState.LEFT):
        active(theirs, state.value, Job(path=state.value)).state = state
    ledger = Ledger([])
    active(ledger, "job", Job(path="b"))
    for _ in range(2):
        ledger.inherit(theirs.entries, {})
    assert states(ledger) == [("job", "b", EntryState.ACTIVE), ("job", "a", EntryState.RETIRED)]


def test_a_step_that_is_no_more_retires_its_thing() -> None:
    ledger = Ledger([])
    active(ledger, "folder", Folder(path="a"))
    active(ledger, "job", Job(path="b"))
    ledger.follow(["folder"])
    assert states(ledger) == [("folder", "a", EntryState.ACTIVE), ("job", "b", EntryState.RETIRED)]


def test_the_ledger_follows_the_order_of_the_pipeline() -> None:
    ledger = Ledger([])
    for name in ("c", "gone", "a", "b"):
        active(ledger, name, Job(path=name))
    active(ledger, "a", Job(path="a2"))
    ledger.follow(["a", "b", "c"])
    assert [entry.key for entry in ledger.entries] == ["a", "a2", "b", "c", "gone"]
    assert [entry.key for entry in ledger.remaining] == ["gone", "c", "b", "a2", "a"]


def test_a_higher_rank_goes_first_and_what_is_cleaned_is_no_more() -> None:
    ledger = Ledger([])
    for name, rank in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", 9)):
        active(ledger, name, Job(path=name)).rank = rank
    ledger.entries[4].state = EntryState.CLEANED
    ledger.entries[0].state = EntryState.CLEANUP_FAILED
    assert [entry.key for entry in ledger.remaining] == ["d", "b", "c", "a"]


def test_age_is_never_negative() -> None:
    assert age(None, NOW) is None
    assert age(NOW, NOW + timedelta(seconds=3)) == timedelta(seconds=3)
    assert age(NOW + timedelta(seconds=3), NOW) == timedelta(0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TIMES = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
ENTRIES = st.builds(
    Entry,
    step=st.text(max_size=3),
    kind=st.sampled_from(["Job", "Folder"]),
    key=st.text(max_size=3),
    value=st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    digest=st.text(max_size=3),
    state=st.sampled_from(EntryState),
    intent=st.none()
    | st.builds(Intent, op=st.sampled_from(["create", "delete"]), at=TIMES.filter(bool), preimage=JSON),
    attempts=st.integers(0, 9),
    facts=st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    external_id=st.none() | st.text(max_size=3),
    started_at=TIMES,
    absent_since=TIMES,
    seen=st.booleans(),
    made_elsewhere=st.booleans(),
    rank=st.integers(0, 50),
    shared=st.booleans(),
    note=st.text(max_size=3),
    refused=st.text(max_size=3),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(ENTRIES, max_size=4))
def test_a_ledger_survives_its_json(entries: list[Entry]) -> None:
    dumped = json.dumps(Ledger(entries).dump())
    loaded = Ledger.load(json.loads(dumped))
    assert loaded.entries == entries
    assert json.dumps(loaded.dump()) == dumped


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.none() | st.text(max_size=3), st.text(max_size=3))
def test_a_value_without_its_nulls_recalls_the_same_resource(branch: str | None, name: str) -> None:
    app = App(name=name, source="git", branch=branch)
    assert App.recall({key: value for key, value in app.value().items() if value is not None}) == app


def test_what_a_later_version_wrote_is_read_as_far_as_it_is_known() -> None:
    known: dict[str, Any] = {"step": "a", "kind": "Job", "key": "a", "value": {"path": "a"}, "novelty": 1}
    assert Ledger.load([known]).entries[0].key == "a"
    assert Job.recall({"path": "a", "novelty": 1}) == Job(path="a")


class LedgerMachine(RuleBasedStateMachine):
    """Any order of wanting, trying, reaching, dropping and cleaning. Nothing that may exist is ever forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger([])
        self.outside: set[str] = set()
        """Keys of things that may be there."""
        self.wanted: dict[str, str] = {}

    @rule(step=st.sampled_from("abc"), key=st.sampled_from(["k1", "k2", "k3", "k4"]))
    def want(self, step: str, key: str) -> None:
        if key in [k for s, k in self.wanted.items() if s != step]:
            return
        self.ledger.want(step, Job(path=key))
        self.wanted[step] = key

    @precondition(lambda self: self.wanted)
    @rule(pick=st.randoms(use_true_random=False))
    def attempt(self, pick: Any) -> None:
        entry = self.ledger.current(pick.choice(sorted(self.wanted)))
        assert entry is not None
        entry.intent = INTENT
        self.outside.add(entry.key)

    @precondition(lambda self: self.wanted)
    @rule(pick=st.randoms(use_true_random=False))
    def reach(self, pick: Any) -> None:
        entry = self.ledger.current(pick.choice(sorted(self.wanted)))
        assert entry is not None
        if entry.key in self.outside:
            entry.reached(SEEN, "d", NOW)

    @precondition(lambda self: self.wanted)
    @rule(pick=st.randoms(use_true_random=False))
    def drop(self, pick: Any) -> None:
        self.wanted.pop(pick.choice(sorted(self.wanted)))
        self.ledger.follow(sorted(self.wanted))

    @rule()
    def clean_one(self) -> None:
        for entry in self.ledger.remaining:
            if entry.state is EntryState.RETIRED:
                entry.state, entry.intent = EntryState.CLEANED, None
                self.outside.discard(entry.key)
                return

    @rule()
    def save_and_load(self) -> None:
        self.ledger = Ledger.load(json.loads(json.dumps(self.ledger.dump())))

    @invariant()
    def everything_that_may_be_there_is_known(self) -> None:
        assert self.outside <= {entry.key for entry in self.ledger.remaining}

    @invariant()
    def each_step_has_the_entry_it_wants_and_each_thing_one_entry(self) -> None:
        for step, key in self.wanted.items():
            entry = self.ledger.current(step)
            assert entry is not None
            assert entry.key == key
        keys = [entry.key for entry in self.ledger.remaining]
        assert len(keys) == len(set(keys))
        current = [entry for entry in self.ledger.remaining if entry.state in (EntryState.PENDING, EntryState.ACTIVE)]
        assert {entry.step for entry in current} == set(self.wanted)


LedgerMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None, derandomize=True)
TestLedgerMachine = LedgerMachine.TestCase
