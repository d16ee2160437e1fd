"""What the ledger tells: how old something is, by whosever clock, and whether another value may have been written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.engine.ledger import Entry, EntryState
from devops_reconciler.engine.memory import age_of, memory_of
from devops_reconciler.engine.resource import Intent, Observation
from devops_reconciler.runtime.clock import Instant

from .bench import ME, Bench, step
from .line import Fault
from .things import Build, Image, Job, Secret
from .world import Outside

S = timedelta(seconds=1)
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ACTING = Instant(100.0, BEGUN)


def later(seconds: float, *, set_by: float = 0) -> Instant:
    """So long after we began to act; our clock was set meanwhile."""
    return Instant(ACTING.monotonic + seconds, BEGUN + timedelta(seconds=seconds + set_by))


@pytest.mark.parametrize(
    ("what", "written", "asked", "now", "age"),
    [
        ("ours", 20, later(30), later(30), 10),
        ("another's, whose clock is right", -20, later(30), later(30), 30),
        ("another's, whose clock is behind", -3600, later(1), later(1), 1),
        ("another's, whose clock is ahead", 3600, later(30), later(30), 30),
        ("another's, whose clock is a little ahead, as if it were ours", 20, later(30), later(30), 10),
        ("ours, noted while the answer was under way", 35, later(30), later(40), 0),
        ("another's, and a slow answer", -20, later(30), later(40), 30),
        ("another's, ahead, and a slow answer", 3600, later(30), later(40), 30),
        ("ours, and our clock was set back since", 20, later(30, set_by=-60), later(30, set_by=-60), 0),
        ("ours, written after our clock was set forward", 3620, later(30, set_by=3600), later(30, set_by=3600), 10),
        ("asked before we began to act", 3600, later(-5), later(5), 0),
    ],
)
def test_the_age_of_what_was_written_down(what: str, written: float, asked: Instant, now: Instant, age: float) -> None:
    assert age_of(BEGUN + timedelta(seconds=written), asked, now, ACTING) == timedelta(seconds=age), what


def test_where_nobody_else_acts_the_clock_is_ours() -> None:
    assert age_of(BEGUN - 50 * S, later(30), later(30), None) == 80 * S
    assert age_of(BEGUN + 50 * S, later(30), later(30), None) == timedelta(0)
    assert age_of(None, later(30), later(30), ACTING) is None


class OneOfTwo(Build):
    """A build of a replica that took over from another one."""

    def acting_since(self, world: Outside) -> Instant | None:
        return ACTING


def test_all_that_was_written_down_has_that_age() -> None:
    build, long_ago = OneOfTwo(uid="u1", tag="t"), BEGUN - timedelta(hours=1)
    entry = Entry(step="build", kind="OneOfTwo", key="u1", doubted_at=long_ago, absent_since=long_ago)
    entry.intent = Intent(op="create", at=long_ago)
    memory = memory_of(build, entry, ME, later(30), later(40), Outside())
    assert memory.tried is not None
    assert (memory.tried.age, memory.doubt, memory.absent_for) == (30 * S, 30 * S, 30 * S)


class Slow(Image):
    """An image that the registry may show a minute after its build has ended."""

    def comes_in(self, world: Outside) -> timedelta:
        return 60 * S


@pytest.mark.parametrize(
    ("what", "known", "left"),
    [
        ("waited for", {"started_at": BEGUN}, 30),
        ("waited for all its time", {"started_at": BEGUN - 60 * S}, 0),
        ("its build has not ended", {}, 0),
        ("there once", {"started_at": BEGUN, "seen": True}, 0),
    ],
)
def test_what_others_make_may_come_as_long_as_it_is_waited_for(what: str, known: dict[str, Any], left: int) -> None:
    entry = Entry(step="image", kind="Slow", key="t", made_elsewhere=True, **known)
    memory = memory_of(Slow(tag="t"), entry, ME, later(30), later(40), Outside())
    assert memory.coming == left * S, what


@pytest.mark.parametrize("clock", [timedelta(minutes=-1), timedelta(0), timedelta(minutes=10)])
def test_a_replica_that_takes_over_waits_for_the_build_of_another_one_whatever_its_clock_says(clock: timedelta) -> None:
    bench = Bench()
    acting = list[Instant]()

    class Taken(Build):
        def acting_since(self, world: Outside) -> Instant | None:
            return acting[-1] if acting else None

    build = step("build", Taken(uid="u1", tag="t"))
    bench.world.clock.step(clock)
    bench.world.line.named[("builds trigger", 0)] = Fault.ERROR_500
    bench.advance(build)
    bench.world.clock.step(-clock)
    acting.append(Instant.of(bench.world.clock))
    bench.world.line.takes = lambda name: timedelta(0)
    left = bench.applied
    for seconds in (0, 44):
        bench.wait(seconds)
        assert not bench.advance(build).acted, "what the other one has sent may still arrive"
        kept, bench.applied = bench.applied, left
        assert not bench.clean(catalog={"Taken": Taken}).ready
        bench.applied = kept
    bench.wait(1)
    assert bench.clean(catalog={"Taken": Taken}).ready, "and for no longer"


def test_an_absence_that_another_one_has_noted_is_watched_by_its_successor() -> None:
    bench = Bench()
    bench.applied = [
        {
            "step": "build",
            "kind": "OneOfTwo",
            "key": "u1",
            "value": {"uid": "u1", "tag": "t"},
            "state": EntryState.RETIRED,
            "seen": True,
            "absent_since": (bench.world.clock.now() - timedelta(minutes=1)).isoformat(),
        }
    ]
    acting = Instant.of(bench.world.clock)

    class Watched(Build):
        def acting_since(self, world: Outside) -> Instant | None:
            return acting

    assert not bench.clean(catalog={"OneOfTwo": Watched}).ready
    bench.wait(5)
    assert bench.clean(catalog={"OneOfTwo": Watched}).ready


class Paused(Job):
    """While it is made, the machine stands still for an hour, and its monotonic clock with it."""

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        world.clock.step(timedelta(hours=1))
        await super().create(world, me, seen)


def test_a_machine_that_stood_still_saves_again_before_the_next_write() -> None:
    bench = Bench()
    bench.advance(step("paused", Paused(path="a")), step("job", Job(path="b")))
    assert bench.writes(saves=True) == ["save", "items create", "save", "items create"]


class Open(Secret):
    """Without a content: what somebody else made is enough as it is."""

    @property
    def hides(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("known", "blind"),
    [
        ({}, False),
        ({"digest": "of another"}, True),
        ({"intent": Intent(op="update", at=BEGUN)}, True),
        ({"state": EntryState.ACTIVE}, True),
        ({"state": EntryState.ACTIVE, "digest": "of another"}, True),
    ],
    ids=["never there", "written", "perhaps written", "as it had to be", "as wanted"],
)
def test_what_hides_nothing_is_written_in_place_of_what_may_hide_something(known: dict[str, Any], blind: bool) -> None:
    resource, now = Open(path="s", content=""), later(30)
    entry = Entry(step="secret", kind="Open", key="s", **known)
    assert memory_of(resource, entry, ME, now, now, Bench().world).blind is blind
