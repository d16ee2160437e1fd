"""The policy as tables: what is there × what is allowed × what is known → what is done."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.policies import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from devops_reconciler.engine.decide import (
    GRACE,
    Action,
    Create,
    Delete,
    Done,
    Fail,
    Memory,
    Released,
    Report,
    Tried,
    Update,
    Wait,
    decide,
    decide_removal,
)
from devops_reconciler.engine.resource import ABSENT, Observation

from .things import policy

S = timedelta(seconds=1)
SETTLE = timedelta(seconds=10)
FRESH, OLD = SETTLE - S, SETTLE
ME = Memory(me="me", settle=SETTLE)
READ_ONLY = policy(management=frozenset({ManagementPolicy.OBSERVE}))
NO_CREATE = policy(management=frozenset(ManagementPolicy) - {ManagementPolicy.CREATE})
NO_UPDATE = policy(management=frozenset(ManagementPolicy) - {ManagementPolicy.UPDATE})
NO_DELETE = policy(management=frozenset(ManagementPolicy) - {ManagementPolicy.DELETE})
ORPHAN = policy(deletion=DeletionPolicy.ORPHAN)
IF_UNOWNED = policy(adoption=Adoption.IF_UNOWNED)
ALWAYS = policy(adoption=Adoption.ALWAYS)
REPORT = policy(drift=DriftPolicy.REPORT)


def seen(owner: str | None = "me", **more: object) -> Observation:
    return Observation(exists=True, owner=owner, **more)  # type: ignore[arg-type]


def knows(**more: object) -> Memory:
    return Memory(**{"me": "me", "settle": SETTLE, **more})  # type: ignore[arg-type]


def tried(op: str, age: timedelta = FRESH, *, same: bool = True) -> Tried:
    return Tried(op, age, same)


TABLE: list[tuple[str, Observation, EffectivePolicy, Memory, Action]] = [
    ("absent: made", ABSENT, policy(), ME, Create()),
    (
        "absent, perhaps on its way: made all the same, the name is refused twice",
        ABSENT,
        policy(),
        knows(tried=tried("create", OLD), arrival=OLD + S),
        Create(),
    ),
    ("absent, just tried: waited for", ABSENT, policy(), knows(tried=tried("create")), Wait("…", after=S)),
    ("absent, tried long ago: made", ABSENT, policy(), knows(tried=tried("create", OLD)), Create()),
    ("absent, just changed: made", ABSENT, policy(), knows(tried=tried("update")), Create()),
    ("absent, just deleted: made", ABSENT, policy(), knows(tried=tried("delete")), Create()),
    ("absent, may not be made", ABSENT, NO_CREATE, ME, Fail(Reason.DEPENDENCY_NOT_READY, "…")),
    ("absent, read-only", ABSENT, READ_ONLY, ME, Fail(Reason.DEPENDENCY_NOT_READY, "…")),
    (
        "absent, others make it",
        Observation(message="soon", after=S),
        policy(),
        knows(made_elsewhere=True),
        Wait("…", Reason.DEPENDENCY_NOT_READY, S),
    ),
    ("once, never seen: made", ABSENT, policy(), knows(once=True), Create()),
    (
        "once, out of sight",
        ABSENT,
        policy(),
        knows(once=True, seen=True, absent_for=FRESH),
        Wait("…", after=S),
    ),
    (
        "once, out of sight as of now",
        ABSENT,
        policy(),
        knows(once=True, seen=True),
        Wait("…", after=SETTLE),
    ),
    (
        "once, vanished: never a second one",
        ABSENT,
        policy(),
        knows(once=True, seen=True, absent_for=OLD),
        Fail(Reason.CREATE_RESULT_UNKNOWN, "…"),
    ),
    (
        "once and repeatable, vanished: again",
        ABSENT,
        policy(),
        knows(once=True, repeatable=True, seen=True, absent_for=OLD),
        Create(),
    ),
    ("being deleted", seen(deleting=True, after=S), policy(), ME, Wait("…", after=S)),
    ("being deleted, not ours", seen("other", deleting=True), policy(), ME, Wait("…")),
    ("unmarked", seen(None), policy(), ME, Fail(Reason.OWNERSHIP_CONFLICT, "…")),
    ("unmarked, just made by us", seen(None), policy(), knows(tried=tried("create")), Wait("…", after=S)),
    (
        "unmarked, made by us long ago",
        seen(None),
        policy(),
        knows(tried=tried("create", OLD)),
        Fail(Reason.OWNERSHIP_CONFLICT, "…"),
    ),
    ("another's", seen("other"), policy(), ME, Fail(Reason.OWNERSHIP_CONFLICT, "…")),
    ("another's, with drift", seen("other", drift=("a",)), policy(), ME, Fail(Reason.OWNERSHIP_CONFLICT, "…")),
    (
        "another's, failed",
        seen("other", failed=(Reason.BUILD_FAILED, "red")),
        policy(),
        ME,
        Fail(Reason.OWNERSHIP_CONFLICT, "…"),
    ),
    ("unmarked, adopted", seen(None), IF_UNOWNED, ME, Update(("ownership",))),
    ("unmarked, adopted just now", seen(None), IF_UNOWNED, knows(tried=tried("update")), Wait("…", after=S)),
    ("unmarked, adopted with drift", seen(None, drift=("a",)), IF_UNOWNED, ME, Update(("ownership", "a"))),
    ("another's, adoption of the unowned", seen("other"), IF_UNOWNED, ME, Fail(Reason.OWNERSHIP_CONFLICT, "…")),
    ("another's, adopted", seen("other"), ALWAYS, ME, Update(("ownership",))),
    ("unmarked, adopted always", seen(None), ALWAYS, ME, Update(("ownership",))),
    ("another's, kept", seen("other", kept="theirs"), ALWAYS, ME, Fail(Reason.OWNERSHIP_CONFLICT, "theirs")),
    ("unmarked, kept", seen(None, kept="theirs"), IF_UNOWNED, ME, Fail(Reason.OWNERSHIP_CONFLICT, "theirs")),
    (
        "kept, made just now",
        seen(None, kept="theirs"),
        policy(),
        knows(tried=tried("create")),
        Wait("…", after=S),
    ),
    (
        "unmarked, adopted, may not be changed",
        seen(None),
        policy(management=NO_UPDATE.management, adoption=Adoption.ALWAYS),
        ME,
        Fail(Reason.OWNERSHIP_CONFLICT, "…"),
    ),
    ("existence is ownership", seen(None), policy(), knows(owned_by_mark=False), Done()),
    ("failed by itself", seen(failed=(Reason.BUILD_FAILED, "red")), policy(), ME, Fail(Reason.BUILD_FAILED, "red")),
    (
        "failed by itself, read-only",
        seen(failed=(Reason.SYNC_FAILED, "x")),
        READ_ONLY,
        ME,
        Fail(Reason.SYNC_FAILED, "x"),
    ),
    ("drift: repaired", seen(drift=("a", "b")), policy(), ME, Update(("a", "b"))),
    ("drift, just changed", seen(drift=("a",)), policy(), knows(tried=tried("update")), Wait("…", after=S)),
    ("drift, changed long ago", seen(drift=("a",)), policy(), knows(tried=tried("update", OLD)), Update(("a",))),
    ("drift, just made", seen(drift=("a",)), policy(), knows(tried=tried("create")), Update(("a",))),
    ("drift, may not be changed", seen(drift=("a",)), NO_UPDATE, ME, Report(("a",))),
    ("drift, may not be changed, new value", seen(drift=("a",)), NO_UPDATE, knows(changed=True), Report(("a",))),
    ("drift, reported", seen(drift=("a",)), REPORT, ME, Report(("a",))),
    ("drift by a new value, reported drift", seen(drift=("a",)), REPORT, knows(changed=True), Update(("a",))),
    ("drift, not ready", seen(drift=("a",), ready=False), policy(), ME, Update(("a",))),
    ("drift of a once thing", seen(drift=("a",)), policy(), knows(once=True), Done()),
    ("a second one of ours", seen(surplus=("7",), ready=False), policy(), knows(once=True), Update(("second 7",))),
    (
        "a second one of ours, on its way out",
        seen(surplus=("7",), ready=False, message="half"),
        policy(),
        knows(once=True, tried=tried("update")),
        Wait("half"),
    ),
    ("a second one of ours, read only", seen(surplus=("7",)), READ_ONLY, knows(once=True), Done()),
    ("new value that can be read back", seen(), policy(), knows(changed=True), Done()),
    ("new value that cannot be read back", seen(), policy(), knows(changed=True, blind=True), Update(("value",))),
    ("same value that cannot be read back", seen(), policy(), knows(blind=True), Done()),
    ("new value that another one has written", seen(attested=True), policy(), knows(changed=True, blind=True), Done()),
    (
        "new value that another one has written, and drift",
        seen(attested=True, drift=("a",)),
        policy(),
        knows(changed=True, blind=True),
        Update(("a",)),
    ),
    ("under way", seen(ready=False, message="half", after=S), policy(), ME, Wait("half", after=S)),
    ("as wanted", seen(), policy(), ME, Done()),
    ("as wanted, just changed to it", seen(), policy(), knows(tried=tried("update")), Done()),
    (
        "as wanted, another value on its way",
        seen(),
        policy(),
        knows(tried=tried("update", same=False)),
        Wait("…", after=S),
    ),
    (
        "as wanted, its deletion on its way",
        seen(),
        policy(),
        knows(tried=tried("delete", same=False)),
        Wait("…", after=S),
    ),
    ("as wanted, another value long ago", seen(), policy(), knows(tried=tried("update", OLD, same=False)), Done()),
    (
        "once, asked for with another value",
        seen(),
        policy(),
        knows(once=True, tried=tried("create", same=False)),
        Done(),
    ),
    ("as wanted, read-only", seen(), READ_ONLY, ME, Done()),
]


@pytest.mark.parametrize(
    ("observed", "allowed", "memory", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_decide(observed: Observation, allowed: EffectivePolicy, memory: Memory, expected: Action) -> None:
    assert plain(decide(observed, allowed, memory)) == plain(expected)


REMOVALS: list[tuple[str, Observation, EffectivePolicy, Memory, Action]] = [
    ("absent", ABSENT, policy(), ME, Released()),
    ("absent, just made", ABSENT, policy(), knows(tried=tried("create")), Wait("…", after=S)),
    ("absent, just made, already seen since", ABSENT, policy(), knows(tried=tried("create"), seen=True), Released()),
    ("absent, made long ago", ABSENT, policy(), knows(tried=tried("create", OLD)), Released()),
    (
        "absent, perhaps still on its way",
        ABSENT,
        policy(),
        knows(tried=tried("create", OLD), arrival=OLD + S),
        Wait("…", after=S),
    ),
    ("absent, arrived by now", ABSENT, policy(), knows(tried=tried("create", OLD), arrival=OLD), Released()),
    (
        "absent, seen since, and may not come again",
        ABSENT,
        policy(),
        knows(tried=tried("create", OLD), arrival=OLD + S, seen=True),
        Released(),
    ),
    (
        "unmarked, our mark perhaps on its way",
        seen(None),
        policy(),
        knows(tried=tried("update", OLD), arrival=OLD + S),
        Wait("…", after=S),
    ),
    (
        "absent after its deletion, but made twice, and the first attempt may still arrive",
        ABSENT,
        policy(),
        knows(tried=tried("delete", OLD), seen=True, doubt=OLD, arrival=OLD + S),
        Wait("…", after=S),
    ),
    ("absent, a first attempt has arrived", ABSENT, policy(), knows(seen=True, doubt=OLD, arrival=OLD), Released()),
    ("absent, just changed", ABSENT, policy(), knows(tried=tried("update")), Released()),
    ("absent, just deleted", ABSENT, policy(), knows(tried=tried("delete")), Released()),
    ("absent, just made, left anyway", ABSENT, ORPHAN, knows(tried=tried("create")), Released()),
    ("once, out of sight", ABSENT, policy(), knows(once=True, seen=True, absent_for=S), Wait("…", after=GRACE - S)),
    ("once, out of sight as of now", ABSENT, policy(), knows(once=True, seen=True), Wait("…", after=GRACE)),
    ("once, out of sight for long", ABSENT, policy(), knows(once=True, seen=True, absent_for=GRACE), Released()),
    ("once, had ended", ABSENT, policy(), knows(once=True, seen=True, ended=True), Released()),
    ("once, never tried", ABSENT, policy(), knows(once=True), Released()),
    ("others make it", ABSENT, policy(), knows(made_elsewhere=True), Wait("…", after=GRACE)),
    ("others make it, missing for long", ABSENT, policy(), knows(made_elsewhere=True, absent_for=GRACE), Released()),
    (
        "others have just made it",
        ABSENT,
        policy(),
        knows(made_elsewhere=True, absent_for=OLD, coming=S),
        Wait("…", after=S),
    ),
    (
        "others make it, for long",
        ABSENT,
        policy(),
        knows(made_elsewhere=True, absent_for=OLD, coming=10 * GRACE),
        Wait("…", after=GRACE),
    ),
    ("others have just made it, left anyway", ABSENT, ORPHAN, knows(made_elsewhere=True, coming=S), Released()),
    ("others made it", ABSENT, policy(), knows(made_elsewhere=True, ended=True), Released()),
    ("others make it, left anyway", ABSENT, NO_DELETE, knows(made_elsewhere=True), Released()),
    ("unmarked", seen(None), policy(), ME, Released("…")),
    ("unmarked, just made by us", seen(None), policy(), knows(tried=tried("create")), Wait("…", after=S)),
    ("unmarked, just taken over by us", seen(None), policy(), knows(tried=tried("update")), Wait("…", after=S)),
    ("unmarked, made by us long ago", seen(None), policy(), knows(tried=tried("create", OLD)), Released("…")),
    ("another's", seen("other"), policy(), ME, Released("…")),
    ("another's, adoption allowed", seen("other"), ALWAYS, ME, Released("…")),
    ("another's, being deleted", seen("other", deleting=True), policy(), ME, Released("…")),
    ("ours", seen(), policy(), ME, Delete()),
    ("ours, failed", seen(failed=(Reason.BUILD_FAILED, "red")), policy(), ME, Delete()),
    ("ours, left", seen(), ORPHAN, ME, Released("…")),
    ("ours, may not be deleted", seen(), NO_DELETE, ME, Released("…")),
    ("ours, read-only", seen(), READ_ONLY, ME, Released("…")),
    ("ours, being deleted", seen(deleting=True, after=S), policy(), ME, Wait("…", after=S)),
    ("ours, just deleted", seen(), policy(), knows(tried=tried("delete")), Wait("…", after=S)),
    ("ours, deleted long ago", seen(), policy(), knows(tried=tried("delete", OLD)), Delete()),
    ("ours, just made", seen(), policy(), knows(tried=tried("create")), Delete()),
    ("existence is ownership", seen(None), policy(), knows(owned_by_mark=False), Delete()),
]


@pytest.mark.parametrize(
    ("observed", "allowed", "memory", "expected"), [row[1:] for row in REMOVALS], ids=[row[0] for row in REMOVALS]
)
def test_decide_removal(observed: Observation, allowed: EffectivePolicy, memory: Memory, expected: Action) -> None:
    assert plain(decide_removal(observed, allowed, memory)) == plain(expected)


def plain(action: Action) -> Action:
    """Without the words, which may be polished."""
    match action:
        case Wait(_, reason, after):
            return Wait("", reason, after)
        case Fail(reason, _):
            return Fail(reason, "")
        case Released(left):
            return Released("left" if left else "")
    return action


OBSERVATIONS = [
    Observation(exists=exists, owner=owner, drift=drift, ready=ready, deleting=deleting, failed=failed)
    for exists, owner, drift, ready, deleting, failed in itertools.product(
        (True, False),
        (None, "me", "other"),
        ((), ("a",)),
        (True, False),
        (True, False),
        (None, (Reason.BUILD_FAILED, "")),
    )
]
POLICIES = [
    policy(frozenset(management), deletion, adoption, drift)
    for management in itertools.chain.from_iterable(itertools.combinations(ManagementPolicy, n) for n in (1, 2, 3, 4))
    for deletion, adoption, drift in itertools.product(DeletionPolicy, Adoption, DriftPolicy)
]
MEMORIES = [
    knows(tried=attempt, changed=changed, blind=changed, once=once, seen=seen_before, owned_by_mark=not once)
    for attempt in (None, *(tried(op, age) for op in ("create", "update", "delete") for age in (FRESH, OLD)))
    for changed, once, seen_before in itertools.product((False, True), repeat=3)
]


def test_no_combination_breaks_a_rule() -> None:
    for observed, allowed, memory in itertools.product(OBSERVATIONS, POLICIES, MEMORIES):
        _assert_lawful(observed, allowed, memory, decide(observed, allowed, memory))
        _assert_lawful_removal(observed, allowed, memory, decide_removal(observed, allowed, memory))


def _assert_lawful(observed: Observation, allowed: EffectivePolicy, memory: Memory, action: Action) -> None:
    ours = observed.owner == memory.me or not memory.owned_by_mark
    match action:
        case Create():
            assert not observed.exists, "created though it is there"
            assert ManagementPolicy.CREATE in allowed.management
            assert memory.tried is None or memory.tried.op != "create" or memory.tried.age >= memory.settle
        case Update(fields):
            assert observed.exists, "changed though it is absent"
            assert fields
            assert ManagementPolicy.UPDATE in allowed.management
            adopts = allowed.adoption is Adoption.ALWAYS or (
                allowed.adoption is Adoption.IF_UNOWNED and observed.owner is None
            )
            assert ours or adopts, "changed though it is not ours"
        case Done() | Report():
            assert observed.exists
            assert ours
            assert observed.failed is None
        case Delete() | Released():
            raise AssertionError("a wanted thing is never removed")


def _assert_lawful_removal(observed: Observation, allowed: EffectivePolicy, memory: Memory, action: Action) -> None:
    match action:
        case Delete():
            assert observed.exists
            assert observed.owner == memory.me or not memory.owned_by_mark, "deleted though it is not ours"
            assert ManagementPolicy.DELETE in allowed.management
            assert allowed.deletion is DeletionPolicy.DELETE
        case Released(left):
            assert bool(left) == observed.exists, "what stays is said, and what is gone is not"
        case Wait():
            pass
        case _:
            raise AssertionError(f"a removal never ends in {action}")
