"""The Lease as it stands in the cluster, and what follows from it. Pure: nothing here asks or writes anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from ..services.kubernetes import Object

HOLDER_RANK = "freeleaps.com/holder-rank"
WATCHES = "freeleaps.com/watches"
WANTED_BY = "freeleaps.com/wanted-by"
WANTED_RANK = "freeleaps.com/wanted-rank"


@dataclass(frozen=True)
class Candidate:
    """A replica. The higher rank goes first: it is the time of the start, in microseconds since 1970."""

    identity: str
    rank: int
    watches: str = ""
    """The namespaces that it watches, in order, with a comma between; empty where it has nothing to say of that."""

    def stepped_back(self) -> Candidate:
        """The same behind all others: it was found silent, so it takes what is free and asks for nothing.

        Not one rank for all of them: Kopf stops every peer where two have the same.
        """
        return replace(self, rank=-abs(self.rank))


@dataclass(frozen=True)
class LeaseRecord:
    """What a Lease says. What is missing or unreadable in it counts as not said: anybody may have edited it."""

    version: str
    holder: str
    """Identity of the replica that acts; empty where it was released."""
    holder_rank: int
    renewed: str
    """As it was written by the holder's clock: only that it changes counts, never the time."""
    duration: timedelta
    transitions: int
    wanted_by: str
    """Identity of the newer replica that asked for it; empty where none did."""
    wanted_rank: int
    watches: str = ""
    """What the holder watches, as `Candidate` has it."""

    @property
    def pulse(self) -> tuple[str, str]:
        """What changes as long as its holder lives."""
        return self.holder, self.renewed


def record_of(obj: Object, default: timedelta) -> LeaseRecord:
    """The record in a Lease as read; `default` is the duration where it has none."""
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    said = metadata.get("annotations") or {}
    seconds = spec.get("leaseDurationSeconds")
    return LeaseRecord(
        version=str(metadata["resourceVersion"]),
        holder=str(spec.get("holderIdentity") or ""),
        holder_rank=_number(said.get(HOLDER_RANK)),
        renewed=str(spec.get("renewTime") or ""),
        duration=timedelta(seconds=seconds) if isinstance(seconds, int) and seconds > 0 else default,
        transitions=_number(spec.get("leaseTransitions")),
        wanted_by=str(said.get(WANTED_BY) or ""),
        wanted_rank=_number(said.get(WANTED_RANK)),
        watches=str(said.get(WATCHES) or ""),
    )


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0


class Move(Enum):
    """What to do about the Lease."""

    TAKE = "take"
    RENEW = "renew"
    HAND_OVER = "hand over"
    """Ours, and a newer replica wants it: renew while work in flight ends, then release it."""
    ASK = "ask"
    REST = "rest"


def decide(record: LeaseRecord | None, me: Candidate, silent: timedelta | None, duration: timedelta) -> Move:
    """The one table. `silent` is how long the Lease has not changed under our eyes; None: we have not seen it before.

    A Lease that was there and was deleted still binds for its `duration`: its holder may not have noticed. `silent` is
    the time of its absence then.
    """
    if record is None:
        return Move.TAKE if silent is None or silent >= duration else Move.REST
    if record.holder == me.identity:
        return Move.HAND_OVER if record.wanted_by and record.wanted_rank > me.rank else Move.RENEW
    expired = silent is not None and silent >= record.duration
    if not record.holder:
        mine = record.wanted_by in ("", me.identity) or me.rank > record.wanted_rank
        return Move.TAKE if mine or expired else Move.REST
    if expired:
        return Move.TAKE
    return Move.ASK if me.rank > max(record.holder_rank, _asked_rank(record)) else Move.REST


def _asked_rank(record: LeaseRecord) -> int:
    return record.wanted_rank if record.wanted_by else record.holder_rank


# The patches. Each names what it changes and the version that it is about; None takes a field away.


def held_by(me: Candidate, duration: timedelta, now: datetime, before: LeaseRecord | None) -> Object:
    """Of a taking: from now on the Lease is ours, and nobody's wish is open."""
    spec = {
        "holderIdentity": me.identity,
        "leaseDurationSeconds": max(1, math.ceil(duration.total_seconds())),
        "acquireTime": micro_time(now),
        "renewTime": micro_time(now),
        "leaseTransitions": before.transitions + 1 if before is not None else 0,
    }
    ours = {HOLDER_RANK: str(me.rank)} | ({WATCHES: me.watches} if me.watches else {})
    if before is None:
        return {"metadata": {"annotations": ours}, "spec": spec}
    annotations = {WATCHES: None, **ours, WANTED_BY: None, WANTED_RANK: None}
    return {"metadata": {"resourceVersion": before.version, "annotations": annotations}, "spec": spec}


def renewed_at(now: datetime, before: LeaseRecord) -> Object:
    """Of a renewal."""
    return _patch(before, {}, {"renewTime": micro_time(now)})


def wanted_by(me: Candidate, before: LeaseRecord) -> Object:
    """Of an asking: the holder goes on, and sees it at its next renewal."""
    return _patch(before, {WANTED_BY: me.identity, WANTED_RANK: str(me.rank)}, {})


def released(now: datetime, before: LeaseRecord) -> Object:
    """Of a release: who asked may take it at once."""
    return _patch(before, {HOLDER_RANK: None}, {"holderIdentity": None, "renewTime": micro_time(now)})


def retired(me: Candidate, hold: timedelta, now: datetime, before: LeaseRecord) -> Object:
    """Of a release for good: for the time of `hold`, only who is newer than we are may take it."""
    spec = {
        "holderIdentity": None,
        "leaseDurationSeconds": max(1, math.ceil(hold.total_seconds())),
        "renewTime": micro_time(now),
    }
    return _patch(before, {HOLDER_RANK: None, WANTED_BY: me.identity, WANTED_RANK: str(me.rank)}, spec)


def _patch(before: LeaseRecord, annotations: Mapping[str, str | None], spec: Mapping[str, Any]) -> Object:
    metadata: Object = {"resourceVersion": before.version}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"metadata": metadata, "spec": dict(spec)}


def micro_time(moment: datetime) -> str:
    """`metav1.MicroTime`: six digits always."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
