"""Spreads, percentiles and goals."""

from __future__ import annotations

import pytest

from tests.bench.figures import Goal, Spread


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1), (0, 1), (99.5, 100)])
def test_a_percentile_is_a_measurement_that_was_made(percent: float, expected: float) -> None:
    assert Spread.of([float(each) for each in range(100, 0, -1)]).percentile(percent) == expected


def test_of_few_measurements_the_last_percentile_is_the_largest() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])
    assert (spread.percentile(50), spread.percentile(99), spread.median) == (2.0, 3.0, 2.0)


@pytest.mark.parametrize(
    ("value", "at_least", "reached"), [(80, True, True), (79, True, False), (80, False, True), (81, False, False)]
)
def test_a_goal_is_reached_from_its_own_side(value: float, at_least: bool, reached: bool) -> None:
    goal = Goal("share", value, 80, " %", at_least=at_least)
    assert goal.reached is reached
    assert (
        goal.text
        == f"share: {value} %, at {'least' if at_least else 'most'} 80 %: {'reached' if reached else 'MISSED'}"
    )
