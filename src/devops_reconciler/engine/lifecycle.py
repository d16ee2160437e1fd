"""One external thing at a time: it is made, changed, and removed here, and its entry says how far that came.

`ResourceLifecycleManager` is the one place that writes outside. It writes only what was saved as an intent before. It
removes from the ledger, never from the spec, in reverse order, each proven gone before the next, and touches only what
carries our mark. A thing whose service fails delays no other; it is tried again, shown as `cleanup_failed`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Generic

from ..api.base import DeletionPolicy, EffectivePolicy, ManagementPolicy
from ..api.deployment_record import StepState
from ..api.policies import Adoption, DriftPolicy
from ..runtime.clock import Clock, Instant
from .audited import removing, writing
from .decide import Create, Delete, Released, Update, Wait, decide_removal
from .ledger import Entry, EntryState, Ledger
from .memory import memory_of, note_presence
from .outcome import Outcome, StepResult, maybe_applied
from .resource import Intent, Observation, Resource, World
from .window import Save, SavesTooSlow, Window

Catalog = Mapping[str, type[Resource[Any]]]
"""All resources by the name of their class, as the ledger names them."""


@dataclass
class Change(Generic[World]):
    """A thing that is to be written or removed."""

    resource: Resource[World]
    entry: Entry
    result: StepResult
    before: Intent | None
    """What had been tried before: it counts again when this surely had no effect."""


@dataclass
class Attempt(Change[World]):
    """A thing that is to be made or changed, and what the look showed."""

    seen: Observation
    action: Create | Update
    gate: bool = True
    """What comes after it is not written unless this is."""


@dataclass
class Removal(Change[World]):
    policy: EffectivePolicy


class ResourceLifecycleManager(Generic[World]):
    """Makes, changes and removes things.

    An entry is `active` from its first attempt until the thing is proven gone, then `cleaned`; `cleanup_failed` after
    an error of a removal. `catalog`: all resources that may have to be removed.
    """

    def __init__(self, world: World, clock: Clock, me: str, catalog: Catalog = MappingProxyType({})) -> None:
        self._world = world
        self._clock = clock
        self._me = me
        self._catalog = catalog

    async def create_resource(self, attempt: Attempt[World]) -> bool:
        """Make a thing whose intent is saved; False when that failed, with the error in its result.

        A failed creation leaves nothing unknown: what surely had no effect is no attempt any more; otherwise the
        intent stays, for the next look to find what it made, and for `cleanup_resource` to remove it.
        """
        return await self._write(attempt, attempt.resource.create)

    async def update_resource(self, attempt: Attempt[World]) -> bool:
        """Bring a thing in line whose intent is saved; False when that failed, as for `create_resource`."""
        return await self._write(attempt, attempt.resource.update)

    async def _write(self, attempt: Attempt[World], act: Callable[[World, str, Observation], Awaitable[None]]) -> bool:
        try:
            with writing(attempt.resource, attempt.seen, attempt.action):
                await act(self._world, self._me, attempt.seen)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            not_written(attempt, error)
            return False
        if attempt.resource.blind:
            attempt.entry.digest = attempt.resource.digest()
        return True

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
        due: list[Removal[World]] = []
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
    ) -> Removal[World] | None:
        """None for what needs no removal, and for what cannot be understood (that is in the result)."""
        try:
            kind = self._catalog[entry.kind]
            if not kind.removable:
                entry.state, entry.intent = EntryState.CLEANED, None
                return None
            resource = kind.recall(entry.value).reminded(entry.facts)
        except (LookupError, ValueError) as error:
            _fail(entry, result, error)
            return None
        policy = policies.get(entry.step) or policy_of(entry)
        result.state = StepState.RUNNING
        return Removal(resource, entry, result, entry.intent, policy)

    async def _look(self, removal: Removal[World], ledger: Ledger) -> bool:
        """Settle the entry if it can be; True when it is to be deleted."""
        asked = Instant.of(self._clock)
        try:
            seen = await removal.resource.observe(self._world, self._me, removal.entry.intent)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            _fail(removal.entry, removal.result, error)
            return False
        return self._settle(removal, seen, asked, ledger)

    def _settle(self, removal: Removal[World], seen: Observation, asked: Instant, ledger: Ledger) -> bool:
        entry, result = removal.entry, removal.result
        if entry.made_elsewhere and ledger.remaining[0] is not entry:
            entry.absent_since = None  # something that may make it is still there: its absence proves nothing yet
        now = Instant.of(self._clock)
        note_presence(entry, seen, now.wall)
        memory = memory_of(removal.resource, entry, self._me, asked, now, self._world)
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

    async def _remove(self, due: list[Removal[World]], ledger: Ledger, save: Save) -> None:
        """Delete in order. What is not gone at once holds up those before it; what fails does not."""
        window = Window(self._clock, save)
        for index, removal in enumerate(due):
            try:
                await window.open(partial(self._intend, due[index:]))
            except SavesTooSlow as error:
                _fail(removal.entry, removal.result, error)
                put_off(due[index:])
                return
            if not await self.cleanup_resource(removal, ledger):
                put_off(due[index + 1 :])
                return

    async def cleanup_resource(self, removal: Removal[World], ledger: Ledger) -> bool:
        """Remove a thing whose intent is saved, and look whether it is gone. False while it is on its way out.

        An error is in its result; then nothing is on its way that others would have to wait for.
        """
        entry, seen = removal.entry, removal.result.seen or Observation()
        try:
            with removing(removal.resource, seen):
                await removal.resource.delete(self._world, self._me, seen)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            _fail(entry, removal.result, error)
            if not maybe_applied(error):
                entry.intent = removal.before
            return True
        asked = Instant.of(self._clock)
        try:
            again = await removal.resource.observe(self._world, self._me, entry.intent)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            _fail(entry, removal.result, error)
            return True
        self._settle(removal, again, asked, ledger)
        return entry.state is EntryState.CLEANED

    def _intend(self, due: list[Removal[World]]) -> None:
        for removal in due:
            preimage = removal.before.preimage if removal.before is not None else None
            removal.entry.doubt(removal.before, again=False)
            removal.entry.intent = Intent(op="delete", at=self._clock.now(), preimage=preimage)


def put_off(changes: Sequence[Change[Any]]) -> None:
    """Their turn has not come: what was tried before counts again."""
    for change in changes:
        change.entry.intent = change.before
        if change.result.error is None:
            change.result.state, change.result.message = StepState.PENDING, ""


def not_written(attempt: Attempt[Any], error: Exception) -> None:
    """What surely had no effect is no attempt: what was tried before counts again, and nothing waits for it.

    But an intent with a preimage stays: a part of the work may be done (the value, not yet the mark), and the
    preimage alone tells whose it is.
    """
    attempt.result.fail(error)
    entry = attempt.entry
    entry.refused = attempt.result.message
    if not maybe_applied(error) and (entry.intent is None or entry.intent.preimage is None):
        entry.intent = attempt.before


def _fail(entry: Entry, result: StepResult, error: Exception) -> None:
    result.fail(error)
    if result.state is not StepState.RUNNING:
        entry.state, entry.note = EntryState.CLEANUP_FAILED, result.message


def release(ledger: Ledger, which: Callable[[Entry], bool], why: str) -> None:
    """Forget entries without touching the things: another object holds them now."""
    for entry in ledger.remaining:
        if which(entry):
            entry.state, entry.note, entry.intent = EntryState.CLEANED, why, None


def policy_of(entry: Entry) -> EffectivePolicy:
    """How it may be removed, as it was when it was last wanted. Where only a newer version knows that, it stays."""
    management = entry.policy.get("management", list(ManagementPolicy))
    deletion = entry.policy.get("deletion", DeletionPolicy.DELETE)
    return EffectivePolicy(
        management=frozenset(item for item in ManagementPolicy if item in management),
        deletion=DeletionPolicy.DELETE if deletion == DeletionPolicy.DELETE else DeletionPolicy.ORPHAN,
        adoption=Adoption.NEVER,
        drift=DriftPolicy.REPAIR,
    )
