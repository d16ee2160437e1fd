"""A pipeline of a few steps without a host around it, for one rule at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from devops_reconciler.api.policies import EffectivePolicy
from devops_reconciler.engine.ledger import Entry, EntryState, Ledger
from devops_reconciler.engine.lifecycle import ResourceLifecycleManager
from devops_reconciler.engine.outcome import Facts, Outcome, StepResult
from devops_reconciler.engine.pipeline import Pipeline, Step
from devops_reconciler.engine.resource import Resource

from .host import kept
from .line import run
from .things import CATALOG, DEFAULT
from .world import Lags, Outside

ME = "mark-u1"


class Bench:
    """A world and a ledger; passes are run by hand. The ledger goes through its JSON before each pass."""

    def __init__(self, lags: Lags | None = None) -> None:
        self.world = Outside(lags)
        self.applied: list[Any] = []
        self.ledger = Ledger([])

    async def _save(self) -> None:
        def write() -> None:
            self.applied = kept(self.ledger.dump())

        await self.world.line.call("save", write, writes=True)

    def advance(self, *steps: Step[Outside]) -> Outcome:
        """One pass, and the save at its end."""
        self.ledger = Ledger.load(self.applied)
        outcome = run(Pipeline(self.world, self.world.clock, ME).advance(steps, self.ledger, self._save))
        self.applied = kept(self.ledger.dump())
        return outcome

    def settle(self, *steps: Step[Outside]) -> Outcome:
        """Passes a second apart until all is ready."""
        for _ in range(100):
            outcome = self.advance(*steps)
            if outcome.ready:
                return outcome
            self.wait(1)
        raise AssertionError(outcome.results)

    def clean(
        self,
        *,
        catalog: dict[str, type[Resource[Any]]] = CATALOG,
        policies: dict[str, EffectivePolicy] | None = None,
        only: Callable[[Entry], bool] = lambda entry: True,
    ) -> Outcome:
        """One pass of removal."""
        self.ledger = Ledger.load(self.applied)
        manager = ResourceLifecycleManager(self.world, self.world.clock, ME, catalog)
        outcome = run(manager.clean(self.ledger, self._save, policies or {}, only=only))
        self.applied = kept(self.ledger.dump())
        return outcome

    def wait(self, seconds: float) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    def entry(self, step: str) -> Entry:
        entry = self.ledger.current(step)
        assert entry is not None
        return entry

    def states(self) -> list[tuple[str, EntryState]]:
        return [(entry.key, entry.state) for entry in self.ledger.entries]

    def writes(self, *, saves: bool = False) -> list[str]:
        """The names of all writes so far."""
        return [op.name for op in self.world.line.ops if op.writes and (saves or op.name != "save")]

    def reads(self) -> list[str]:
        """The names of all reads so far."""
        return [op.name for op in self.world.line.ops if not op.writes]


def step(name: str, resource: Resource[Outside] | None, **more: Any) -> Step[Outside]:
    """A step whose resource is known from the start."""
    policy = more.pop("policy", DEFAULT)
    return Step(name, lambda facts: resource, policy, **more)


def after(earlier: str, name: str, resource: Resource[Outside], **more: Any) -> Step[Outside]:
    """A step that needs a fact of an earlier one."""

    def make(facts: Facts) -> Resource[Outside]:
        facts[earlier]
        return resource

    return Step(name, make, more.pop("policy", DEFAULT), **more)


def of(outcome: Outcome, name: str) -> StepResult:
    """The result of one step."""
    return next(result for result in outcome.results if result.step == name)


def states_of(results: Sequence[StepResult]) -> list[tuple[str, str]]:
    return [(result.step, result.state.value) for result in results]
