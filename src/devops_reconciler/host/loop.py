"""The pass over an object as the host runs it: read (unless it rests), reconcile, report, say when to come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from ..api.conditions import Condition, Reason
from ..api.deployment_record import StepState
from ..kinds import KINDS, Context, Verdict, reconciliation
from ..resources.believing import not_credible
from ..resources.world import World, forget_home
from ..runtime.audit_context import acting_for
from ..runtime.logs import get_logger
from ..runtime.metrics import Metrics
from ..runtime.tracing import NO_ORIGIN, Origin
from ..runtime.urgency import Tenant, Urgency
from ..runtime.waiting import first_of
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from ..services.kubernetes_kinds import Kind
from .copies import Copies
from .delivery import Delivery, end_of, result_of
from .errors import INTERNAL, ReconcilerErrorHandler
from .finalizers import Finalizers, is_held
from .first_look import FIRST_LOOK, Met, is_at_work, met, spread
from .index import Index, key_of
from .namespaces import Namespaces
from .newcomers import Newcomers
from .queue import Key, WorkQueue
from .reports import report
from .requesters import Requesters
from .rest import Looked, Rest
from .store import StatusStore
from .tally import Tally, outcome_of
from .traces import Traces, origin_of

JITTER = 0.1
"""Waits are lengthened by up to this share, so that objects do not come in step."""

_log = get_logger(__name__)


class Outbox(Protocol):
    """Where heartbeats go (the heartbeat sender)."""

    def offer(self, uid: str, outbox: Sequence[Mapping[str, Any]], origin: Origin = NO_ORIGIN) -> None: ...

    def confirmed(self, uid: str) -> int: ...

    def forget(self, uid: str) -> None: ...

    def forget_all(self) -> None: ...


class Loop:
    """Runs the passes of all objects over one queue."""

    def __init__(self, world: World, outbox: Outbox, metrics: Metrics) -> None:
        self._world = world
        self._outbox = outbox
        self._metrics = metrics
        self._tally = Tally(metrics)
        self._delivery = Delivery(metrics)
        self._errors = ReconcilerErrorHandler(world.settings, metrics)
        self.index = Index()
        self.namespaces = Namespaces(world.kubernetes, world.settings)
        self._requesters = Requesters()
        self._traces = Traces()
        self._copies = Copies(world.clock)
        self._newcomers = Newcomers()
        self._finalizers = Finalizers(world.kubernetes, world.clock, world.settings.retry_external_delay)
        self._rest = Rest(world, self._copies, outbox.confirmed)
        self.queue = WorkQueue(self._run, world.settings.max_concurrent_reconciles, work_of=self._work_of)
        metrics.watch_queue("objects", self.queue.oldest)
        metrics.watch_queue("deployments", self._oldest_wait)
        self._listing = False
        """A term begins, and what is there is being listed."""
        self._released: dict[Key, asyncio.Event] = {}
        self._uids: dict[Key, str] = {}
        self._own: dict[Key, str] = {}
        self._told: dict[Key, str] = {}
        self._current: dict[Key, str] = {}
        """UID of the object that a key means now."""

    def _oldest_wait(self) -> float:
        """Who does not act is not told how the deployments go on that it knows of."""
        return self.index.oldest_wait(self._world.clock.now()) if self.queue.is_open else 0.0

    # Terms of the Lease

    async def take_over(self) -> None:
        """Begin to act: work in flight at once, the rest spread out so that there is no herd, what is over never.

        Raises ReconcilerError where the objects cannot be listed; passes have not begun then. A namespace that refuses
        us is left out, until `look_round` finds that it lets us in.
        """
        self._copies.clear()
        found: dict[str, list[Met]] = {}

        async def visit(namespace: str) -> None:
            found[namespace] = await self._met(namespace)

        self._listing = True
        try:
            await self.namespaces.each(visit)
        finally:
            self._listing = False
        listed = [one for each in found.values() for one in each]
        missed = self.queue.open()
        for key in missed - {one.key for one in listed}:
            self.queue.wake(key)  # it came to be after the listing
        self._begin_with(listed, set(found), missed)

    async def look_round(self) -> None:
        """Make Kopf's peering where it is missing, and begin in the namespaces that let us in again.

        Raises ReconcilerError where the API server cannot be asked, or refuses all.
        """

        async def visit(namespace: str) -> None:
            await self.namespaces.ensure_peering(namespace)
            if namespace in self.namespaces.refusals:
                self._begin_with(await self._met(namespace), {namespace})

        await self.namespaces.each(visit)

    def _begin_with(self, listed: Sequence[Met], where: Set[str], woken: Set[Key] = frozenset()) -> None:
        """Wake what was listed in these namespaces, and what is known there and was not: a pass finds it gone."""
        unlisted = self._told.keys() - {one.key for one in listed} - woken
        quiet, over, at_once = [key for key in unlisted if key.namespace in where], 0, 0
        for one in sorted(listed, key=lambda one: one.key.kind != DEPLOYMENT_RECORD.kind):
            if one.work or self._told.get(one.key, one.version) != one.version:
                self.queue.wake(one.key)
                at_once += 1
            elif one.over:
                over += 1
            else:
                quiet.append(one.key)
            self._told[one.key], self._current[one.key] = one.version, one.uid
        for key, after in spread(quiet, self._world.settings.start_spread):
            self.queue.wake(key, after)
        _log.info("the objects are looked at", at_once=at_once, later=len(quiet), over=over)

    async def _met(self, namespace: str) -> list[Met]:
        return [one for kind in FIRST_LOOK for one in await self._world.kubernetes.kept(kind, namespace, self._meet)]

    def _meet(self, obj: dict[str, Any]) -> Met:
        """What is kept of an object that is there when a term begins: the objects together may be too large.

        One that cannot be read must not hold up the others. It has a pass at once, which tells what is wrong with it.
        """
        try:
            self._note(obj)
            return met(key_of(obj), obj, self._world.clock.now())
        except Exception as error:  # noqa: BLE001 - becomes a log line and a metric, and its pass tells it
            self._note_unreadable(obj, error)
            metadata = obj["metadata"]
            return Met(key_of(obj), str(metadata["resourceVersion"]), str(metadata["uid"]), work=True, over=False)

    def _note(self, obj: dict[str, Any], *, deleted: bool = False) -> bool:
        """Remember what is told of an object. Gives whether others may have to do with the change."""
        self._requesters.note(obj, deleted=deleted)
        self._traces.note(obj)
        return self.index.note(obj, deleted=deleted)

    async def stand_down(self, within: timedelta) -> None:
        """Begin no more passes, let those that run end within this time, and send no more heartbeats."""
        await self.queue.close(within)
        self._copies.clear()
        self._newcomers.clear()
        self._finalizers.clear()
        self.namespaces.refusals.clear()
        self._uids.clear()
        self._outbox.forget_all()
        self._world.breakers.conceal()

    def made(self, record: dict[str, Any]) -> None:
        """A message has made a record. Where we act it is known at once; who acts elsewhere has it from the watch.

        One that is made while a term begins is in no list any more, and the watch, which lists anew, comes to it last.
        """
        if self.queue.is_open or self._listing:
            self.noticed(record, deleted=False)

    # What Kopf tells

    def noticed(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """An event of the watch. Our own saves wake only others, not the object itself.

        Kopf tells a deletion twice, and everything again after a pause: a version that was told is no news.
        """
        key, version = key_of(obj), obj["metadata"]["resourceVersion"]
        if deleted and self._current.get(key, obj["metadata"]["uid"]) != obj["metadata"]["uid"]:
            return  # Kopf works on objects side by side: its successor of the same name was told of before
        if not deleted:
            if self._told.get(key) == version:
                return
            self._current[key] = obj["metadata"]["uid"]
            if not self.queue.is_open:
                self._copies.forget(key)  # who does not act has no use for copies: a term begins with none
            elif self._copies.learn(obj) and self._own.get(key) != version:
                self._copies.doubt(key)
            if is_held(obj) and not obj["metadata"].get("deletionTimestamp"):
                self._finalizers.forget(key)
        self._told[key] = version
        for other in self._concerned(obj, deleted=deleted):
            if key.kind == DEPLOYMENT_RECORD.kind:
                self._copies.doubt(other)  # there may be records to prune
            self.queue.wake(other)
        if deleted:
            self._gone(key)
        elif not is_held(obj):
            self.queue.wake(key, self._finalizers.patience(key, obj))
        elif self._own.get(key) != version:
            if self.queue.is_open:
                self._newcomers.note(key, obj)
            self.queue.wake(key)

    def _concerned(self, obj: dict[str, Any], *, deleted: bool) -> list[Key]:
        """Which others may have to do with what is told. One that cannot be read is looked at all the same."""
        try:
            return self.index.concerned(obj) if self._note(obj, deleted=deleted) else []
        except Exception as error:  # noqa: BLE001 - becomes a log line and a metric, and its pass tells it
            self._note_unreadable(obj, error)
            return []

    def _note_unreadable(self, obj: dict[str, Any], error: Exception) -> None:
        text = "what is told of an object cannot be read; its pass tells more"
        _log.error(text, object=str(key_of(obj)), exc_info=error)
        self._metrics.internal_errors.labels("loop").inc()

    def application_changed(self, project: str, environment: str) -> None:
        """Argo CD tells of a change to the application of an environment."""
        now = self._world.clock.now()
        for namespace in self._world.settings.reconciler_namespaces:
            for key in self.index.of_application(namespace, project, environment, now):
                self.queue.wake(key)

    async def wait_released(self, obj: dict[str, Any], within: timedelta) -> bool:
        """Until nothing of the object is left outside: then its finalizer may go. False where that takes longer."""
        key = key_of(obj)
        event = self._released.setdefault(key, asyncio.Event())
        self._copies.doubt(key)
        self.queue.wake(key)
        await first_of(event.wait(), self._world.clock.sleep(within))
        if event.is_set():
            self._released.pop(key, None)
        return event.is_set()

    def heartbeat_confirmed(self, uid: str, sequence: int) -> None:
        """The broker has a heartbeat. A finished record is woken, to clear its outbox."""
        for key, known in self._uids.items():
            if known == uid:
                self.queue.wake(key, timedelta(seconds=1))
                return

    def expire_due(self) -> int:
        """Wake the previews whose time is over, unless they wait for their turn to expire; how many."""
        waits = self._world.expiries.waits
        due = [key for key in self.index.expired(self._world.clock.now()) if not waits(self._current.get(key, ""))]
        for key in due:
            self.queue.wake(key)
        return len(due)

    # The pass

    async def _run(self, key: Key) -> timedelta | None:
        with self._traces.passing(key) as span:
            outcome, after = await self._judged(key)
            span.note({"freeleaps.outcome": outcome})
            if outcome == INTERNAL:
                span.fail(Reason.INTERNAL_ERROR.value)
        return after

    async def _judged(self, key: Key) -> tuple[str, timedelta | None]:
        """One pass: what came of it, and when to come back."""
        started = time.monotonic()
        handled = await self._errors.handle_operation(str(key), partial(self._pass, key), _log)
        after, outcome, verdict = handled.after, handled.outcome, handled.value
        if handled.after is None:
            outcome = outcome_of(verdict)
            after = verdict.after if verdict is not None else None
        if after is not None and (verdict is None or not verdict.on_time):
            after = jittered(after)
        self._metrics.reconciles.labels(key.kind, outcome).inc()
        self._metrics.reconcile_seconds.labels(key.kind).observe(time.monotonic() - started)
        return outcome, after

    async def _pass(self, key: Key) -> Verdict | None:
        resting = await self._rest.copy(key)
        self._copies.begin(key)
        looked = None if resting is None else await self._rest.look(resting)
        if looked is None:
            looked = await self._read_and_run(key)
        if looked is None:
            return None
        obj, rec, verdict = looked
        self._count(key, obj, rec, verdict)
        await report(self._world, obj, verdict)
        if verdict.released and obj["metadata"].get("deletionTimestamp"):
            if key in self._released:
                self._released[key].set()
            verdict = replace(verdict, after=await self._finalizers.take_off(KINDS[key.kind].kind, key, obj))
        if _rests(obj, verdict):
            self._copies.settle(key, obj["metadata"]["resourceVersion"])
        return verdict

    async def _read_and_run(self, key: Key) -> Looked | None:
        """A pass over the object as it is now; None where it is gone, or not ours to act on yet."""
        kind = KINDS[key.kind].kind
        obj = self._newcomers.take(key) or await self._read(key, kind)
        if obj is None or (obj := await self._held(key, kind, obj)) is None:
            return None
        if key.kind == DEPLOYMENT_RECORD.kind:
            self._uids[key] = obj["metadata"]["uid"]
            self._offer(obj)
        store = StatusStore(self._world.kubernetes, kind, obj, self._saved)
        rec = reconciliation(Context(self._world, store, self._outbox.confirmed), obj)
        with acting_for(self._requesters.cause(obj)):
            verdict: Verdict = await rec.run()
        return Looked(obj, rec, verdict)

    async def _read(self, key: Key, kind: Kind) -> dict[str, Any] | None:
        asked, known = self._world.clock.monotonic(), self._current.get(key)
        obj = await self._world.kubernetes.get(kind, key.namespace, key.name)
        if obj is None:
            await self._prove_gone(key, kind)
            if self._current.get(key) == known:
                self._gone(key)
            else:
                self._end(key)  # another one of the name was told of meanwhile, and is woken
            return None
        obj.setdefault("kind", key.kind)
        self._copies.read(obj, asked)
        return obj

    async def _held(self, key: Key, kind: Kind, obj: dict[str, Any]) -> dict[str, Any] | None:
        """The object with our finalizer; None where it is gone. Raises Waiting while that is Kopf's to put on."""
        if not is_held(obj):
            held = await self._finalizers.put_on(kind, key, obj)
            if held is None:
                return None
            obj = {"kind": key.kind, **held}
            self._own[key] = obj["metadata"]["resourceVersion"]
            self._copies.learn(obj)
        if not obj["metadata"].get("deletionTimestamp"):
            self._finalizers.forget(key)
        return obj

    async def _prove_gone(self, key: Key, kind: Kind) -> None:
        """Its absence would take the finalizer off where Kopf waits for the clean-up: then a list must say so too."""
        if key not in self._released:
            return
        field = f"metadata.name={key.name}"
        listed = await self._world.kubernetes.list(kind, key.namespace, fields=field)
        if any(obj["metadata"]["name"] == key.name for obj in listed):
            raise not_credible(f"{key} is absent by name, and is in the list")

    def _saved(self, obj: dict[str, Any], changed: Mapping[str, Any]) -> None:
        key = key_of(obj)
        self._own[key] = obj["metadata"]["resourceVersion"]
        self._newcomers.forget(key)
        self.index.told(obj)
        self._copies.learn(obj)
        if "heartbeat" in changed:
            self._offer(obj)

    def _offer(self, obj: dict[str, Any]) -> None:
        outbox = ((obj.get("status") or {}).get("heartbeat") or {}).get("outbox") or ()
        if outbox:
            self._outbox.offer(obj["metadata"]["uid"], outbox, origin_of(obj))

    def _gone(self, key: Key) -> None:
        self.queue.forget(key)
        self._finalizers.forget(key)
        self._own.pop(key, None)
        self._told.pop(key, None)
        if (known := self._current.pop(key, None)) is not None:
            self._world.project_files.forget(known)
            forget_home(self._world, key.namespace, known)
        self._copies.forget(key)
        self._newcomers.forget(key)
        self._tally.forget(key)
        self._traces.forget(key)
        if key.kind == DEVOPS_PROJECT.kind:
            self._delivery.forget(key.namespace, key.name)
        # Kopf tells of no deletion that happened while it was paused.
        self.index.note({"kind": key.kind, "metadata": {"namespace": key.namespace, "name": key.name}}, deleted=True)
        self._end(key)

    def _end(self, key: Key) -> None:
        """Nothing more is sent of the object, and Kopf waits for it no longer."""
        uid = self._uids.pop(key, None)
        if uid is not None:
            self._outbox.forget(uid)
        event = self._released.pop(key, None)
        if event is not None:
            event.set()

    def _work_of(self, key: Key) -> tuple[Urgency, Tenant]:
        return self.index.urgency(key, self._world.clock.now()), self.index.tenant(key)

    # Reports

    def _count(self, key: Key, obj: dict[str, Any], rec: Any, verdict: Verdict) -> None:
        before = (obj.get("status") or {}).get("applied") or ()
        going = bool(obj["metadata"].get("deletionTimestamp"))
        if key.kind == DEVOPS_PROJECT.kind and not going:
            self._delivery.meet(key.namespace, key.name)
        self._tally.note(key, before, rec.ledger.entries, () if going else verdict.results)
        self._tally.note_faults(verdict.results)
        for step, seconds in getattr(rec, "ended_steps", ()):
            self._metrics.step_seconds.labels(step).observe(seconds)
        for thing in verdict.left:
            self._metrics.things_left.labels(thing["service"], thing["kind"]).inc()
        for item in verdict.transitions:
            if item.type == "Finished" and item.status == "True":
                self._count_end(obj, item, rec)

    def _count_end(self, obj: dict[str, Any], finished: Condition, rec: Any) -> None:
        self._metrics.deployments.labels(result_of(finished.reason)).inc()
        end = end_of(obj, finished.reason, rec.status.finished_at or self._world.clock.now())
        if end is not None:
            self._delivery.note(end, self.index.ended(*end.project))


def _rests(obj: dict[str, Any], verdict: Verdict) -> bool:
    """Whether there is nothing under way, by its status as it was read and by what the pass has found.

    Nothing rests under deletion, not even what is paused: while Kopf waits for that, it tells of no change.
    """
    done = (StepState.SUCCEEDED, StepState.SKIPPED)
    if obj["metadata"].get("deletionTimestamp") or is_at_work(obj):
        return False
    return all(result.state in done for result in verdict.results)


def jittered(after: timedelta) -> timedelta:
    """The same time or a little more."""
    return after * (1 + random.random() * JITTER)
