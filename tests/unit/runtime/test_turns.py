"""At most so many per minute; each keeps its turn."""

from __future__ import annotations

from datetime import timedelta

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.turns import Turns

ZERO = timedelta(0)


def test_a_few_at_once_and_the_rest_evenly() -> None:
    turns = Turns(FakeClock(), 60)
    waits = [turns.wait(f"uid-{number}") for number in range(13)]
    assert waits[:10] == [ZERO] * 10
    assert [round(wait.total_seconds(), 6) for wait in waits[10:]] == [1, 2, 3]


def test_asking_again_before_the_time_costs_no_other_turn() -> None:
    clock = FakeClock()
    turns = Turns(clock, 6)
    assert turns.wait("a") == ZERO
    assert [turns.wait("b") for _ in range(5)] == [timedelta(seconds=10)] * 5
    clock.advance(timedelta(seconds=10))
    assert turns.wait("b") == ZERO
    assert turns.wait("c") == timedelta(seconds=10)


def test_who_has_a_turn_waits_until_it_comes() -> None:
    clock = FakeClock()
    turns = Turns(clock, 6)
    turns.wait("a")
    turns.wait("b")
    assert [turns.waits(key) for key in ("a", "b", "c")] == [False, True, False]
    clock.advance(timedelta(seconds=10))
    assert not turns.waits("b")


def test_a_turn_is_used_up_by_its_use() -> None:
    turns = Turns(FakeClock(), 6)
    assert turns.wait("a") == ZERO
    assert turns.wait("a") == timedelta(seconds=10)


def test_in_any_minute_no_more_than_asked_for_and_the_few() -> None:
    clock = FakeClock()
    turns = Turns(clock, 60)
    went = []
    for number in range(300):
        key = f"uid-{number}"
        while (wait := turns.wait(key)) > ZERO:
            clock.advance(wait)
        went.append(clock.monotonic())
    for first in range(len(went) - 71):
        assert went[first + 71] - went[first] >= 60


def test_who_never_comes_is_forgotten() -> None:
    clock = FakeClock()
    turns = Turns(clock, 1)
    for number in range(50):
        turns.wait(f"uid-{number}")
    clock.advance(timedelta(hours=2))
    turns.wait("last")
    assert len(turns._given) <= 1
