"""Two operators on one object: whatever the order in which their awaits interleave, nothing is done twice."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.api.errors import ReconcilerError

from .host import SOON, Host, SaveConflict
from .life import LAG, NO_LAG, Life
from .line import REQUEST_TIMEOUT, Op, pause, run
from .world import Lags

LAGS = pytest.mark.parametrize("lags", [NO_LAG, LAG], ids=["at once", "2 s late"])


@dataclass
class Process:
    """One operator that runs in steps: from one await to the next."""

    host: Host
    conflicts: int = 0
    ops: list[Op] = field(default_factory=list)
    called_at: float = 0
    asleep_until: float | None = None
    done: bool = False
    _work: Coroutine[Any, Any, None] | None = None

    def step(self) -> None:
        """Run to the next await. Time passes if it sleeps; what it sends in between counts as its own."""
        clock, line = self.host.world.clock, self.host.world.line
        clock.advance(timedelta(seconds=max(0.0, self.wakes - clock.monotonic())))
        self._work = self._work or self._live()
        before = len(line.ops)
        try:
            self._work.send(None)
        except StopIteration:
            self.done = True
        if line.ops[before:]:
            self.ops += line.ops[before:]
            self.called_at = clock.monotonic()

    @property
    def wakes(self) -> float:
        now = self.host.world.clock.monotonic()
        return now if self.asleep_until is None else max(now, self.asleep_until)

    @property
    def must_go_on_by(self) -> float:
        """A call to a service cannot last longer than its time-out; a save may hang for ever."""
        in_call = bool(self.ops) and not self.ops[-1].name.startswith("save")
        if self.done or not in_call or self.asleep_until is not None:
            return float("inf")
        return self.called_at + REQUEST_TIMEOUT.total_seconds()

    def look_again(self) -> None:
        if self.done:
            self.done, self._work = False, None

    async def _live(self) -> None:
        while True:
            loaded = self.host.store.load()
            try:
                after = await self.host.look()
            except SaveConflict:
                self.conflicts += 1
                after = SOON
            except ReconcilerError:
                after = SOON
            if after is None and self.host.store.load() is loaded:
                return
            self.asleep_until = self.host.world.clock.monotonic() + (after or SOON).total_seconds()
            await pause()
            self.asleep_until = None


@dataclass
class Race:
    """One life with two operators."""

    life: Life
    first: Process
    second: Process

    @classmethod
    def begin(cls, lags: Lags, *, only_the_build: bool = False) -> Race:
        """From the start, or from where all is there but the build: a service that refuses no name twice."""
        life = Life.begin(lags=lags)
        if only_the_build:
            life.world.line.down = lambda name, writes: name == "builds find"
            for _ in range(8):
                run(life.host.look())
                life.world.clock.advance(SOON)
            life.world.line.down = lambda name, writes: False
        return cls(life, Process(life.host), Process(Host(life.world, life.store)))

    def go(self, who: Process, steps: int = 5_000) -> None:
        """Up to so many steps of one while the other stands still, as far as that can be."""
        other = self.second if who is self.first else self.first
        for _ in range(steps):
            if who.done:
                return
            (other if who.wakes > other.must_go_on_by else who).step()

    def finish(self) -> None:
        """Both go on until neither finds anything left to do."""
        for _ in range(3):  # each may have changed what the other had found at rest
            for process in (self.first, self.second):
                process.look_again()
                self.go(process)
                assert process.done, "not at rest"

    def assert_fair(self) -> None:
        self.life.assert_set_up()
        self.life.assert_once()


def positions(lags: Lags, *, only_the_build: bool = False) -> Iterator[int]:
    """The steps of one operator at which it is about to write or save, or waits for the reply."""
    race = Race.begin(lags, only_the_build=only_the_build)
    for position in range(20_000):
        if race.first.done:
            return
        race.first.step()
        if race.first.ops and race.first.ops[-1].writes and race.first.asleep_until is None:
            yield position + 1


@LAGS
@pytest.mark.parametrize("only_the_build", [False, True], ids=["from the start", "only the build"])
def test_one_hangs_anywhere_while_the_other_goes_on_to_the_end(lags: Lags, only_the_build: bool) -> None:
    conflicts = 0
    for position in positions(lags, only_the_build=only_the_build):
        race = Race.begin(lags, only_the_build=only_the_build)
        for _ in range(position):
            race.first.step()
        race.go(race.second)
        race.finish()
        race.assert_fair()
        conflicts += race.first.conflicts
    assert conflicts > 5, "the race was never close"


def test_both_reach_any_two_moments_at_the_same_time() -> None:
    for position in positions(NO_LAG):
        for steps in (2, 9, 13, 14, 15, 16, 17, 22, 40):
            race = Race.begin(NO_LAG)
            for _ in range(position):
                race.first.step()
            race.go(race.second, steps)
            race.go(race.first)
            race.finish()
            race.assert_fair()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(turns=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40), late=st.booleans())
def test_any_order_of_turns_is_fair(turns: list[tuple[bool, int]], late: bool) -> None:
    race = Race.begin(LAG if late else NO_LAG)
    for whose, steps in turns:
        race.go(race.first if whose else race.second, steps)
    race.finish()
    race.assert_fair()


def test_the_one_that_loses_its_save_has_not_acted() -> None:
    race = Race.begin(NO_LAG)
    for process in (race.first, race.second):
        while not process.ops or not process.ops[-1].name.startswith("save"):
            process.step()
    race.go(race.first)
    while race.second.conflicts == 0:
        race.second.step()
    assert [op.name for op in race.second.ops if op.writes] == ["save"]
    race.finish()
    race.assert_fair()
