"""Counting what passes come to: their outcome, and what only a comparison shows, drift and clean-ups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..api.conditions import Reason
from ..api.deployment_record import StepState
from ..engine.ledger import Entry, EntryState, Identity, identity
from ..engine.outcome import StepResult
from ..kinds import Verdict
from ..resources.catalog import PLACES, REMOVALS
from ..runtime.metrics import Metrics
from .errors import INTERNAL
from .queue import Key

QUIET = timedelta(seconds=60)
"""A pass without steps that comes back no earlier has nothing under way."""

GONE = ("it is gone",)
"""Stands for the fields that differ where a thing of ours is not there any more."""


class Tally:
    """Compares the ledger before a pass and after it. Counts each change once, also where a pass has to be repeated."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._drift: dict[Key, dict[str, tuple[tuple[str, ...], bool]]] = {}
        """What differs by step, and whether we have begun to set it right."""
        self._ends: dict[Key, dict[Identity, str]] = {}

    def note(
        self, key: Key, before: Sequence[Mapping[str, Any]], after: Sequence[Entry], results: Sequence[StepResult]
    ) -> None:
        """A pass has ended. `before` is `status.applied` as it was read, `after` the ledger now."""
        made_again = set(_made_again(before, after))
        for result in results:
            self._note_drift(key, result, result.drifted or (GONE if result.step in made_again else ()))
        self._note_ends(key, dict(_ends(before, after)), after)

    def note_faults(self, results: Sequence[StepResult]) -> None:
        """Count the faults of our own that are the result of a step: the pass went on, so nobody else has heard."""
        for result in results:
            if _is_our_fault(result):
                self._metrics.internal_errors.labels("step").inc()

    def forget(self, key: Key) -> None:
        """The object is gone, or about to go: what differs is of no interest any more."""
        self._drift.pop(key, None)
        self._ends.pop(key, None)

    def _note_drift(self, key: Key, result: StepResult, fields: tuple[str, ...]) -> None:
        known = self._drift.setdefault(key, {})
        was, begun = known.get(result.step, ((), False))
        if fields:
            if fields != was:
                self._metrics.drift_found.labels(key.kind).inc()
            known[result.step] = (fields, begun or (result.state is StepState.RUNNING and result.error is None))
        elif was and result.state is StepState.SUCCEEDED:
            del known[result.step]
            if begun:
                self._metrics.drift_repaired.labels(key.kind).inc()
        if not known:
            del self._drift[key]

    def _note_ends(self, key: Key, ends: Mapping[Identity, str], after: Sequence[Entry]) -> None:
        """The last pass over an object is not saved, so it may come twice."""
        told = self._ends.setdefault(key, {})
        for entry in after:
            if entry.state in (EntryState.PENDING, EntryState.ACTIVE):
                told.pop(_of_entry(entry), None)
        for thing, result in ends.items():
            if told.get(thing) != result:
                told[thing] = result
                self._metrics.cleanup_results.labels(thing[0], result).inc()
        if not told:
            del self._ends[key]


def outcome_of(verdict: Verdict | None) -> str:
    """What a pass that was not stopped came to, in one word; a fault of our own in one of its steps before all else."""
    if verdict is None:
        return "gone"
    if any(map(_is_our_fault, verdict.results)):
        return INTERNAL
    if any(r.state is StepState.FAILED for r in verdict.results):
        return "failed"
    if any(r.state is StepState.WAITING for r in verdict.results):
        return "retry"
    quiet = verdict.after is None or verdict.after >= QUIET
    done = all(r.done for r in verdict.results) if verdict.results else quiet
    return "done" if done else "progress"


def _is_our_fault(result: StepResult) -> bool:
    return result.reason is Reason.INTERNAL_ERROR


def _made_again(before: Sequence[Mapping[str, Any]], after: Sequence[Entry]) -> Iterator[str]:
    """Steps whose thing had been there as wanted, and that this pass has begun to create."""
    active = {_thing(entry): entry for entry in before if entry.get("state") == EntryState.ACTIVE}
    for entry in after:
        was = active.get(_of_entry(entry))
        created = entry.intent is not None and entry.intent.op == "create"
        if was is not None and created and (was.get("intent") or {}).get("op") != "create":
            yield entry.step


def _ends(before: Sequence[Mapping[str, Any]], after: Sequence[Entry]) -> Iterator[tuple[Identity, str]]:
    """What each thing's clean-up came to in this pass."""
    there = {_of_entry(entry): entry for entry in after}
    for was in before:
        thing = _thing(was)
        entry, state = there.get(thing), was.get("state", EntryState.PENDING)
        resource = REMOVALS.get(thing[0])
        made = was.get("seen") or was.get("intent") or was.get("made_elsewhere")
        if resource is None or not resource.removable or not made or state == EntryState.CLEANED:
            continue
        if entry is None:
            yield thing, "cleaned"  # what was replaced is taken out of the ledger when it is gone
        elif entry.state is EntryState.CLEANED:
            yield thing, "left" if entry.note else "cleaned"
        elif entry.state is EntryState.CLEANUP_FAILED and state != EntryState.CLEANUP_FAILED:
            yield thing, "cleanup_failed"


def _thing(entry: Mapping[str, Any]) -> Identity:
    kind = str(entry.get("kind"))
    return identity(kind, str(entry.get("key")), entry.get("value") or {}, PLACES.get(kind, ()))


def _of_entry(entry: Entry) -> Identity:
    return identity(entry.kind, entry.key, entry.value, PLACES.get(entry.kind, ()))
