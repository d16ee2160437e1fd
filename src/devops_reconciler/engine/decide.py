"""The whole policy on one page: from what is there to what to do. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..api.base import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from ..api.conditions import Reason
from .resource import Observation


@dataclass(frozen=True)
class Tried:
    """The last attempt at this thing: what, and how long ago."""

    op: str
    age: timedelta
    same: bool = True
    """It was for the value that is wanted now."""


@dataclass(frozen=True)
class Memory:
    """What we know besides the observation."""

    me: str
    settle: timedelta
    """How long an attempt may take to show before it is made again."""
    arrival: timedelta = timedelta(0)
    """How long an attempt whose outcome is not known may take to show; only then its absence proves something."""
    tried: Tried | None = None
    doubt: timedelta | None = None
    """The age of an earlier attempt to make it whose outcome was not known when it was made again."""
    changed: bool = False
    """The wanted value is not the one last applied."""
    blind: bool = False
    once: bool = False
    seen: bool = False
    """It was observed at least once since it was last made."""
    ended: bool = False
    """It has been at its good end: nothing makes it appear by itself any more."""
    absent_for: timedelta | None = None
    """Since when a thing that was seen, or that others make, has been missing."""
    owned_by_mark: bool = True
    made_elsewhere: bool = False
    coming: timedelta = timedelta(0)
    """How much longer a thing that others make, and that was never seen, may take to show."""
    repeatable: bool = False


@dataclass(frozen=True)
class Done:
    """It is as it should be."""


@dataclass(frozen=True)
class Create:
    pass


@dataclass(frozen=True)
class Update:
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Delete:
    pass


@dataclass(frozen=True)
class Wait:
    """Nothing to do now."""

    message: str
    reason: Reason = Reason.PROGRESSING
    after: timedelta | None = None


@dataclass(frozen=True)
class Report:
    """It differs, and the policy says to leave it so."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Fail:
    """Somebody must act."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Released:
    """For removal: nothing of ours is there (any more). `left` says why something stays, if it does."""

    left: str = ""


GRACE = timedelta(seconds=5)
"""How long a thing may be out of sight on its way from one place to the next (from the queue to the builds)."""

MAY_NOT_DELETE = "managementPolicies do not allow to delete it"
"""Why a removal leaves what is there and ours."""
OWNERSHIP = "ownership"
"""The field that is written where a thing of others is taken over."""

Action = Done | Create | Update | Delete | Wait | Report | Fail | Released


def decide(seen: Observation, policy: EffectivePolicy, memory: Memory) -> Action:
    """What to do so that the thing is there as wanted."""
    if not seen.exists:
        return _absent(seen, policy, memory)
    if seen.deleting:
        return Wait("it is being deleted; it is made again when it is gone", after=seen.after)
    if memory.owned_by_mark and seen.owner != memory.me:
        return _foreign(seen, policy, memory)
    if seen.surplus and ManagementPolicy.UPDATE in policy.management and _settling("update", memory) is None:
        return Update(tuple(f"second {each}" for each in seen.surplus))
    wanted = seen.drift or (("value",) if memory.changed and memory.blind and not seen.attested else ())
    if wanted and not memory.once:
        # Before its failure counts: it may have failed because it is not as wanted.
        action = _differs(wanted, policy, memory)
        if seen.failed is None or not isinstance(action, Report):
            return action
    if seen.failed is not None:
        return Fail(*seen.failed)
    if not seen.ready:
        return Wait(seen.message, after=seen.after)
    tried = memory.tried
    if tried is not None and not tried.same and not memory.once and tried.age < memory.settle:
        # As wanted, so it seems; but what was asked for just now, and is not wanted any more, may be about to show.
        return Wait("it was changed just now; watched whether it stays so", after=memory.settle - tried.age)
    return Done()


def _absent(seen: Observation, policy: EffectivePolicy, memory: Memory) -> Action:
    if memory.made_elsewhere:
        return Wait(seen.message or "it is not there yet", Reason.DEPENDENCY_NOT_READY, seen.after)
    settling = _settling("create", memory)
    if settling is not None:
        return settling
    if memory.once and memory.seen and not memory.repeatable:
        if memory.absent_for is None or memory.absent_for < memory.settle:
            return Wait("it was there and does not show now", after=memory.settle - (memory.absent_for or timedelta(0)))
        return Fail(Reason.CREATE_RESULT_UNKNOWN, "it was there and has vanished; it is not made a second time")
    if ManagementPolicy.CREATE not in policy.management:
        return Fail(Reason.DEPENDENCY_NOT_READY, "it is missing, and managementPolicies do not allow to create it")
    return Create()


def may_take(adoption: Adoption, owner: str | None) -> bool:
    """Whether what is there already, with the mark of `owner` or with none, may be taken over."""
    return adoption is Adoption.ALWAYS or (adoption is Adoption.IF_UNOWNED and owner is None)


def whose(owner: str | None) -> str:
    """What a thing carries that has the mark of `owner`, who is not us, or none."""
    return "nobody's mark" if owner is None else "another owner's mark"


def _foreign(seen: Observation, policy: EffectivePolicy, memory: Memory) -> Action:
    settling = _settling("create", memory) or _settling("update", memory)
    if settling is not None:
        return settling
    if seen.kept:
        return Fail(Reason.OWNERSHIP_CONFLICT, seen.kept)
    may_adopt = may_take(policy.adoption, seen.owner)
    if may_adopt and ManagementPolicy.UPDATE in policy.management:
        return Update((OWNERSHIP, *seen.drift))
    hint = "IfUnowned" if seen.owner is None else "Always"
    return Fail(
        Reason.OWNERSHIP_CONFLICT,
        f"it exists already with {whose(seen.owner)}, so it is left as it is; rename ours, remove it, or set adoption: "
        f"{hint} to take it over",
    )


def takes_over(action: Action) -> bool:
    """Whether the thing has been somebody else's, or nobody's, until now."""
    return isinstance(action, Update) and OWNERSHIP in action.fields


def _differs(fields: tuple[str, ...], policy: EffectivePolicy, memory: Memory) -> Action:
    settling = _settling("update", memory)
    if settling is not None:
        return settling
    if ManagementPolicy.UPDATE not in policy.management:
        return Report(fields)
    if policy.drift is DriftPolicy.REPORT and not memory.changed:
        return Report(fields)
    return Update(fields)


_NOT_SHOWN = {
    "create": "it was asked for and does not show yet",
    "update": "it was changed and does not show it yet",
    "delete": "its deletion was asked for and does not show yet",
}


def _settling(op: str, memory: Memory) -> Wait | None:
    """Wait for the last attempt to show, if it was one of this kind and not long ago."""
    return _awaiting(op, memory, memory.settle)


def _arriving(op: str, memory: Memory) -> Wait | None:
    """The same before a removal is given out as done: nobody looks again, so what arrives later would stay."""
    return _awaiting(op, memory, max(memory.settle, memory.arrival))


def _awaiting(op: str, memory: Memory, window: timedelta) -> Wait | None:
    tried = memory.tried
    if tried is None or tried.op != op or tried.age >= window:
        return None
    return Wait(_NOT_SHOWN[op], after=window - tried.age)


def decide_removal(seen: Observation, policy: EffectivePolicy, memory: Memory) -> Action:
    """What to do so that the thing is gone. Only what is ours is ever removed."""
    stays = _may_stay(policy)
    if not seen.exists:
        return Released() if stays else _gone(memory)
    if memory.owned_by_mark and seen.owner != memory.me:
        # Just made or taken over, perhaps: then our mark is about to show.
        about_to_show = None if stays else _arriving("create", memory) or _arriving("update", memory)
        return about_to_show or Released("it does not carry our mark")
    if stays:
        return Released(stays)
    if seen.wanted_by:
        return Released(f"{seen.wanted_by} wants it")
    if seen.deleting:
        return Wait(seen.message or "it is being deleted", after=seen.after)
    return _settling("delete", memory) or Delete()


def _may_stay(policy: EffectivePolicy) -> str:
    if policy.deletion is DeletionPolicy.ORPHAN:
        return "deletionPolicy: Orphan"
    if ManagementPolicy.DELETE not in policy.management:
        return MAY_NOT_DELETE
    return ""


def _gone(memory: Memory) -> Action:
    """Absent, but is it so for good? What was asked for just now may be about to show."""
    arriving = None if memory.seen else _arriving("create", memory)
    if arriving is not None:
        return arriving
    if memory.doubt is not None and memory.doubt < memory.arrival:
        return Wait("an earlier attempt to make it may still arrive", after=memory.arrival - memory.doubt)
    if memory.coming > timedelta(0):
        return Wait("it does not show yet, and may do so any time", after=min(memory.coming, GRACE))
    may_show = memory.made_elsewhere or (memory.once and memory.seen)
    missing, grace = memory.absent_for or timedelta(0), min(memory.settle, GRACE)
    if may_show and not memory.ended and missing < grace:
        return Wait("it does not show; watched whether it stays so", after=grace - missing)
    return Released()
