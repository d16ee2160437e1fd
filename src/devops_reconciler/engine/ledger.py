"""The ledger of one object: what was made outside for it, and what is about to be done. Lives in `status.applied`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from ..api.model import known
from .resource import Intent, Observation, Resource, digest_of


class EntryState(StrEnum):
    """Where one external thing is in its life."""

    PENDING = "pending"
    """Wanted; perhaps written, not yet proven."""
    ACTIVE = "active"
    """Proven to be there as wanted."""
    RETIRED = "retired"
    """No longer wanted under this identity; to be removed."""
    CLEANED = "cleaned"
    """Proven to be gone, or proven not to be ours."""
    CLEANUP_FAILED = "cleanup_failed"
    """Its removal failed; it is tried again."""
    LEFT = "left"
    """Let go by a forced deletion: it may still be there, and is not ours to remove any more."""


CLOSED = (EntryState.CLEANED, EntryState.LEFT)
"""States in which nothing more is done about a thing."""

Identity = tuple[str, ...]
"""Tells one thing from all others: kind, key, and where it is."""


def identity(kind: str, key: str, value: Mapping[str, Any], place: Sequence[str]) -> Identity:
    """Of a thing with this value. `place` is that of its resource.

    The place is taken from the value, which every entry has, and not kept beside it: so ledgers of before tell it too.
    """
    return (kind, key, *(str(value.get(name)) for name in place))


class Entry(BaseModel):
    """One external thing of ours, known before it is made."""

    model_config = ConfigDict(extra="ignore")

    step: str
    kind: str
    key: str
    value: dict[str, Any] = Field(default_factory=dict)
    nulls: list[str] | None = None
    """Fields of it that are null, which another version of the operator could not tell from those that this one does
    not know; kept where drift is left."""
    digest: str = ""
    """Of the value last proven to be applied; empty where what is there is `Observation.interim`."""
    state: Annotated[EntryState, known(EntryState, EntryState.PENDING)] = EntryState.PENDING
    """Of a thing in a state of a newer version: it may be there, and is looked for first."""
    intent: Intent | None = None
    attempts: int = 0
    facts: dict[str, Any] = Field(default_factory=dict)
    external_id: str | None = None
    url: str | None = None
    started_at: datetime | None = None
    """Since when it is waited for: deadlines count from here. None while it is as wanted."""
    finished_at: datetime | None = None
    seen: bool = False
    """It was observed since it was last made."""
    made_elsewhere: bool = False
    """It may come to be without an attempt of ours."""
    absent_since: datetime | None = None
    doubted_at: datetime | None = None
    """The time of an attempt to make it whose outcome was not known when it was made again: it may still arrive."""
    rank: int = 0
    """Things of a higher rank are removed first."""
    shared: bool = False
    """Belongs to the environment: another object may hold it later."""
    policy: dict[str, Any] = Field(default_factory=dict)
    """How it may be removed, as it was when it was last wanted; what it does not say is as by default."""
    note: str = ""
    """What the last removal found: an error, or why something was left."""
    refused: str = ""
    """Why the last attempt to make or change it failed, until it is as wanted: when its time is over, only this tells
    what it has waited for."""

    def remember(self, resource: Resource[Any], *, leaves: bool) -> None:
        """Keep what is needed to find the thing again without the spec. `leaves`: its drift is to be left."""
        value = resource.value()
        if value != self.value:
            self._translate(resource, leaves=leaves)
        self.value = value
        self.nulls = resource.nulls() if leaves else None

    def _translate(self, resource: Resource[Any], *, leaves: bool) -> None:
        """Have the digests of the value say it as this version of the operator does, which may know more fields.

        What is of an earlier value, or not of the value alone, stays as it is.
        """
        was = digest_of(self.value)
        digest = self._digest_now(was, resource, leaves=leaves)
        if self.digest == was:
            self.digest = digest
        if self.intent is not None and self.intent.digest == was:
            self.intent = self.intent.model_copy(update={"digest": digest})

    def _digest_now(self, was: str, resource: Resource[Any], *, leaves: bool) -> str:
        """A field that the version before did not know was at its default. Where drift is to be left, it is no change
        whatever is wanted of it now: all that somebody has changed by hand would be written over for it.
        """
        try:
            before = type(resource).recall(self.value)
        except ValueError:  # nobody can say what it was, so it has changed
            return was
        if leaves:
            fields = type(resource).model_fields.items()
            unknown = [name for name, field in fields if not self._knew(name, null=_may_be_null(field))]
            before = before.model_copy(update={name: getattr(resource, name) for name in unknown})
        return before.digest()

    def _knew(self, field: str, *, null: bool) -> bool:
        """Whether who kept the value knew this field. `null`: it may have been null, and so not be in the value."""
        return field in self.value or (null if self.nulls is None else field in self.nulls)

    def is_of(self, resource: Resource[Any]) -> bool:
        """Whether it is the entry of this very thing, however its value may have changed."""
        name, place = type(resource).__name__, type(resource).place
        wanted = {field: getattr(resource, field) for field in place}
        return identity(self.kind, self.key, self.value, place) == identity(name, resource.key, wanted, place)

    def doubt(self, before: Intent | None, *, again: bool) -> None:
        """Another attempt takes the place of this one, or its result does.

        What is made again, or was before, may be there by either attempt: the other one may still arrive.
        """
        if before is not None and before.op == "create" and (again or self.doubted_at is not None):
            self.doubted_at = before.at

    def reached(self, seen: Observation, digest: str, now: datetime) -> None:
        """The thing is there as wanted."""
        self.state = EntryState.ACTIVE
        self.digest = digest
        self.doubt(self.intent, again=False)
        self.intent = None
        self.absent_since = None
        self.refused = ""
        self.seen = True
        self.finished_at = self.finished_at or now
        self.started_at = None
        self.facts = known_facts(seen)
        self.external_id = seen.external_id or self.external_id
        self.url = seen.url or self.url


class Ledger:
    """The entries of one object, in the order of its pipeline."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @classmethod
    def load(cls, applied: list[Any]) -> Ledger:
        return cls([Entry.model_validate(item) for item in applied])

    def dump(self) -> list[dict[str, Any]]:
        """JSON for `status.applied`; what is empty is left out, since status is capacity."""
        return [entry.model_dump(mode="json", exclude_defaults=True) for entry in self.entries]

    def current(self, step: str) -> Entry | None:
        """The entry of a step that is wanted now."""
        for entry in self.entries:
            if entry.step == step and entry.state in (EntryState.PENDING, EntryState.ACTIVE):
                return entry
        return None

    def begun(self, step: str) -> Entry | None:
        """The current entry of a step, if its thing was found or may have been made."""
        entry = self.current(step)
        return entry if entry is not None and (entry.seen or entry.intent is not None) else None

    def want(self, step: str, resource: Resource[Any], *, leaves: bool = False) -> Entry:
        """The entry for this value. An entry of the same step under another identity is retired.

        `leaves`: the policy is to leave its drift.
        """
        entry = self.current(step)
        if entry is not None and not entry.is_of(resource):
            self.retire(entry)
            entry = None
        if entry is None:
            entry = self._take_back(step, resource) or Entry(step=step, kind=type(resource).__name__, key=resource.key)
            entry.made_elsewhere = resource.made_elsewhere and resource.removable
            self.entries.append(entry)
        entry.remember(resource, leaves=leaves)
        return entry

    def _take_back(self, step: str, resource: Resource[Any]) -> Entry | None:
        """What is wanted again under the same identity is no thing of the past: what is known of it still counts."""
        same = [e for e in self.entries if e.is_of(resource)]
        self.entries = [e for e in self.entries if not any(e is other for other in same)]
        known = [e for e in same if e.state is not EntryState.CLEANED]
        if not known:
            return None
        entry = known[-1]
        entry.step, entry.note = step, ""
        if entry.state is not EntryState.ACTIVE:
            entry.state, entry.started_at, entry.finished_at = EntryState.PENDING, None, None
        return entry

    def inherit(self, entries: Sequence[Entry], places: Mapping[str, Sequence[str]]) -> None:
        """Take over what another object's ledger has of things that are ours from now on. `places` are by kind.

        All that tells what is there is kept: facts, intents, values. It is not yet as we want it, so its digest is not,
        and its time begins anew. What this ledger has already stays as it is.
        """

        def which(entry: Entry) -> Identity:
            return identity(entry.kind, entry.key, entry.value, places.get(entry.kind, ()))

        known = {which(entry) for entry in self.entries if entry.state not in CLOSED}
        for entry in entries:
            if entry.state in CLOSED or which(entry) in known:
                continue
            fresh = {"digest": "", "attempts": 0, "started_at": None, "finished_at": None, "note": ""}
            taken, other = entry.model_copy(update=fresh), self.current(entry.step)
            self.entries.append(taken)
            if other is not None and taken.state in (EntryState.PENDING, EntryState.ACTIVE):
                self.retire(taken)

    def retire(self, entry: Entry) -> None:
        """Mark for removal; forget it at once when nothing can have been made.

        Its intent stays: what was asked for just now may be about to show, and the preimage tells it from others'.
        """
        attempted = entry.seen or entry.intent is not None or entry.made_elsewhere
        if entry.state is EntryState.PENDING and not attempted:
            self.entries.remove(entry)
        else:
            entry.state = EntryState.RETIRED

    def follow(self, steps: Sequence[str]) -> None:
        """Retire the entries of steps that the pipeline no longer has, and keep the pipeline's order."""
        order = {step: index for index, step in enumerate(steps)}
        placed: list[tuple[int, Entry]] = []
        place = -1
        for entry in list(self.entries):
            if entry.step not in order and entry.state in (EntryState.PENDING, EntryState.ACTIVE):
                self.retire(entry)
            place = order.get(entry.step, place)
            if any(entry is kept for kept in self.entries):
                placed.append((place, entry))
        self.entries = [entry for _, entry in sorted(placed, key=lambda item: item[0])]

    def resume(self, now: datetime) -> None:
        """After a pause: what is waited for has its time anew, since nobody has looked at it meanwhile."""
        for entry in self.entries:
            if entry.started_at is not None:
                entry.started_at = now

    @property
    def remaining(self) -> list[Entry]:
        """What may still be there, in the order of removal: the highest rank, then the last made, goes first."""
        open_entries = [entry for entry in reversed(self.entries) if entry.state not in CLOSED]
        return sorted(open_entries, key=lambda entry: -entry.rank)

    @property
    def left(self) -> list[Entry]:
        """What a forced deletion has let go."""
        return [entry for entry in self.entries if entry.state is EntryState.LEFT]


def _may_be_null(field: FieldInfo) -> bool:
    return field.is_required() or field.default is None


def known_facts(seen: Observation) -> dict[str, Any]:
    """The facts that have a value: nulls do not survive in the status."""
    return {name: value for name, value in seen.facts.items() if value is not None}


def age(since: datetime | None, now: datetime) -> timedelta | None:
    """Time since then, never negative (clocks of replicas differ)."""
    return None if since is None else max(timedelta(0), now - since)
