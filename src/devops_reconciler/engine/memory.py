"""What the ledger remembers of a thing, in the words of `decide`."""

from __future__ import annotations

from datetime import datetime, timedelta

from .decide import Memory, Tried
from .ledger import Entry, age, known_facts
from .resource import Observation, Resource, World


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
        blind=resource.blind and (resource.hides or bool(entry.digest) or intent is not None),
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
