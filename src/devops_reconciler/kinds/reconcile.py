"""One pass over one object: what is common to all kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from ..api.base import Components, EffectivePolicy, IngressComponents, Mode
from ..api.conditions import Condition, Reason
from ..api.deployment_record import StepState
from ..api.errors import ReconcilerError, SecretNotFoundError, Waiting
from ..api.status import ResourceStatus
from ..engine.conditions import (
    CREDENTIALS_READY,
    FORCE_DELETED,
    READY,
    SUSPENDED,
    Conditions,
    say,
    say_replaced,
    summarise,
)
from ..engine.ledger import Entry, EntryState, Ledger
from ..engine.letting_go import let_go
from ..engine.lifecycle import ResourceLifecycleManager, release
from ..engine.outcome import Outcome, StepResult, failed_step
from ..engine.pipeline import Pipeline
from ..engine.window import Save
from ..inputs.plan import Plan
from ..inputs.subject import (
    FORCE_ANNOTATION,
    PAUSED_ANNOTATION,
    REQUESTED_ANNOTATION,
    Subject,
    mark_for,
    parse_spec,
    parse_status,
)
from ..resources.belonging import NOT_OF_THIS, is_foreign
from ..resources.catalog import ANSWERS_ITSELF, REMOVALS
from ..resources.world import World, note_home
from ..services.kubernetes import DEVOPS_PROJECT, INGRESS_RESOURCE
from .cleanup import has_failed
from .kind import KindOfResource
from .left_behind import Asked, asked, keep, thing_of
from .planning import plan_of, say_planned

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T", bound=ResourceStatus)

SOON = timedelta(milliseconds=5)
"""Pause after a pass that wrote something: what was written is looked at again at once."""
RETIRED_STATES = (EntryState.RETIRED, EntryState.CLEANUP_FAILED)
"""Of what is no longer wanted, and not yet proven gone."""
TOO_SHORT_TO_TELL = timedelta(seconds=10)
"""A new object that waits says so only when that takes longer: most waits are over before."""
WITH_COMPONENTS: dict[str, type[BaseModel]] = {
    DEVOPS_PROJECT.kind: Components,
    INGRESS_RESOURCE.kind: IngressComponents,
}
"""The kinds whose components have policies of their own: such an object is paused when all of them are."""
CAUSE_LIMIT = 700
"""Characters of a cause that stand before the way out."""


class Store(Protocol):
    """Where the status goes."""

    async def save(self, fields: Mapping[str, Any]) -> None:
        """Write the fields that differ from what is there, under a resourceVersion precondition.

        Nothing is written when nothing differs. Raises ConflictError when the object has changed meanwhile.
        """


@dataclass(frozen=True)
class Context:
    """What a pass needs besides the object."""

    world: World
    store: Store
    confirmed: Callable[[str], int]
    """The last heartbeat of a record (by UID) that the broker has confirmed."""
    kinds: Mapping[str, KindOfResource] = field(default_factory=dict)
    """All kinds, by name."""


@dataclass
class Verdict:
    """What a pass came to. `after` None: nothing to do until something wakes the object."""

    after: timedelta | None = None
    on_time: bool = False
    """`after` ends at a moment that was fixed before, such as an expiry: it is not lengthened."""
    released: bool = False
    """For an object under deletion: nothing of it is left outside, it may go."""
    results: list[StepResult] = field(default_factory=list)
    transitions: list[Condition] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    """What a forced deletion has let go with this pass."""


class Reconciliation(Generic[S, T]):
    """One pass. Kinds with a life of their own (projects, records) extend it."""

    def __init__(self, context: Context, what: KindOfResource, obj: dict[str, Any]) -> None:
        self.context = context
        self.world = context.world
        self.what = what
        self.obj = obj
        status: Any = parse_status(what.status, obj)
        self.status = status
        self.ledger = Ledger.load(status.applied)
        release(self.ledger, partial(is_foreign, obj), NOT_OF_THIS)
        self.now = self.world.clock.now()
        self.generation = int(obj["metadata"]["generation"])
        self.me = mark_for(self.world.cluster_id, obj)
        note_home(self.world, obj)
        self.conditions = Conditions(status.conditions, self.generation, self.now)
        self._is_new = not any(entry.state is EntryState.ACTIVE for entry in self.ledger.entries)
        self._failed_before = {id(entry) for entry in self.ledger.entries if has_failed(entry)}

    async def run(self) -> Verdict:
        """Bring the object one step further. Raises ConflictError when somebody else changed it meanwhile."""
        if self.obj["metadata"].get("deletionTimestamp"):
            return await (self.pause() if self.paused == "all" else self.remove())
        try:
            subject = self.subject()
        except ReconcilerError as error:
            return await self.unreadable(failed_step("spec", error))
        if is_paused(self.obj):
            return await self.pause()
        self.conditions.flag(SUSPENDED, None)
        if getattr(subject.spec, "mode", Mode.APPLY) is Mode.PLAN:
            return await self.plan_only()
        return await self.advance(subject)

    def subject(self) -> Subject[S, T]:
        """The object with its spec; raises ValidationError for a spec that cannot be read."""
        spec: Any = parse_spec(self.what.spec, self.obj)
        return Subject(self.what.kind, self.obj, spec, self.status, self.me)

    async def unreadable(self, failure: StepResult) -> Verdict:
        """The spec cannot be read."""
        return await self.conclude(Plan(()), Outcome(results=[failure]))

    @property
    def age(self) -> timedelta:
        """Since the object was created, never negative."""
        created = datetime.fromisoformat(self.obj["metadata"]["creationTimestamp"])
        return max(timedelta(0), self.now - created)

    @property
    def paused(self) -> str | None:
        """The annotation that pauses: `true`, or `all` for the deletion as well."""
        return pause_of(self.obj)

    async def pause(self) -> Verdict:
        """Nothing is written outside; what was Ready stays so."""
        return await self.say_paused()

    async def say_paused(self, missing: Sequence[StepResult] = ()) -> Verdict:
        """`missing`: of what is to be paused with it, and is not yet."""
        text = "paused: nothing is changed until it is resumed"
        if missing:
            text = f"paused, but not yet passed on to {'; '.join(map(say, missing))}"
        if self.conditions.get(READY) is None:
            self.conditions.progressing("paused before anything was done", Reason.PAUSED, retrying=False)
        self.conditions.flag(SUSPENDED, Reason.PAUSED, text)
        await self.save({})
        # While Kopf waits for a deletion, it tells of no change to the object: the end of the pause is looked for.
        deleting = bool(self.obj["metadata"].get("deletionTimestamp"))
        after = self.world.settings.retry_external_delay if deleting else None
        return Verdict(after=after, transitions=self.conditions.transitions)

    async def plan_only(self) -> Verdict:
        """List every call that applying would make; write nothing."""
        calls = await self.planned_calls()
        say_planned(self.conditions, calls)
        await self.save({"plan": calls, "observedGeneration": self.generation, **self.acknowledged()})
        return Verdict(after=self.world.settings.poll_interval, transitions=self.conditions.transitions)

    async def planned_calls(self) -> list[dict[str, Any]]:
        return await plan_of(self.world, self.what, self.obj)

    async def advance(self, subject: Subject[S, T]) -> Verdict:
        try:
            plan = await self.what.plan(self.world, subject)
        except Exception as error:  # noqa: BLE001 - becomes a condition, an event and a log line
            if isinstance(error, SecretNotFoundError) and self.conditions.get(CREDENTIALS_READY) is not None:
                self.conditions.put(CREDENTIALS_READY, "False", error.reason, error.message)
            return await self.conclude(Plan(()), Outcome(results=[failed_step("spec", error)]))
        pipeline: Pipeline[World] = Pipeline(self.world, self.world.clock, self.me)
        outcome = await pipeline.advance(plan.steps, self.ledger, self.save_intents)
        if self.shows_at_once(outcome):
            learned, outcome = outcome.learned, await pipeline.advance(plan.steps, self.ledger, self.save_intents)
            outcome.learned = outcome.learned or learned
        if outcome.ready:
            await self.clean_retired({**self.what.policies(subject.spec), **plan.policies}, outcome)
        if outcome.only_acted:
            return Verdict(after=SOON, results=outcome.results, transitions=self.conditions.transitions)
        return await self.conclude(plan, outcome)

    def shows_at_once(self, outcome: Outcome) -> bool:
        """Whether this pass looks at what it has done itself: most of a new object is there as soon as it is made.

        Later on the next pass does, so that it is seen apart what had changed and what came of it.
        """
        return outcome.acted and self._is_new and all(result.error is None for result in outcome.results)

    async def clean_retired(self, policies: Mapping[str, EffectivePolicy], outcome: Outcome) -> None:
        """Remove what was replaced, now that its successor is ready.

        What cannot be removed has a condition of its own: it may stay for long, and nobody waits for it.
        """
        if any(map(is_retired, self.ledger.remaining)):
            cleaned = await self.clean_unless_paused(is_retired, policies, self.save_intents)
            outcome.replaced, outcome.gone = cleaned.replaced, not cleaned.replaced
            self.ledger.entries = [e for e in self.ledger.entries if e.state is not EntryState.CLEANED]
        say_replaced(self.conditions, outcome)

    async def clean_unless_paused(
        self,
        which: Callable[[Entry], bool],
        policies: Mapping[str, EffectivePolicy],
        save: Save,
        *,
        all_paused: bool = False,
    ) -> Outcome:
        """One pass of removal over what was replaced; `replaced` of its outcome is what is not gone.

        Of a paused component nothing is removed, nor forgotten for want of the right to remove it.
        """
        steps = {step for step, policy in policies.items() if not policy.management}
        paused = [e for e in self.ledger.remaining if which(e) and (all_paused or e.step in steps)]
        outcome = await self.lifecycle().clean(
            self.ledger, save, policies, only=lambda entry: which(entry) and not any(entry is e for e in paused)
        )
        outcome.replaced = [result for result in outcome.results if not result.done]
        outcome.replaced += [StepResult(e.step, StepState.PENDING, Reason.PAUSED, "paused", entry=e) for e in paused]
        return outcome

    def lifecycle(self) -> ResourceLifecycleManager[World]:
        return ResourceLifecycleManager(self.world, self.world.clock, self.me, REMOVALS)

    async def save_intents(self) -> None:
        """Save the ledger before acting on it; the first save of a generation also says that work has begun."""
        ready = self.conditions.get(READY)
        waited = ready is not None and ready.reason in (Reason.DEPENDENCY_NOT_READY, Reason.PAUSED)
        if ready is None or waited or ready.observed_generation != self.generation:
            self.conditions.progressing("work has begun", Reason.PROGRESSING, retrying=False)
        await self.save({})

    async def conclude(self, plan: Plan, outcome: Outcome) -> Verdict:
        """Conditions and status out of the outcome, saved once; not at all where it may wait to be told."""
        silence = self.silence(outcome)
        if silence > timedelta(0):
            return Verdict(after=min(self.next_look(outcome), silence), results=outcome.all_results)
        settled = summarise(self.conditions, outcome, self.generation)
        plan.conditions(self.conditions, outcome)
        fields = {**plan.fields(outcome), "plan": []} if self.status.plan else plan.fields(outcome)
        if settled:
            fields["observedGeneration"] = self.generation
        await self.save({**fields, **self.acknowledged()})
        after = self.next_look(outcome)
        return Verdict(after=after, results=outcome.all_results, transitions=self.conditions.transitions)

    def acknowledged(self) -> dict[str, Any]:
        """The field that says that a look which was asked for has happened."""
        requested = (self.obj["metadata"].get("annotations") or {}).get(REQUESTED_ANNOTATION)
        return {} if requested is None else {"lastHandledReconcileAt": requested}

    def silence(self, outcome: Outcome) -> timedelta:
        """For how long this outcome may wait to be told: a wait of a new object, that will most likely be over soon."""
        trouble = any(r.error is not None and not isinstance(r.error, Waiting) for r in outcome.results)
        if outcome.ready or outcome.acted or outcome.learned or trouble or outcome.failure is not None:
            return timedelta(0)
        return TOO_SHORT_TO_TELL - self.age

    def next_look(self, outcome: Outcome) -> timedelta:
        """At once after a write, and when what was replaced has gone; else when the resource or the service says; else
        by the kind of trouble."""
        settings = self.world.settings
        if (outcome.acted or outcome.gone) and outcome.failure is None and not any(r.error for r in outcome.results):
            return SOON
        if outcome.failure is not None:
            return settings.poll_interval
        self.date_retries(outcome)
        waiting = (StepState.RUNNING, StepState.WAITING)
        waits = [r.after for r in outcome.all_results if r.after is not None and r.state in waiting]
        return min(waits, default=settings.poll_interval)

    def date_retries(self, outcome: Outcome) -> None:
        """Say when a step that failed is tried again, where its service has not."""
        settings = self.world.settings
        for result in outcome.all_results:
            if result.state is StepState.WAITING and not result.after:
                ours = result.reason is Reason.INTERNAL_ERROR
                result.after = settings.retry_unexpected_delay if ours else settings.retry_external_delay

    async def remove(self) -> Verdict:
        """One pass of removal: from the ledger, in reverse order."""
        outcome = await self.lifecycle().clean(self.ledger, self.save, self.removal_policies())
        return await self.conclude_removal(outcome)

    async def save(self, fields: Mapping[str, Any] | None = None) -> None:
        """Save the ledger, the conditions and `fields`."""
        conditions = [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in self.conditions.list()]
        await self.context.store.save({"conditions": conditions, "applied": self.ledger.dump(), **(fields or {})})

    def removal_policies(self) -> dict[str, EffectivePolicy]:
        """The policies of the current spec by step; empty for a spec that cannot be read (each entry has its own)."""
        try:
            return self.what.policies(self.subject().spec)
        except ReconcilerError:
            return {}

    async def conclude_removal(self, outcome: Outcome) -> Verdict:
        blocking = outcome.blocking
        if blocking is None:
            return await self._release(outcome)
        if self._let_go(outcome):
            await self.save()
            return Verdict(after=SOON, results=outcome.results, transitions=self.conditions.transitions)
        if self.removal_overdue() or blocking.state is StepState.FAILED:
            self.blocked(say(blocking))
        else:
            retrying = blocking.state is StepState.WAITING
            self.conditions.progressing(f"being deleted: {say(blocking)}", Reason.PROGRESSING, retrying=retrying)
        await self.save()
        after = self.next_look_at_removal(outcome, timedelta(seconds=1))
        return Verdict(after=after, results=outcome.results, transitions=self.conditions.transitions)

    def next_look_at_removal(self, outcome: Outcome, shows_in: timedelta) -> timedelta:
        """Soon after something was removed, unless a removal has met an error: it would be tried again as soon."""
        acted_well = outcome.acted and not any(result.error for result in outcome.results)
        return min(shows_in if acted_well else self.next_look(outcome), self.world.settings.retry_external_delay)

    def blocked(self, cause: str) -> None:
        """The deletion does not get on: why, and the way out."""
        metadata = self.obj["metadata"]
        this = f"{self.what.kind.plural} {metadata['name']} -n {metadata['namespace']}"
        self.conditions.stalled(
            Reason.DELETION_BLOCKED,
            f"deletion waits for {cause[:CAUSE_LIMIT]}; it goes on by itself when this is resolved; "
            f"to let go of what cannot be removed: kubectl annotate {this} {FORCE_ANNOTATION}=YOUR-NAME",
        )

    def _let_go(self, outcome: Outcome) -> bool:
        """Whether a forced deletion has let go of something; what it held up is looked at next."""
        if asked(self.obj) is None:
            return False
        left = let_go(
            outcome,
            self._failed_before,
            self.now,
            overdue=self.removal_overdue(),
            may=lambda entry: entry.kind not in ANSWERS_ITSELF,
        )
        return bool(left)

    async def _release(self, outcome: Outcome) -> Verdict:
        """Nothing holds the object any more. What was let go is written down before it goes."""
        left, by = self.ledger.left, asked(self.obj) or Asked("somebody")
        if not left or self.conditions.is_true(FORCE_DELETED):
            return Verdict(released=True, results=outcome.results)
        where = await keep(self.world, self.obj, self.me, left, by)
        names = ", ".join(f"{entry.kind} {entry.key}" for entry in left)
        text = f"deletion was forced by {by}; {len(left)} things may remain, listed in {where}: {names}"
        self.conditions.flag(FORCE_DELETED, Reason.FORCE_DELETED, text)
        await self.save()
        things = [thing_of(entry, self.me) for entry in left]
        return Verdict(released=True, results=outcome.results, transitions=self.conditions.transitions, left=things)

    def removal_overdue(self) -> bool:
        since = datetime.fromisoformat(self.obj["metadata"]["deletionTimestamp"])
        return self.now - since > self.world.settings.cleanup_timeout


def pause_of(obj: Mapping[str, Any]) -> str | None:
    """What the annotation that pauses says."""
    return (obj["metadata"].get("annotations") or {}).get(PAUSED_ANNOTATION)


def is_paused(obj: Mapping[str, Any]) -> bool:
    """By `spec.suspend`, by an empty list of management policies, or by the annotation."""
    return bool((obj.get("spec") or {}).get("suspend")) or _may_nothing(obj) or pause_of(obj) in ("true", "all")


def _may_nothing(obj: Mapping[str, Any]) -> bool:
    """Whether the list of management policies is empty; of a kind with components, that which counts for each."""
    spec = obj.get("spec") or {}
    lists = [spec.get("managementPolicies")]
    if (components := WITH_COMPONENTS.get(str(obj.get("kind")))) is not None:
        own = [(spec.get("components") or {}).get(name) or {} for name in components.model_fields]
        lists = [lists[0] if each.get("managementPolicies") is None else each["managementPolicies"] for each in own]
    return all(each == [] for each in lists)


def is_retired(entry: Entry) -> bool:
    """No longer wanted, and not yet proven gone."""
    return entry.state in RETIRED_STATES
