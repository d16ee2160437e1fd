"""Everything that may happen to one object, tried in every order: see `model.py` and `model_scenarios.py`.

What the model takes for granted: a request has its effect before its time-out or not at all; a view that is behind
catches up within five seconds and never goes back; a process that stands still does so within a request (beyond that
the fence of the Lease stops it); and a DNS set, which the service replaces whole, has one operator at a time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.pipeline import Step

from .model import explore
from .model_pass import TICK
from .model_scenarios import APP, BUILD, SCENARIOS, TAG, PacedApp, PacedBuild, PacedBuildStop, end_of_build_alone
from .model_state import Scenario
from .model_world import UID, Breach, Key, World, value
from .things import CATALOG, DEFAULT, Spec
from .world import Outside


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_from_every_state_all_comes_to_rest_as_it_should(scenario: Scenario) -> None:
    found = explore(scenario)
    assert found.complete
    assert found.states >= scenario.at_least


def test_the_scenarios_have_a_hundred_thousand_states() -> None:
    assert sum(scenario.at_least for scenario in SCENARIOS) >= 100_000


class Hasty(PacedBuild):
    """Believes an absence too early."""

    settle: ClassVar[timedelta] = TICK * 2


class HastyStop(PacedBuildStop):
    settle: ClassVar[timedelta] = Hasty.settle


class Ruthless(PacedApp):
    """Sees its own mark on everything."""

    owned_by_mark: ClassVar[bool] = False


def test_the_model_finds_a_second_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "Hasty", HastyStop)

    def hasty(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
        return [Step("build", lambda facts: Hasty(uid=UID, tag=TAG), DEFAULT)]

    with pytest.raises(Breach, match=r"a second build|about to do the same"):
        explore(replace(BUILD, steps=hasty, at_end=end_of_build_alone))


def test_the_model_finds_that_something_of_others_is_touched() -> None:
    def ruthless(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
        return [Step("app", lambda facts: Ruthless(name="shop", source="a", branch=None), DEFAULT)]

    theirs: tuple[tuple[Key, object], ...] = ((("apps", "shop"), (None, (("source", "b"),), False)),)
    with pytest.raises(Breach, match="did not carry our mark"):
        explore(replace(APP, steps=ruthless, foreign=theirs))


def test_the_model_finds_that_something_is_left_over() -> None:
    def at_end(world: World, spec: Spec | None, ledger: Ledger) -> None:
        if value(world, ("apps", "shop")) is not None:
            raise Breach("there")

    with pytest.raises(Breach, match="an application: there"):
        explore(replace(APP, at_end=at_end))
