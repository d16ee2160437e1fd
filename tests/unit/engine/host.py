"""What the host does around the engine: load the object, one pass, one save, look again; and a status store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from devops_reconciler.api.conditions import Condition
from devops_reconciler.api.errors import ReconcilerError
from devops_reconciler.engine.conditions import Conditions, summarise
from devops_reconciler.engine.ledger import EntryState, Ledger
from devops_reconciler.engine.lifecycle import ResourceLifecycleManager
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.engine.pipeline import Pipeline, Step
from devops_reconciler.engine.window import Save
from tests.invariants import assert_status_invariants

from .line import Crash, run
from .things import CATALOG, Spec, steps
from .world import Outside

SLOWLY = timedelta(seconds=30)
"""When a refusal is looked at again."""
SOON = timedelta(seconds=1)
RETIRED = (EntryState.RETIRED, EntryState.CLEANUP_FAILED)


def kept(value: Any) -> Any:
    """What the API server keeps of a value: nulls go."""
    if isinstance(value, dict):
        return {name: kept(item) for name, item in value.items() if item is not None}
    return [kept(item) for item in value] if isinstance(value, list) else value


class SaveConflict(Exception):
    """The object has changed since it was loaded."""


@dataclass(frozen=True)
class Stored:
    """The custom resource."""

    spec: Spec
    uid: str = "u1"
    version: int = 1
    generation: int = 1
    observed: int = -1
    deleting: bool = False
    applied: str = "[]"
    """The ledger as JSON: what cannot be written down is not remembered."""
    conditions: tuple[Condition, ...] = ()

    def ledger(self) -> Ledger:
        return Ledger.load(json.loads(self.applied))


class StatusStore:
    """One object with a resourceVersion precondition."""

    def __init__(self, world: Outside, spec: Spec, uid: str = "u1") -> None:
        self._line = world.line
        self.object: Stored | None = Stored(spec, uid)
        self.saves = 0

    def load(self) -> Stored | None:
        return self.object

    async def save(self, mine: Stored) -> Stored:
        def write() -> Stored:
            self._check(mine)
            self.saves += 1
            self.object = replace(mine, version=mine.version + 1)
            return self.object

        return await self._line.call("save", write, writes=True)

    async def finish(self, mine: Stored) -> None:
        """Take the finalizer off: the object goes."""

        def write() -> None:
            self._check(mine)
            self.object = None

        await self._line.call("save (finalizer)", write, writes=True)

    def _check(self, mine: Stored) -> None:
        if self.object is None or self.object.version != mine.version:
            raise SaveConflict

    def edit(self, spec: Spec) -> None:
        """A user changes the spec."""
        assert self.object is not None
        now = self.object
        self.object = replace(now, spec=spec, version=now.version + 1, generation=now.generation + 1)

    def delete(self) -> None:
        """A user deletes the object; the finalizer keeps it."""
        if self.object is not None and not self.object.deleting:
            now = self.object
            self.object = replace(now, deleting=True, version=now.version + 1, generation=now.generation + 1)


class Host:
    """One operator process that looks after the object. Holds no state between passes."""

    def __init__(self, world: Outside, store: StatusStore) -> None:
        self.world = world
        self.store = store
        self.outcome: Outcome | None = None

    async def look(self) -> timedelta | None:
        """One pass. When to look again; None when nothing is left to do."""
        it = self.store.load()
        if it is None:
            return None
        me = f"mark-{it.uid}"
        ledger = it.ledger()
        manager = ResourceLifecycleManager(self.world, self.world.clock, me, CATALOG)

        async def save() -> None:
            nonlocal it
            assert it is not None
            it = await self.store.save(replace(it, applied=json.dumps(kept(ledger.dump()))))

        if it.deleting:
            self.outcome = outcome = await manager.clean(ledger, save, {})
            if outcome.ready:
                await self.store.finish(it)
                return None
        else:
            plan = self.plan(it, ledger)
            self.outcome = outcome = await Pipeline(self.world, self.world.clock, me).advance(plan, ledger, save)
            if outcome.ready:
                await self._retire(manager, ledger, save)
            elif outcome.only_acted:
                return SOON
        changed = await self._report(it, ledger, outcome)
        return None if not changed and _at_rest(outcome, ledger) else _next_look(outcome)

    def plan(self, it: Stored, ledger: Ledger) -> list[Step[Outside]]:
        return steps(it.spec, it.uid, ledger)

    async def _retire(self, manager: ResourceLifecycleManager[Outside], ledger: Ledger, save: Save) -> None:
        await manager.clean(ledger, save, {}, only=lambda entry: entry.state in RETIRED)

    async def _report(self, it: Stored, ledger: Ledger, outcome: Outcome) -> bool:
        """Save conditions and ledger if they changed."""
        conditions = Conditions(it.conditions, it.generation, self.world.clock.now())
        settled = summarise(conditions, outcome, it.generation)
        observed = it.generation if settled else it.observed
        assert_status_invariants(conditions.list(), it.generation, observed)
        after = replace(
            it, applied=json.dumps(kept(ledger.dump())), conditions=tuple(conditions.list()), observed=observed
        )
        if after == it:
            return False
        await self.store.save(after)
        return True


def _at_rest(outcome: Outcome, ledger: Ledger) -> bool:
    return outcome.ready and not any(entry.state in RETIRED for entry in ledger.entries)


def _next_look(outcome: Outcome) -> timedelta:
    if outcome.failure is not None:
        return SLOWLY
    return min([result.after for result in outcome.results if result.after is not None], default=SOON)


def converge(host: Host, passes: int = 300) -> None:
    """Pass after pass until nothing is left to do, starting anew after each crash, and looking anew after an edit."""
    for _ in range(passes):
        loaded = host.store.load()
        try:
            after = run(host.look())
        except (Crash, SaveConflict, ReconcilerError, RuntimeError):
            after = SOON
        if after is None and host.store.load() is loaded:
            return
        host.world.clock.advance(after or SOON)
    raise AssertionError(f"not at rest after {passes} passes: {_why(host)}")


def _why(host: Host) -> Iterable[str]:
    results = host.outcome.results if host.outcome is not None else []
    return [f"{result.step} {result.state} {result.reason}: {result.message}" for result in results]
