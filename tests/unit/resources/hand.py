"""One resource alone, brought to its end by the real engine in a world in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from devops_reconciler.api.base import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from devops_reconciler.engine.ledger import Entry, Ledger
from devops_reconciler.engine.lifecycle import ResourceLifecycleManager
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.engine.pipeline import Pipeline, Step
from devops_reconciler.engine.resource import Intent, Observation
from devops_reconciler.resources.catalog import REMOVALS
from devops_reconciler.resources.world import ExternalResource, World
from tests.unit.world import ME, Outside, outside

DONE = ("Succeeded", "Skipped")


def policy(adoption: Adoption = Adoption.NEVER, drift: DriftPolicy = DriftPolicy.REPAIR) -> EffectivePolicy:
    return EffectivePolicy(frozenset(ManagementPolicy), DeletionPolicy.DELETE, adoption, drift)


@dataclass
class Hand:
    """An object with a single step. `saves` counts the saves of intents, `saved` is the ledger as last saved."""

    out: Outside = field(default_factory=outside)
    me: str = ME
    ledger: Ledger = field(default_factory=lambda: Ledger([]))
    saves: int = 0
    saved: list[dict[str, Any]] = field(default_factory=list)

    async def see(self, resource: ExternalResource, intent: Intent | None = None) -> Observation:
        return await resource.observe(self.out.world, self.me, intent)

    async def once(self, resource: ExternalResource, how: EffectivePolicy | None = None) -> Outcome:
        """One pass, on a ledger that has been through the status."""
        self.ledger = Ledger.load(self.ledger.dump())
        pipeline: Pipeline[World] = Pipeline(self.out.world, self.out.clock, self.me)
        step: Step[World] = Step("only", lambda facts: resource, how or policy())
        return await pipeline.advance([step], self.ledger, self._save)

    async def bring(self, resource: ExternalResource, how: EffectivePolicy | None = None, most: int = 30) -> Outcome:
        """Passes until it is done or has failed."""
        for _ in range(most):
            outcome = await self.once(resource, how)
            if outcome.ready or outcome.failure is not None:
                return outcome
            self.out.clock.advance(outcome.results[0].after or timedelta(seconds=1))
        raise AssertionError(f"no end: {outcome.results}")

    async def remove(self, most: int = 30) -> Outcome:
        """Passes of removal until nothing is left."""
        for _ in range(most):
            outcome = await self.remove_once()
            if outcome.ready:
                return outcome
            self.out.clock.advance(outcome.results[0].after or timedelta(seconds=1))
        raise AssertionError(f"no end: {outcome.results}")

    async def remove_once(self) -> Outcome:
        """One pass of removal, on a ledger that has been through the status."""
        self.ledger = Ledger.load(self.ledger.dump())
        lifecycle: ResourceLifecycleManager[World] = ResourceLifecycleManager(
            self.out.world, self.out.clock, self.me, REMOVALS
        )
        return await lifecycle.clean(self.ledger, self._save, {})

    @property
    def entry(self) -> Entry:
        return self.ledger.entries[-1]

    async def _save(self) -> None:
        self.saves += 1
        self.saved = self.ledger.dump()

    def reason(self, outcome: Outcome) -> str:
        return outcome.results[0].reason.value

    def message(self, outcome: Outcome) -> str:
        return outcome.results[0].message


def changed(resource: ExternalResource, **fields: Any) -> ExternalResource:
    """The same resource with other values."""
    return resource.model_copy(update=fields)
