"""Specs that change, people who interfere and services that fail, at any moment: the end is as the last spec says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .host import Host, StatusStore
from .life import FOREIGN, LAG, NO_LAG, Life, set_up_ops
from .line import Fault
from .things import Spec
from .world import Lags, Outside

EDITS: dict[str, Callable[[Spec], Spec]] = {
    "another folder": lambda spec: replace(spec, folder="crew"),
    "another password": lambda spec: replace(spec, password="v2"),
    "another script": lambda spec: replace(spec, script="ci/Jenkinsfile"),
    "another app": lambda spec: replace(spec, app="store"),
    "another host": lambda spec: replace(spec, host="www"),
    "another address": lambda spec: replace(spec, data="203.0.113.8"),
    "another name alone": lambda spec: replace(spec, alone="api2"),
    "no name alone": lambda spec: replace(spec, alone=None),
}
LAGS = pytest.mark.parametrize("lags", [NO_LAG, LAG], ids=["at once", "2 s late"])


def edit(store: StatusStore, change: Callable[[Spec], Spec]) -> None:
    if store.object is not None and not store.object.deleting:
        store.edit(change(store.object.spec))


@LAGS
@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_an_edit_at_any_moment_ends_as_the_new_spec_says(change: Callable[[Spec], Spec], lags: Lags) -> None:
    for op in set_up_ops(lags)[:: 1 if lags is NO_LAG else 3]:
        life = Life.begin(lags=lags)
        life.world.line.hooks[op.number] = lambda life=life: edit(life.store, change)  # type: ignore[misc]
        try:
            life.set_up()
            life.assert_set_up()
            life.end()
            life.assert_gone()
        except AssertionError as error:
            raise AssertionError(f"edited before {op}: {error}") from error


@LAGS
@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_an_edit_there_and_back_ends_as_at_first(change: Callable[[Spec], Spec], lags: Lags) -> None:
    ops = set_up_ops(lags)
    for op in ops[:: 3 if lags is NO_LAG else 7]:
        for distance in (1, 4, 11):
            life = Life.begin(lags=lags)
            back = life.store.object.spec if life.store.object else Spec()
            hooks = life.world.line.hooks
            hooks[op.number] = lambda life=life: edit(life.store, change)  # type: ignore[misc]
            hooks[op.number + distance] = lambda life=life, back=back: edit(life.store, lambda spec: back)  # type: ignore[misc]
            life.set_up()
            life.assert_set_up()
            life.end()
            life.assert_gone()


MEDDLING: dict[str, Callable[[Outside], None]] = {
    "removes the job": lambda world: world.items.remove("team/job"),
    "removes the folder": lambda world: _remove_folder(world),
    "removes the app": lambda world: world.apps.remove("shop"),
    "changes the job": lambda world: _change(world, "team/job", "by hand"),
    "empties the set": lambda world: world.zone.place("app", *FOREIGN["app"]),
    "removes the record": lambda world: world.zone.place("api"),
    "removes record and mark": lambda world: _remove_record(world),
}


def _remove_record(world: Outside) -> None:
    world.zone.place("api")
    world.zone.place("api/mark")


def _remove_folder(world: Outside) -> None:
    for path in ("team/job", "team/git", "team"):
        world.items.remove(path)


def _change(world: Outside, path: str, content: str) -> None:
    thing = world.items.things.get(path)
    if thing is not None:
        world.items.place(path, thing.owner, content=content)


@LAGS
@pytest.mark.parametrize("meddle", MEDDLING.values(), ids=MEDDLING)
def test_what_others_do_at_any_moment_is_repaired(meddle: Callable[[Outside], None], lags: Lags) -> None:
    for op in set_up_ops(lags)[:: 1 if lags is NO_LAG else 3]:
        life = Life.begin(lags=lags)
        life.world.line.hooks[op.number] = life.world.people(meddle)
        try:
            life.set_up()
            for _ in range(2):  # the regular looks: what was done during the first one is seen by the second
                life.world.clock.advance(timedelta(minutes=5))
                life.set_up()
            life.assert_set_up()
            life.end()
            life.assert_gone()
        except AssertionError as error:
            raise AssertionError(f"meddled before {op}: {error}") from error


FAULTS = st.dictionaries(st.integers(0, 200), st.sampled_from(list(Fault)), max_size=8)
CHANGES = st.dictionaries(st.integers(0, 150), st.sampled_from(sorted(EDITS)), max_size=3)
LATE = st.integers(0, 2).map(lambda seconds: Lags(*(timedelta(seconds=seconds),) * 4))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(faults=FAULTS, changes=CHANGES, deletion=st.none() | st.integers(0, 200), lags=LATE)
def test_whatever_happens_the_end_is_right(
    faults: dict[int, Fault], changes: dict[int, str], deletion: int | None, lags: Lags
) -> None:
    life = Life.begin(faults, lags)
    for number, name in changes.items():
        life.world.line.hooks[number] = lambda name=name: edit(life.store, EDITS[name])  # type: ignore[misc]
    if deletion is not None:
        life.world.line.hooks[deletion] = life.store.delete
    life.set_up()
    if life.store.object is not None:
        life.assert_set_up()
    life.host = Host(life.world, life.store)
    life.end()
    life.assert_gone()
