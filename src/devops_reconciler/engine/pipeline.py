"""One pass over the ordered steps of an object: observe, decide, save the intents, act.

The order inside a pass is the crash-safety of the product: whatever is written outside was saved before, under a
resourceVersion precondition, so that a second replica or a stale pass loses its save and never gets to act.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic

from ..api.base import EffectivePolicy
from ..api.conditions import Reason
from ..api.deployment_record import StepState
from ..api.errors import ExternalServiceError, FailedError, ReconcilerError, Waiting, fault_of
from ..api.faults import Fault
from ..runtime.clock import Clock
from .audited import writing
from .decide import Create, Done, Fail, Memory, Report, Tried, Update, Wait, decide, takes_over
from .ledger import Entry, EntryState, Ledger, age, known_facts
from .resource import Intent, Observation, Resource, World

ACT_WITHIN = 5.0
"""Seconds after a save within which its intents may be acted on (else they are saved again)."""

SAVES = 3
"""How often intents are saved at most before one is acted on: an API server so slow is left alone for this pass."""

Save = Callable[[], Awaitable[None]]
"""Saves the ledger (and the rest of the status) under a resourceVersion precondition; raises when that fails."""


class NotYet(Exception):
    """A step needs the facts of an earlier one that has none yet."""


class Facts:
    """Facts of the steps that are done, by step."""

    def __init__(self) -> None:
        self._facts: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, step: str) -> Mapping[str, Any]:
        if step not in self._facts:
            raise NotYet(step)
        return self._facts[step]

    def get(self, step: str) -> Mapping[str, Any] | None:
        return self._facts.get(step)

    def put(self, step: str, facts: Mapping[str, Any]) -> None:
        self._facts[step] = facts


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
    shared: bool = False
    rank: int = 0
    announce: bool = False
    """Enter it into the ledger before its turn: it may come to be through an earlier step."""


@dataclass
class StepResult:
    """What one pass found for one step."""

    step: str
    state: StepState
    reason: Reason = Reason.PROGRESSING
    message: str = ""
    after: timedelta | None = None
    error: Exception | None = None
    seen: Observation | None = None
    drifted: tuple[str, ...] = ()
    entry: Entry | None = None
    """Of a removal: what it is about."""


@dataclass
class Outcome:
    """The result of a pass, the only source of conditions. `after` None: nothing is left to do."""

    results: list[StepResult] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    acted: bool = False
    learned: bool = False
    """An act has put something into the ledger that no later look can tell (the value of a blind update)."""

    @property
    def ready(self) -> bool:
        return all(r.state in (StepState.SUCCEEDED, StepState.SKIPPED) for r in self.results)

    @property
    def failure(self) -> StepResult | None:
        return next((r for r in self.results if r.state is StepState.FAILED), None)

    @property
    def blocking(self) -> StepResult | None:
        """The first step that is neither done nor skipped."""
        return next((r for r in self.results if r.state not in (StepState.SUCCEEDED, StepState.SKIPPED)), None)

    @property
    def only_acted(self) -> bool:
        """All that this pass has come to is what it did: saved as intents before, and seen by a look right after."""
        return self.acted and not self.learned and all(r.error is None for r in self.results)


@dataclass
class _Planned(Generic[World]):
    step: Step[World]
    resource: Resource[World]
    entry: Entry
    action: Create | Update
    seen: Observation
    result: StepResult
    before: Intent | None
    """What had been tried before: it counts again when this attempt surely had no effect."""


@dataclass(frozen=True)
class _Looked(Generic[World]):
    step: Step[World]
    resource: Resource[World]
    entry: Entry
    seen: Observation
    asked: datetime
    """When the look was sent: of what was done later it cannot tell."""


class SavesTooSlow(ExternalServiceError):
    """Saving takes so long that an intent is too old to act on as soon as it is saved."""

    def __init__(self) -> None:
        super().__init__(
            f"Kubernetes took longer than {ACT_WITHIN:g} s to save the status, so nothing was done; "
            "it is tried again when the API server answers faster",
            service="kubernetes",
            maybe_applied=False,
        )


class Window:
    """The time after a save within which its intents may be acted on, counted from before the save."""

    def __init__(self, clock: Clock, save: Save) -> None:
        self._clock = clock
        self._save = save
        self._since = float("-inf")

    async def open(self, intend: Callable[[], None]) -> None:
        """Save anew (`intend` dates the intents) unless the last save is recent enough to act now.

        Raises SavesTooSlow when it never is, and what the save raises.
        """
        for _ in range(SAVES):
            if self._clock.monotonic() - self._since <= ACT_WITHIN:
                return
            self._since = self._clock.monotonic()
            intend()
            await self._save()
        if self._clock.monotonic() - self._since > ACT_WITHIN:
            raise SavesTooSlow


class Pipeline(Generic[World]):
    """Runs the steps of one object. Holds no state of its own: everything is in the ledger."""

    def __init__(self, world: World, clock: Clock, me: str) -> None:
        self._world = world
        self._clock = clock
        self._me = me

    async def advance(self, steps: Sequence[Step[World]], ledger: Ledger, save: Save) -> Outcome:
        """One pass. Raises only what `save` raises; every other failure is in the outcome."""
        outcome = Outcome()
        planned: list[_Planned[World]] = []
        held = False
        for step in steps:
            if held or (planned and _comes_by_itself(step, ledger)):
                outcome.results.append(self._announce(step, ledger, outcome.facts))
                held = held or step.gate
                continue
            result = await self._look(step, ledger, outcome.facts, planned)
            outcome.results.append(result)
            done = result.state in (StepState.SUCCEEDED, StepState.SKIPPED)
            writing = bool(planned) and planned[-1].result is result
            held = step.gate and not done and not writing
        if steps:  # no steps at all are no wish: nothing is retired because of them
            ledger.follow([step.name for step in steps])
        if planned:
            outcome.acted = True
            outcome.learned = await self._act(planned, save)
        return outcome

    async def _look(
        self, step: Step[World], ledger: Ledger, facts: Facts, planned: list[_Planned[World]]
    ) -> StepResult:
        now = self._clock.now()
        entry = ledger.current(step.name)
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
            asked = self._clock.now()
            seen = await resource.observe(self._world, self._me, entry.intent)
        except NotYet:
            return StepResult(step.name, StepState.PENDING)
        except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
            return self._overdue(step, entry, failed_step(step.name, error))
        found = self._decide(_Looked(step, resource, entry, seen, asked), facts, planned)
        if planned and planned[-1].result is found and takes_over(planned[-1].action):
            try:
                await resource.check_takeover(self._world, self._me, seen.owner)
            except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
                planned.pop()
                found = failed_step(step.name, error)
        result = self._overdue(step, entry, found)
        if result is not found and planned and planned[-1].result is found:
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

    def _decide(self, looked: _Looked[World], facts: Facts, planned: list[_Planned[World]]) -> StepResult:
        step, resource, entry, seen = looked.step, looked.resource, looked.entry, looked.seen
        now = self._clock.now()
        digest = resource.digest()
        note_presence(entry, seen, now)
        memory = memory_of(resource, entry, self._me, looked.asked, self._world)
        action = decide(seen, step.policy, memory)
        result = StepResult(step.name, StepState.RUNNING, seen=seen)
        match action:
            case Done():
                entry.reached(seen, digest, now)
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
                planned.append(_Planned(step, resource, entry, action, seen, result, entry.intent))
                result.message = "being created" if isinstance(action, Create) else "being brought in line"
                if isinstance(action, Update) and not memory.changed:
                    result.drifted = action.fields
        return result

    def _overdue(self, step: Step[World], entry: Entry | None, result: StepResult) -> StepResult:
        """A wait has a deadline and a named cause. What was done has had its end (`reached`), and its time anew."""
        waiting = result.state in (StepState.RUNNING, StepState.WAITING)
        if waiting and entry is not None:
            entry.finished_at = None
        spent = age(entry.started_at, self._clock.now()) if entry is not None else None
        if not waiting or step.deadline is None or spent is None or spent < step.deadline:
            return result
        text = f"not done after {step.deadline.total_seconds():g} s: {result.message or 'no cause is known'}"
        error = FailedError(text, reason=step.overdue, fault=fault_of(result.error) or Fault.USER)
        return StepResult(step.name, StepState.FAILED, step.overdue, text, error=error, seen=result.seen)

    async def _act(self, planned: list[_Planned[World]], save: Save) -> bool:
        """Act in order, up to the first failure. True when the ledger knows more now than was saved."""
        learned = False
        for item in planned:
            item.entry.attempts += 1
        window = Window(self._clock, save)
        for index, item in enumerate(planned):
            try:
                await window.open(partial(self._intend, planned[index:]))
            except SavesTooSlow as error:
                self._failed(planned, index, error)
                return learned
            try:
                with writing(item.resource, item.seen, item.action):
                    if isinstance(item.action, Create):
                        await item.resource.create(self._world, self._me, item.seen)
                    else:
                        await item.resource.update(self._world, self._me, item.seen)
            except Exception as error:  # noqa: BLE001 - becomes a result, hence a condition, an event and a log line
                self._failed(planned, index, error)
                return learned
            if item.resource.blind:
                item.entry.digest = item.resource.digest()
                learned = learned or isinstance(item.action, Update)
        return learned

    def _intend(self, planned: list[_Planned[World]]) -> None:
        now = self._clock.now()
        for item in planned:
            op = "create" if isinstance(item.action, Create) else "update"
            preimage = item.before.preimage if item.before is not None else item.seen.preimage
            item.entry.doubt(item.before, again=op == "create")
            item.entry.intent = Intent(op=op, at=now, digest=item.resource.digest(), preimage=preimage)
            if op == "create":
                item.entry.seen, item.entry.absent_since = False, None

    def _failed(self, planned: list[_Planned[World]], index: int, error: Exception) -> None:
        """What surely had no effect is no attempt: what was tried before counts again, and nothing waits for it.

        But an intent with a preimage stays: a part of the work may be done (the value, not yet the mark), and the
        preimage alone tells whose it is.
        """
        failed = planned[index]
        outcome = failed_step(failed.step.name, error)
        failed.result.state, failed.result.reason = outcome.state, outcome.reason
        failed.result.message, failed.result.after, failed.result.error = outcome.message, outcome.after, error
        intent = failed.entry.intent
        if not maybe_applied(error) and (intent is None or intent.preimage is None):
            failed.entry.intent = failed.before
        for later in planned[index + 1 :]:
            later.entry.intent = later.before
            later.result.state, later.result.message = StepState.PENDING, ""


def _comes_by_itself(step: Step[Any], ledger: Ledger) -> bool:
    """Its deadline does not run yet while what makes it is only about to begin."""
    entry = ledger.current(step.name)
    return step.announce and (entry is None or entry.state is not EntryState.ACTIVE)


def failed_step(step: str, error: Exception) -> StepResult:
    """The result that an error means for its step."""
    if isinstance(error, Waiting):
        return StepResult(step, StepState.RUNNING, error.reason, error.message, error.after, error)
    if isinstance(error, ExternalServiceError):
        return StepResult(step, StepState.WAITING, error.reason, error.message, error.after, error)
    if isinstance(error, ReconcilerError):
        return StepResult(step, StepState.FAILED, error.reason, error.message, error=error)
    text = f"unexpected {type(error).__name__}; the log has the traceback"
    return StepResult(step, StepState.WAITING, Reason.INTERNAL_ERROR, text, error=error)


def maybe_applied(error: Exception) -> bool:
    """Whether a write that ended with this error may have had its effect."""
    if isinstance(error, ExternalServiceError):
        return error.maybe_applied
    return not isinstance(error, ReconcilerError)


def memory_of(resource: Resource[World], entry: Entry, me: str, asked: datetime, world: World) -> Memory:
    """What `decide` may know of the past of a thing, as of when it was asked for: an answer may take its time."""
    digest = resource.digest()
    intent, applied, tried = entry.intent, entry.digest, None
    if intent is not None:
        tried = Tried(intent.op, age(intent.at, asked) or timedelta(0), intent.digest == digest)
        if intent.op == "create":
            applied = intent.digest  # it was absent: if it is there now, this value made it
        elif intent.digest != applied:
            applied = ""  # perhaps written, perhaps not
    return Memory(
        me=me,
        settle=resource.settles_in(world),
        arrival=resource.arrives_in(world),
        tried=tried,
        doubt=age(entry.doubted_at, asked),
        changed=applied != digest,
        blind=resource.blind,
        once=resource.once,
        seen=entry.seen,
        ended=bool(entry.digest),
        absent_for=age(entry.absent_since, asked),
        owned_by_mark=resource.owned_by_mark,
        made_elsewhere=resource.made_elsewhere,
        repeatable=resource.repeatable,
    )


def note_presence(entry: Entry, seen: Observation, now: datetime) -> None:
    """Keep since when it is there or missing."""
    if seen.exists:
        entry.seen = True
        entry.absent_since = None
        entry.external_id = seen.external_id or entry.external_id
        entry.url = seen.url or entry.url
        if not seen.ready and seen.facts:
            entry.facts = known_facts(seen)
    elif (entry.seen or entry.made_elsewhere) and entry.absent_since is None:
        entry.absent_since = now


def _want(step: Step[World], resource: Resource[World], ledger: Ledger) -> Entry:
    entry = ledger.want(step.name, resource)
    entry.shared, entry.rank = step.shared, step.rank
    entry.policy = _policy_value(step.policy)
    return entry


def _policy_value(policy: EffectivePolicy) -> dict[str, Any]:
    return {"deletion": policy.deletion.value, "management": sorted(item.value for item in policy.management)}
