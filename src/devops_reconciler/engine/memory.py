"""What the ledger remembers of a thing, in the words of `decide`."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..runtime.clock import Instant
from .decide import Memory, Tried
from .ledger import Entry, EntryState, age, known_facts
from .resource import Observation, Resource, World


def memory_of(resource: Resource[World], entry: Entry, me: str, asked: Instant, now: Instant, world: World) -> Memory:
    """What `decide` may know of the past of a thing, as of when it was asked for: an answer may take its time."""

    def since(written: datetime | None) -> timedelta | None:
        return age_of(written, asked, now, resource.acting_since(world))

    digest = resource.digest()
    intent, applied, tried = entry.intent, entry.digest, None
    if intent is not None:
        tried = Tried(intent.op, since(intent.at) or timedelta(0), intent.digest == digest)
        if intent.op == "create":
            applied = intent.digest  # it was absent: if it is there now, this value made it
        elif intent.digest != applied:
            applied = ""  # perhaps written, perhaps not
    return Memory(
        me=me,
        settle=resource.settles_in(world),
        arrival=resource.arrives_in(world),
        tried=tried,
        doubt=since(entry.doubted_at),
        changed=applied != digest,
        blind=resource.blind and (resource.hides or _had_another(entry)),
        once=resource.once,
        seen=entry.seen,
        ended=bool(entry.digest),
        absent_for=since(entry.absent_since),
        owned_by_mark=resource.owned_by_mark,
        made_elsewhere=resource.made_elsewhere,
        coming=_coming(resource, entry, since(entry.started_at), world),
        repeatable=resource.repeatable,
    )


def _had_another(entry: Entry) -> bool:
    """Whether another value may have been written; what is there without a digest is as it had to be until now."""
    return bool(entry.digest) or entry.intent is not None or entry.state is EntryState.ACTIVE


def _coming(resource: Resource[World], entry: Entry, waited: timedelta | None, world: World) -> timedelta:
    """What is left of the time in which a thing that others make, and that nobody has seen, may still show."""
    if not entry.made_elsewhere or entry.seen or waited is None:
        return timedelta(0)
    return max(timedelta(0), resource.comes_in(world) - waited)


def age_of(written: datetime | None, asked: Instant, now: Instant, acting: Instant | None) -> timedelta | None:
    """How old what was `written` then was when we `asked`, at the least. `acting`: since when nobody else acts.

    The clock that it was written by may be another replica's, and differ from ours. But whatever another has done was
    done before we began to act, and what we have done ourselves was done since. So nothing counts as older than that
    time, and what only a clock that is ahead of ours can have written counts as just as old.
    """
    if written is None or acting is None:
        return age(written, asked.wall)
    most = max(timedelta(0), timedelta(seconds=asked.monotonic - acting.monotonic))
    # Ours may have been set back since: by what it was before, it could have written until this moment.
    before = acting.wall + timedelta(seconds=now.monotonic - acting.monotonic)
    return most if written > max(now.wall, before) else min(max(timedelta(0), asked.wall - written), most)


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
