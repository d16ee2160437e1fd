"""The two clocks of a machine, and what they tell together."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from devops_reconciler.runtime.clock import FakeClock, Instant, SystemClock

HOUR = timedelta(hours=1)
S = timedelta(seconds=1)


def test_the_monotonic_clock_goes_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 3600.0}.__getitem__)
    assert SystemClock().monotonic() == 3600.0


def test_a_machine_without_such_a_clock_has_its_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    assert SystemClock().monotonic() == 5.0


def test_time_that_one_of_the_clocks_tells_of_has_passed() -> None:
    clock = FakeClock()
    begun = Instant.of(clock)
    assert begun.passed(clock) == timedelta(0)
    clock.advance(S)
    assert begun.passed(clock) == S
    clock.step(HOUR)
    assert begun.passed(clock) == HOUR + S, "the machine may have stood still, and the monotonic clock with it"
    clock.step(-2 * HOUR)
    assert begun.passed(clock) == S, "set back by hand: the monotonic clock decides"
