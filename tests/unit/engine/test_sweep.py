"""The sweep: hurt the engine at every call and every save, singly and in pairs; the end is always the same."""

from __future__ import annotations

import pytest

from .life import LAG, NO_LAG, Life, live, undisturbed
from .line import CRASHES, ERRORS, Fault
from .world import Lags

LAGS = pytest.mark.parametrize("lags", [NO_LAG, LAG], ids=["at once", "2 s late"])


def _stride(lags: Lags) -> int:
    """With lag a sample does: what lag breaks, it breaks at many points."""
    return 1 if lags is NO_LAG else 3


@LAGS
def test_a_life_without_trouble_makes_each_thing_once(lags: Lags) -> None:
    ops = undisturbed(lags)
    assert len([op for op in ops if op.writes and not op.name.startswith("save")]) > 12


@LAGS
@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS])
def test_one_fault_at_any_point_changes_nothing(fault: Fault, lags: Lags) -> None:
    for op in undisturbed(lags)[:: 1 if fault in CRASHES else _stride(lags)]:
        live({op.number: fault}, lags)


@LAGS
@pytest.mark.parametrize("fault", [None, *CRASHES], ids=str)
def test_a_deletion_at_any_moment_leaves_nothing_over(fault: Fault | None, lags: Lags) -> None:
    for op in undisturbed(lags):
        life = Life.begin({op.number: fault} if fault else {}, lags)
        life.world.line.hooks[op.number] = life.store.delete
        try:
            life.set_up()
            life.end()
            life.assert_gone()
        except AssertionError as error:
            raise AssertionError(f"deleted before {op}: {error}") from error


@LAGS
def test_two_crashes_while_setting_up_change_nothing(lags: Lags) -> None:
    for first in _writes({}, lags, 0):
        for mode in CRASHES:
            for second in _writes({first: mode}, lags, first + 1)[:: _stride(lags)]:
                for again in CRASHES:
                    live({first: mode, second: again}, lags, to_the_end=False)


@LAGS
def test_two_crashes_while_deleting_change_nothing(lags: Lags) -> None:
    start = _begin_of_deletion({}, lags)
    for first in _writes({}, lags, start, to_the_end=True):
        for mode in CRASHES:
            for second in _writes({first: mode}, lags, first + 1, to_the_end=True)[:: _stride(lags)]:
                for again in CRASHES:
                    live({first: mode, second: again}, lags)


def _writes(faults: dict[int, Fault], lags: Lags, start: int, *, to_the_end: bool = False) -> list[int]:
    """The numbers of the writes and saves from `start` on, in a life with these faults."""
    life = Life.begin(faults, lags)
    life.set_up()
    if to_the_end:
        life.end()
    return [op.number for op in life.world.line.ops[start:] if op.writes]


def _begin_of_deletion(faults: dict[int, Fault], lags: Lags) -> int:
    life = Life.begin(faults, lags)
    life.set_up()
    return len(life.world.line.ops)
