"""The end of things: what the ledger holds is removed in reverse order, each proven gone before the next.

`ResourceLifecycleManager` is the one place that removes. It works from the ledger, never from the spec, and touches
only what carries our mark. A thing whose service fails delays no other; it is tried again, shown as `cleanup_failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic

from ..api.base import DeletionPolicy, EffectivePolicy, ManagementPolicy
from ..api.deployment_record import StepState
from ..api.policies import Adoption, DriftPolicy
from ..runtime.clock import Clock
from .audited import removing
from .decide import Delete, Released, Wait, decide_removal
from .ledger import Entry, EntryState, Ledger
from .pipeline import (
    Outcome,
    Save,
    SavesTooSlow,
    StepResult,
    Window,
    failed_step,
    maybe_applied,
    memory_of,
    note_presence,
)
from .resource import Intent, Observation, Resource, World

Catalog = Mapping[str, type[Resource[Any]]]
"""All resources by the name of their class, as the ledger names them."""


@dataclass
class _Removal(Generic[World]):
    entry: Entry
    resource: Resource[World]
    policy: EffectivePolicy
    result: StepResult
    before: Intent | None
    """What had been tried before: it counts again when the deletion surely had no effect."""


class ResourceLifecycleManager(Generic[World]):
    """Removes what the ledger holds: `active` until proven gone, then `cleaned`; `cleanup_failed` after an error."""

    def __init__(self, world: World, clock: Clock, me: str, catalog: Catalog) -> None:
        self._world = world
        self._clock = clock
        self._me = me
        self._catalog = catalog

    async def clean(
        self,
        ledger: Ledger,
        save: Save,
        policies: Mapping[str, EffectivePolicy],
        *,
        only: Callable[[Entry], bool] = lambda entry: True,
    ) -> Outcome:
        """One pass of removal over the entries that `only` lets through, in reverse order.

        `policies` are the current ones by step; an entry of a step that is not there keeps its own. The outcome is
        ready when all of them are cleaned. Raises only what `save` raises.
        """
        outcome = Outcome()
        due: list[_Removal[World]] = []
        held = False
        for entry in ledger.remaining:
            if not only(entry):
                continue
            result = StepResult(entry.step, StepState.PENDING, entry=entry)
            removal = None if held else self._removal(entry, policies, result)
            if entry.state is not EntryState.CLEANED:
                outcome.results.append(result)
            if removal is not None and await self._look(removal, ledger):
                due.append(removal)
            # What is on its way out holds up those before it, as in `_remove`; what fails does not.
            held = held or (result.state is StepState.RUNNING and not (due and due[-1] is removal))
        if due:
            outcome.acted = True
            await self._remove(due, ledger, save)
        return outcome

    def _removal(
        self, entry: Entry, policies: Mapping[str, EffectivePolicy], result: StepResult
    ) -> _Removal[World] | None:
        """None for what needs no removal, and for what cannot be understood (that is in the result)."""
        try:
            resource = self._catalog[entry.kind].recall(entry.value)
            policy = policies.get(entry.step) or policy_of(entry)
        except (LookupError, ValueError) as error:
            _fail(entry, result, error)
            return None
        if not resource.removable:
            entry.state, entry.intent = EntryState.CLEANED, None
            return None
        result.state = StepState.RUNNING
        return _Removal(entry, resource, policy, result, entry.intent)

    async def _look(self, removal: _Removal[World], ledger: Ledger) -> bool:
        """Settle the entry if it can be; True when it is to be deleted."""
        asked = self._clock.now()
        try:
            seen = await removal.resource.observe(self._world, self._me, removal.entry.intent)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            _fail(removal.entry, removal.result, error)
            return False
        return self._settle(removal, seen, asked, ledger)

    def _settle(self, removal: _Removal[World], seen: Observation, asked: datetime, ledger: Ledger) -> bool:
        entry, result = removal.entry, removal.result
        if entry.made_elsewhere and ledger.remaining[0] is not entry:
            entry.absent_since = None  # something that may make it is still there: its absence proves nothing yet
        note_presence(entry, seen, self._clock.now())
        memory = memory_of(removal.resource, entry, self._me, asked, self._world)
        match decide_removal(seen, removal.policy, memory):
            case Released(left):
                entry.state, entry.note, entry.intent = EntryState.CLEANED, left, None
                entry.finished_at = self._clock.now()
                result.state, result.message = StepState.SUCCEEDED, f"left: {left}" if left else "gone"
            case Wait(message, _, after):
                result.message, result.after = message, after
            case Delete():
                result.message = "to be removed"
                result.seen = seen
                return True
        return False

    async def _remove(self, due: list[_Removal[World]], ledger: Ledger, save: Save) -> None:
        """Delete in order. What is not gone at once holds up those before it; what fails does not."""
        window = Window(self._clock, save)
        for index, removal in enumerate(due):
            entry, seen = removal.entry, removal.result.seen or Observation()
            try:
                await window.open(partial(self._intend, due[index:]))
            except SavesTooSlow as error:
                _fail(entry, removal.result, error)
                _put_off(due[index:])
                return
            try:
                with removing(removal.resource, seen):
                    await removal.resource.delete(self._world, self._me, seen)
            except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
                _fail(entry, removal.result, error)
                if not maybe_applied(error):
                    entry.intent = removal.before
                continue
            asked = self._clock.now()
            try:
                again = await removal.resource.observe(self._world, self._me, entry.intent)
            except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
                _fail(entry, removal.result, error)
                continue
            self._settle(removal, again, asked, ledger)
            if entry.state is not EntryState.CLEANED:
                _put_off(due[index + 1 :])
                return

    def _intend(self, due: list[_Removal[World]]) -> None:
        for removal in due:
            preimage = removal.before.preimage if removal.before is not None else None
            removal.entry.doubt(removal.before, again=False)
            removal.entry.intent = Intent(op="delete", at=self._clock.now(), preimage=preimage)


def _put_off(removals: list[_Removal[World]]) -> None:
    """Their turn has not come: what was tried before counts again."""
    for removal in removals:
        removal.entry.intent = removal.before
        if removal.result.error is None:
            removal.result.state, removal.result.message = StepState.PENDING, ""


def _fail(entry: Entry, result: StepResult, error: Exception) -> None:
    outcome = failed_step(entry.step, error)
    result.state, result.reason, result.message = outcome.state, outcome.reason, outcome.message
    result.after, result.error = outcome.after, error
    if outcome.state is not StepState.RUNNING:
        entry.state, entry.note = EntryState.CLEANUP_FAILED, outcome.message


def release(ledger: Ledger, which: Callable[[Entry], bool], why: str) -> None:
    """Forget entries without touching the things: another object holds them now."""
    for entry in ledger.remaining:
        if which(entry):
            entry.state, entry.note, entry.intent = EntryState.CLEANED, why, None


def policy_of(entry: Entry) -> EffectivePolicy:
    """How it may be removed, as it was when it was last wanted."""
    management = entry.policy.get("management", [item.value for item in ManagementPolicy])
    return EffectivePolicy(
        management=frozenset(ManagementPolicy(item) for item in management),
        deletion=DeletionPolicy(entry.policy.get("deletion", DeletionPolicy.DELETE)),
        adoption=Adoption.NEVER,
        drift=DriftPolicy.REPAIR,
    )
