"""One pass over the ordered steps of an object: observe, decide, save the intents, act.

The order inside a pass is the crash-safety of the product: whatever is written outside was saved before, under a
resourceVersion precondition, so that a second replica or a stale pass loses its save and never gets to act.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Generic

from ..api.base import DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from ..api.conditions import Reason
from ..api.deployment_record import StepState
from ..api.errors import ExternalServiceError, FailedError, fault_of
from ..api.faults import Fault
from ..runtime.clock import Clock, Instant
from .decide import Create, Done, Fail, Report, Update, Wait, decide, takes_over
from .ledger import Entry, EntryState, Ledger, age
from .lifecycle import Attempt, ResourceLifecycleManager, not_written, put_off
from .memory import memory_of, note_presence
from .outcome import Facts, NotYet, Outcome, StepResult, failed_step
from .resource import ABSENT, Intent, Observation, Resource, World
from .window import Save, SavesTooSlow, Window


@dataclass(frozen=True)
class Step(Generic[World]):
    """One step: a function from the facts of earlier steps to a Resource, or None when nothing is wanted.

    The function may raise the taxonomy, or use a fact that is not there yet. `gate` steps hold up the steps after
    them until they are done. `deadline` bounds the time from the first look to Done, `overdue` is the reason then.
    `shared` things belong to the environment; `rank` orders their removal.
    """

    name: str
    resource: Callable[[Facts], Resource[World] | None]
    policy: EffectivePolicy
    gate: bool = True
    deadline: timedelta | None = None
    overdue: Reason = Reason.EXTERNAL_SERVICE_ERROR
    outage: timedelta | None = None
    """The deadline instead while its service gives no answer, so that nothing is known of the thing; the reason then is
    ExternalServiceError."""
    anew: bool = False
    """Its deadline counts anew for another value of the same thing: somebody has corrected it."""
    shared: bool = False
    rank: int = 0
    announce: bool = False
    """Enter it into the ledger before its turn: it may come to be through an earlier step."""
    within: str | None = None
    """The step whose thing holds this one and takes it along: where that is about to be made, this one is not there,
    and is not asked for."""
    paused: bool = False
    """Nothing of it is looked at, written or removed; where it was as wanted, it still counts as done."""
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited before its thing is made; what it enters into the ledger is saved with the intent. It may be awaited
    again for another attempt. Where it raises, nothing is made."""


@dataclass(frozen=True)
class _Looked(Generic[World]):
    step: Step[World]
    resource: Resource[World]
    entry: Entry
    seen: Observation
    asked: Instant
    """When the look was sent: of what was done later it cannot tell."""


class Pipeline(Generic[World]):
    """Runs the steps of one object. Holds no state of its own: everything is in the ledger."""

    def __init__(self, world: World, clock: Clock, me: str) -> None:
        self._world = world
        self._clock = clock
        self._me = me
        self._lifecycle = ResourceLifecycleManager(world, clock, me)

    async def advance(self, steps: Sequence[Step[World]], ledger: Ledger, save: Save) -> Outcome:
        """One pass. Raises only what `save` raises; every other failure is in the outcome."""
        outcome = Outcome()
        planned: list[Attempt[World]] = []
        held = False
        for step in steps:
            if held or (planned and _comes_by_itself(step, ledger)):
                outcome.results.append(self._announce(step, ledger, outcome.facts))
                held = held or step.gate
                continue
            result = await self._look(step, ledger, outcome.facts, planned)
            outcome.results.append(result)
            writing = bool(planned) and planned[-1].result is result
            held = step.gate and not result.done and not writing
        if steps:  # no steps at all are no wish: nothing is retired because of them
            ledger.follow([step.name for step in steps])
        if planned:
            outcome.acted = True
            outcome.learned = await self._act(planned, save)
        return outcome

    async def _look(self, step: Step[World], ledger: Ledger, facts: Facts, planned: list[Attempt[World]]) -> StepResult:
        now = self._clock.now()
        entry = ledger.current(step.name)
        if step.paused:
            return _as_it_was(step, entry, facts)
        try:
            resource = step.resource(facts)
            if resource is None:
                if entry is not None:
                    ledger.retire(entry)
                return StepResult(step.name, StepState.SKIPPED)
            entry = _want(step, resource, ledger)
            if resource.once and entry.state is EntryState.ACTIVE:
                facts.put(step.name, entry.facts)
                return StepResult(step.name, StepState.SUCCEEDED, Reason.SUCCEEDED)
            entry.started_at = entry.started_at or now
            resource = resource.reminded(entry.facts)
            asked = Instant.of(self._clock)
            holder_is_absent = step.within is not None and _is_created(step.within, planned)
            seen = ABSENT if holder_is_absent else await resource.observe(self._world, self._me, entry.intent)
        except NotYet:
            return StepResult(step.name, StepState.PENDING)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            return self._overdue(step, entry, failed_step(step.name, error))
        found = self._decide(_Looked(step, resource, entry, seen, asked), facts, planned)
        if planned and planned[-1].result is found:
            try:
                if takes_over(planned[-1].action):
                    await resource.check_takeover(self._world, self._me, seen.owner)
                if step.before is not None and isinstance(planned[-1].action, Create):
                    await step.before()
            except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
                planned.pop()
                found = failed_step(step.name, error)
        writing = bool(planned) and planned[-1].result is found
        result = self._overdue(step, entry, found, entry.refused if writing else "")
        if result is not found and writing:
            planned.pop()  # what is given up is not begun
        return result

    def _announce(self, step: Step[World], ledger: Ledger, facts: Facts) -> StepResult:
        if step.announce:
            try:
                resource = step.resource(facts)
            except Exception:  # noqa: BLE001 - its turn will tell
                resource = None
            if resource is not None:
                _want(step, resource, ledger)
        return StepResult(step.name, StepState.PENDING)

    def _decide(self, looked: _Looked[World], facts: Facts, planned: list[Attempt[World]]) -> StepResult:
        step, resource, entry, seen = looked.step, looked.resource, looked.entry, looked.seen
        decided = Instant.of(self._clock)
        now, digest = decided.wall, resource.digest()
        note_presence(entry, seen, now)
        memory = memory_of(resource, entry, self._me, looked.asked, decided, self._world)
        action = decide(seen, step.policy, memory)
        result = StepResult(step.name, StepState.RUNNING, seen=seen)
        match action:
            case Done():
                entry.reached(seen, "" if seen.interim else digest, now)
                facts.put(step.name, entry.facts)
                result.state, result.reason = StepState.SUCCEEDED, Reason.SUCCEEDED
            case Report(fields):
                entry.reached(seen, entry.digest or digest, now)
                facts.put(step.name, entry.facts)
                result.state, result.reason, result.drifted = StepState.SUCCEEDED, Reason.DRIFTED, fields
                result.message = f"differs and is left so: {', '.join(fields)}"
            case Wait(message, reason, after):
                result.message, result.reason, result.after = message, reason, after
            case Fail(reason, message):
                result.state, result.reason, result.message = StepState.FAILED, reason, message
                result.error = FailedError(message, reason=reason)
            case Create() | Update():
                planned.append(Attempt(resource, entry, result, entry.intent, seen, action, step.gate))
                result.message = "being created" if isinstance(action, Create) else "being brought in line"
                if isinstance(action, Update) and not memory.changed:
                    result.drifted = action.fields
        if seen.paused and isinstance(action, Done | Wait):
            result.reason = Reason.PAUSED
        return result

    def _overdue(self, step: Step[World], entry: Entry | None, result: StepResult, refused: str = "") -> StepResult:
        """A wait has a deadline and a named cause. What was done has had its end (`reached`), and its time anew.

        `refused`: why the last attempt failed at what would be tried once more.
        What has come to its good end has not failed, however late we saw it: after a pause, or with no operator there.
        """
        waiting = result.state in (StepState.RUNNING, StepState.WAITING)
        if waiting and entry is not None:
            entry.finished_at = None
        spent = age(entry.started_at, self._clock.now()) if entry is not None else None
        deadline, reason = step.deadline, step.overdue
        if step.outage is not None and isinstance(result.error, ExternalServiceError):
            deadline, reason = step.outage, Reason.EXTERNAL_SERVICE_ERROR
        if not waiting or deadline is None or spent is None or spent < deadline:
            return result
        if result.seen is not None and result.seen.proving:
            return result
        cause = result.message
        if result.seen is not None and not result.seen.exists and result.seen.message:
            cause = result.seen.message  # and not that it is about to be made once more
        text = f"not done after {deadline.total_seconds():g} s: {refused or cause or 'no cause is known'}"
        error = FailedError(text, reason=reason, fault=fault_of(result.error) or Fault.USER)
        return StepResult(step.name, StepState.FAILED, reason, text, error=error, seen=result.seen)

    async def _act(self, planned: list[Attempt[World]], save: Save) -> bool:
        """Act in order, up to the first failure of a gate. True when the ledger knows more now than was saved."""
        learned = False
        for item in planned:
            item.entry.attempts += 1
        window = Window(self._clock, save)
        for index, item in enumerate(planned):
            try:
                await window.open(partial(self._intend, planned[index:]))
            except SavesTooSlow as error:
                not_written(item, error)
                put_off(planned[index + 1 :])
                return learned
            creating = isinstance(item.action, Create)
            write = self._lifecycle.create_resource if creating else self._lifecycle.update_resource
            item.result.written = await write(item)
            if item.gate and not item.result.written:
                put_off(planned[index + 1 :])
                return learned
            learned = learned or (item.result.written and item.resource.blind and not creating)
        return learned

    def _intend(self, planned: list[Attempt[World]]) -> None:
        now = self._clock.now()
        for item in planned:
            op = "create" if isinstance(item.action, Create) else "update"
            preimage = item.before.preimage if item.before is not None else item.seen.preimage
            item.entry.doubt(item.before, again=op == "create")
            item.entry.intent = Intent(op=op, at=now, digest=item.resource.digest(), preimage=preimage)
            if op == "create":
                item.entry.seen, item.entry.absent_since = False, None


def _is_created(step: str, planned: Sequence[Attempt[Any]]) -> bool:
    """Whether this pass has found the thing of a step absent, and makes it before all that comes after it."""
    return any(each.result.step == step and isinstance(each.action, Create) for each in planned)


def _as_it_was(step: Step[Any], entry: Entry | None, facts: Facts) -> StepResult:
    """What a paused step comes to, by what was last known of its thing."""
    if entry is not None and entry.state is EntryState.ACTIVE and entry.started_at is None:
        facts.put(step.name, entry.facts)
        return StepResult(step.name, StepState.SUCCEEDED, Reason.PAUSED, "paused")
    return StepResult(step.name, StepState.RUNNING, Reason.PAUSED, "paused before it was as wanted")


def _comes_by_itself(step: Step[Any], ledger: Ledger) -> bool:
    """Its deadline does not run yet while what makes it is only about to begin."""
    entry = ledger.current(step.name)
    return step.announce and (entry is None or entry.state is not EntryState.ACTIVE)


def _want(step: Step[World], resource: Resource[World], ledger: Ledger) -> Entry:
    before = ledger.current(step.name)
    value = before.value if before is not None else None
    entry = ledger.want(step.name, resource, leaves=step.policy.drift is DriftPolicy.REPORT)
    if step.anew and entry.value != value:
        entry.started_at = None
    entry.shared, entry.rank = step.shared, step.rank
    entry.policy = _policy_value(step.policy)
    return entry


def _policy_value(policy: EffectivePolicy) -> dict[str, Any]:
    """What differs from the defaults, which `policy_of` knows: the API server pays for each value in a status anew."""
    said: dict[str, Any] = {}
    if policy.deletion is not DeletionPolicy.DELETE:
        said["deletion"] = policy.deletion.value
    if policy.management != frozenset(ManagementPolicy):
        said["management"] = sorted(item.value for item in policy.management)
    return said
