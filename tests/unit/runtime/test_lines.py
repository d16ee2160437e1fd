"""Whose turn it is: by urgency, and of one urgency by namespace and project."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.runtime import lines as module
from devops_reconciler.runtime.lines import Lines, Waiter
from devops_reconciler.runtime.urgency import Tenant, Urgency, work


def waiters(lines: Lines[Waiter], of: Urgency, tenants: Iterable[Tenant]) -> list[Waiter]:
    """One who waits for each of these, in this order."""
    found = []
    for tenant in tenants:
        with work(of, tenant):
            found.append(Waiter())
        lines.join(found[-1])
    return found


def served(lines: Lines[Waiter]) -> list[Waiter]:
    """All, in the order of their turns."""
    found = []
    while (waiter := lines.first()) is not None:
        assert lines.first() is waiter, "to look costs no turn"
        lines.serve(waiter)
        found.append(waiter)
    return found


def test_who_waits_for_nobody_in_particular_goes_in_the_order_of_arrival() -> None:
    lines: Lines[Waiter] = Lines()
    some = [Waiter() for _ in range(5)]
    for each in some:
        lines.join(each)
    assert served(lines) == some


def test_namespaces_have_turns_and_in_each_its_projects() -> None:
    lines: Lines[Waiter] = Lines()
    tenants = [("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "1")]
    waiters(lines, Urgency.CHANGE, tenants)
    assert [each.tenant for each in served(lines)] == [
        ("a", "1"),
        ("b", "1"),
        ("a", "2"),
        ("b", "1"),
        ("a", "1"),
        ("a", "1"),
    ]


def test_the_quiet_one_of_two_has_its_turn_after_one_of_the_noisy_one() -> None:
    lines: Lines[Waiter] = Lines()
    waiters(lines, Urgency.CHECK, [("noisy", f"{number}") for number in range(2_000)])
    (quiet,) = waiters(lines, Urgency.CHECK, [("quiet", "shop")])
    assert served(lines).index(quiet) == 1


def test_what_has_just_come_in_goes_before_all_and_each_fourth_turn_is_for_the_line_that_waits_longest() -> None:
    lines: Lines[Waiter] = Lines()
    for of in (Urgency.CHECK, Urgency.CHANGE, Urgency.DEPLOYMENT, Urgency.ARRIVAL):
        waiters(lines, of, [("a", "1")] * 2)
    assert [each.urgency for each in served(lines)] == [0, 0, 1, 3, 1, 2, 2, 3]


def test_who_is_not_urgent_enough_is_passed_over() -> None:
    lines: Lines[Waiter] = Lines()
    waiters(lines, Urgency.CHECK, [("a", "1")])
    assert lines.first(lambda urgency: urgency < Urgency.CHECK) is None
    (urgent,) = waiters(lines, Urgency.CHANGE, [("a", "1")])
    assert lines.first(lambda urgency: urgency < Urgency.CHECK) is urgent


def calls_to_serve(of: Sequence[Urgency], many: int) -> int:
    """How many calls there are in the module until all have had their turn: so many projects wait with each urgency."""
    lines: Lines[Waiter] = Lines()
    for each in of:
        waiters(lines, each, [("team", f"{number}") for number in range(many)])
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename == module.__file__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        while (waiter := lines.first()) is not None:
            lines.serve(waiter)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("of", [[Urgency.CHANGE], [Urgency.CHECK, Urgency.CHANGE]])
def test_a_turn_costs_the_same_however_many_wait(of: list[Urgency]) -> None:
    assert calls_to_serve(of, 400) <= 10.1 * calls_to_serve(of, 40)


TENANTS = st.tuples(st.sampled_from("ab"), st.sampled_from("12"))


@given(st.lists(st.tuples(st.sampled_from(Urgency), TENANTS, st.booleans()), max_size=40))
def test_everybody_has_a_turn_who_does_not_give_up(arrivals: list[tuple[Urgency, Tenant, bool]]) -> None:
    lines: Lines[Waiter] = Lines()
    stay, go = set(), []
    for of, tenant, stays in arrivals:
        (each,) = waiters(lines, of, [tenant])
        (stay.add if stays else go.append)(each)
    for each in go:
        lines.leave(each)
    found = served(lines)
    assert set(found) == stay
    assert len(found) == len(stay)
    assert not lines
