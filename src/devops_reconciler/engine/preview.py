"""What a pass would do, without doing it: every call in order, for `mode: Plan`. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from ..api.base import DriftPolicy, EffectivePolicy
from ..api.errors import ReconcilerError
from ..runtime.clock import Clock, Instant
from .decide import Create, Delete, Fail, Memory, Report, Update, Wait, decide, decide_removal, takes_over
from .ledger import Entry, EntryState, Ledger
from .lifecycle import Catalog, policy_of
from .memory import memory_of
from .outcome import Facts, NotYet
from .pipeline import Step
from .resource import Resource, World

Call = dict[str, Any]
"""`{step, service, action, kind, name}`, for changes `fields`, and `message` where there is something to say."""


async def preview(
    steps: Sequence[Step[World]],
    ledger: Ledger,
    world: World,
    clock: Clock,
    me: str,
    catalog: Catalog,
    policies: Mapping[str, EffectivePolicy],
) -> list[Call]:
    """The calls that applying would make, in order: first what the steps do, then the removal of what they replace.

    A step that cannot be planned says why in `message`. The ledger is left as it is. `policies` are those of steps that
    are wanted no more.
    """
    return await _Preview(world, clock, me, catalog, Ledger.load(ledger.dump()), policies).calls(steps)


@dataclass
class _Preview(Generic[World]):
    world: World
    clock: Clock
    me: str
    catalog: Catalog
    ledger: Ledger
    policies: Mapping[str, EffectivePolicy]
    facts: Facts = field(default_factory=Facts)

    async def calls(self, steps: Sequence[Step[World]]) -> list[Call]:
        found = [call for step in steps for call in await self._of_step(step)]
        if steps:  # as for a pass: no steps at all are no wish
            self.ledger.follow([step.name for step in steps])
        policies = {**self.policies, **{step.name: step.policy for step in steps}}
        retired = (EntryState.RETIRED, EntryState.CLEANUP_FAILED)
        return found + [
            call
            for entry in self.ledger.remaining
            if entry.state in retired
            for call in await self._of_removal(entry, policies)
        ]

    async def _of_step(self, step: Step[World]) -> list[Call]:
        if not step.policy.management:  # it is paused
            return []
        try:
            resource = step.resource(self.facts)
        except NotYet as missing:
            return [{"step": step.name, "action": "Later", "message": f"depends on the outcome of {missing}"}]
        except ReconcilerError as error:
            return [{"step": step.name, "action": "Refused", "message": error.message}]
        if resource is not None:
            return await self._of_resource(step, resource)
        entry = self.ledger.current(step.name)
        if entry is not None:
            self.ledger.retire(entry)
        return []

    async def _of_resource(self, step: Step[World], resource: Resource[World]) -> list[Call]:
        entry = self.ledger.want(step.name, resource, leaves=step.policy.drift is DriftPolicy.REPORT)
        if resource.once and entry.state is EntryState.ACTIVE:
            self.facts.put(step.name, entry.facts)
            return []
        resource = resource.reminded(entry.facts)
        call, asked = _call(step.name, resource), Instant.of(self.clock)
        try:
            seen = await resource.observe(self.world, self.me, entry.intent)
        except ReconcilerError as error:
            return [{**call, "action": "Unknown", "message": error.message}]
        action = decide(seen, step.policy, self._memory(resource, entry, asked))
        if takes_over(action):
            try:
                await resource.check_takeover(self.world, self.me, seen.owner)
            except ReconcilerError as error:
                return [{**call, "action": "Refused", "message": f"{error.reason}: {error.message}"}]
        match action:
            case Create():
                return [{**call, "action": "Create"}]
            case Update(fields):
                return [{**call, "action": "Update", "fields": list(fields)}]
            case Fail(reason, message):
                return [{**call, "action": "Refused", "message": f"{reason}: {message}"}]
            case Wait(message):
                return [{**call, "action": "Wait", "message": message}] if message else []
            case Report(fields):
                self.facts.put(step.name, seen.facts)
                return [{**call, "action": "Report", "fields": list(fields)}]
        self.facts.put(step.name, seen.facts)
        return []

    async def _of_removal(self, entry: Entry, policies: Mapping[str, EffectivePolicy]) -> list[Call]:
        try:
            resource = self.catalog[entry.kind].recall(entry.value).reminded(entry.facts)
            policy = policies.get(entry.step) or policy_of(entry)
        except (LookupError, ValueError) as error:
            return [{"step": entry.step, "action": "Unknown", "name": entry.key, "message": f"its entry: {error}"}]
        if not resource.removable:
            return []
        call, asked = {**_call(entry.step, resource), "kind": entry.kind}, Instant.of(self.clock)
        try:
            seen = await resource.observe(self.world, self.me, entry.intent)
        except ReconcilerError as error:
            return [{**call, "action": "Unknown", "message": error.message}]
        action = decide_removal(seen, policy, self._memory(resource, entry, asked))
        return [{**call, "action": "Delete"}] if isinstance(action, Delete) else []

    def _memory(self, resource: Resource[World], entry: Entry, asked: Instant) -> Memory:
        return memory_of(resource, entry, self.me, asked, Instant.of(self.clock), self.world)


def _call(step: str, resource: Resource[Any]) -> Call:
    return {"step": step, "service": resource.service, "kind": type(resource).__name__, "name": resource.key}
