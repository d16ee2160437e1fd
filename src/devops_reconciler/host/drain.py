"""Taking the operator off a cluster: no replica acts, and no finalizer of ours holds an object any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..api.conditions import Reason
from ..api.definitions import FINALIZER
from ..api.errors import ConflictError, ExternalServiceError, Fenced, ValidationError
from ..engine.ledger import CLOSED, Ledger
from ..kinds import KINDS
from ..resources.catalog import ANSWERS_ITSELF, RESOURCES
from ..runtime.clock import Clock
from ..runtime.fence import Fence
from ..runtime.settings_variables import OperatorVariables
from ..services.kubernetes import LEASE, PEERING, Kubernetes, Object
from ..services.kubernetes_kinds import Kind
from .lease import NAME, Lease, LeasePlace
from .lease_record import Candidate, LeaseRecord, Move, decide, micro_time, record_of, released, retired
from .peers import priorities

DRAINS = "drain-"
"""What the identity of a drain begins with, in the Lease and among Kopf's peers: it is no replica."""
HOLD = timedelta(hours=24)
"""For how long replicas that run now stand by afterwards. One that is started later takes over at once."""
BUSY = timedelta(minutes=10)
"""For how long Kopf stands by in them while we are at it: if we are killed, they go on after this time."""
SETTLE = timedelta(seconds=1)
"""Between two looks: a replica that was about to act may have put a finalizer back."""
QUIET = 3
"""Looks in a row without a finalizer before it is believed."""
TRIES = 5
"""Of one patch, when somebody else changes the object at the same time; and of one object, when it is undone."""

Say = Callable[[str], None]
ALL_KINDS = tuple(what.kind for what in KINDS.values())
_REMOVABLE = {each.__name__ for each in RESOURCES if each.removable and each.__name__ not in ANSWERS_ITSELF}


@dataclass(frozen=True)
class Held:
    """One of our objects as read."""

    kind: Kind
    obj: Object

    @property
    def who(self) -> str:
        metadata = self.obj["metadata"]
        return f"{self.kind.kind} {metadata['namespace']}/{metadata['name']}"

    @property
    def bound(self) -> bool:
        """Whether our finalizer is on it."""
        return FINALIZER in (self.obj["metadata"].get("finalizers") or ())

    @property
    def outside(self) -> list[str]:
        """What it has outside, by its inventory. An inventory that cannot be read says so."""
        try:
            entries = Ledger.load((self.obj.get("status") or {}).get("applied") or []).entries
        except ValueError:
            return ["what its status does not tell: status.applied cannot be read"]
        return [f"{e.kind} {e.key}" for e in entries if e.state not in CLOSED and e.kind in _REMOVABLE]

    @property
    def said(self) -> str:
        """The reason and message of Ready."""
        conditions: Sequence[dict[str, Any]] = (self.obj.get("status") or {}).get("conditions") or ()
        ready = next((c for c in conditions if c["type"] == "Ready"), None)
        return f"{ready['reason']}: {ready.get('message', '')}" if ready else ""


async def held_objects(
    kubernetes: Kubernetes, namespaces: Sequence[str], kinds: Sequence[Kind] = ALL_KINDS
) -> list[Held]:
    """Our objects of these kinds in the watched namespaces. A cluster without our kinds has none."""
    found = []
    for kind in kinds:
        for namespace in namespaces:
            try:
                found += [Held(kind, obj) for obj in await kubernetes.list(kind, namespace)]
            except ExternalServiceError as error:
                if error.reason is not Reason.DEPENDENCY_NOT_READY:
                    raise
    return found


async def newest(kubernetes: Kubernetes, settings: OperatorVariables, identity: str) -> Candidate:
    """Newer than every replica that there is, and older than each that starts from now on.

    Replicas rank by the clocks of their nodes, and ours need not agree with those: so ours says nothing here.
    """
    obj = await kubernetes.get(LEASE, settings.operator_namespace, NAME)
    record = record_of(obj, settings.lease_duration) if obj is not None else None
    ranks = [record.holder_rank, record.wanted_rank] if record is not None else [0]
    for namespace in settings.reconciler_namespaces:
        told = priorities(await kubernetes.get(PEERING, namespace, settings.reconciler_peering_name))
        ranks += [priority for who, priority in told.items() if not who.startswith(DRAINS)]
    return Candidate(identity, max(abs(rank) for rank in ranks) + 1)


@asynccontextmanager
async def acting_alone(
    kubernetes: Kubernetes, settings: OperatorVariables, clock: Clock, identity: str, within: timedelta
) -> AsyncIterator[Kubernetes]:
    """A client that may write while we hold the Lease, and so no replica acts; Kopf stands by in all of them.

    Afterwards the Lease is nobody's, and kept for whoever is newer than we are; after an error everybody may go on.
    Raises ExternalServiceError when the holder does not give it up in this time, or it cannot be taken.
    """
    fence, me = Fence(clock), await newest(kubernetes, settings, identity)
    place = LeasePlace(settings.operator_namespace, settings.lease_duration, settings.lease_renew_interval)
    lease = Lease(kubernetes.within(settings.lease_duration / 3), clock, fence, me, place)
    keeper = asyncio.create_task(lease.run(), name="lease")
    hold: timedelta | None = None
    try:
        try:
            async with asyncio.timeout(within.total_seconds()):
                await lease.next_term()
        except TimeoutError:
            raise ExternalServiceError(_not_taken(lease, place, within), service="kubernetes") from None
        await _stand_in(kubernetes, settings, clock, me, BUSY)
        yield kubernetes.behind(fence)
        hold = HOLD
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await _stand_in(kubernetes, settings, clock, me, hold)
        await _give_up(kubernetes, place, clock, me, hold)


def _not_taken(lease: Lease, place: LeasePlace, within: timedelta) -> str:
    which, time = f"the Lease {place.namespace}/{place.name}", f"within {within.total_seconds():g} s"
    if not lease.obstacle:
        return f"{which} was not given up {time}; stop the operator, then drain again"
    return (
        f"{which} could not be taken {time}: {lease.obstacle}. If its namespace is being deleted, set "
        "OPERATOR_NAMESPACE to one that stays (for example default), then drain again"
    )


async def _stand_in(
    kubernetes: Kubernetes, settings: OperatorVariables, clock: Clock, me: Candidate, lifetime: timedelta | None
) -> None:
    """Say among Kopf's peers that we are the newest: the others stop watching, and put no finalizer back.

    Without a lifetime: say that we are gone.
    """
    entry: Object | None = None
    if lifetime is not None:
        seconds = int(lifetime.total_seconds())
        entry = {"priority": me.rank, "lifetime": seconds, "lastseen": micro_time(clock.now())}
    for namespace in settings.reconciler_namespaces:
        name = settings.reconciler_peering_name
        await kubernetes.merge_patch(PEERING, namespace, name, {"status": {me.identity: entry}})


async def _give_up(
    kubernetes: Kubernetes, place: LeasePlace, clock: Clock, me: Candidate, hold: timedelta | None
) -> None:
    """Leave the Lease, if it is still ours: for the time of `hold` to newer replicas only, else to anybody."""
    obj = await kubernetes.get(LEASE, place.namespace, place.name)
    if obj is None:
        return
    record = record_of(obj, place.duration)
    if record.holder == me.identity:
        patch = retired(me, hold, clock.now(), record) if hold else released(clock.now(), record)
        await kubernetes.merge_patch(LEASE, place.namespace, NAME, patch)


async def release_all(kubernetes: Kubernetes, namespaces: Sequence[str], clock: Clock, say: Say) -> int:
    """Take our finalizer off all our objects, until none shows for a while; how many were released.

    Raises ExternalServiceError when another replica takes over meanwhile, or somebody always puts a finalizer back.
    """
    count, quiet = 0, 0
    times: Counter[str] = Counter()
    while quiet < QUIET:
        bound = [held for held in await held_objects(kubernetes, namespaces) if held.bound]
        for held in bound:
            times[held.who] += 1
            if times[held.who] > TRIES:
                text = f"something puts the finalizer of {held.who} back; stop the operator, then drain again"
                raise ExternalServiceError(text, service="kubernetes")
            await _release(kubernetes, held)
            count += 1
            outside = ", ".join(held.outside)
            say(f"{held.who}: released; " + (f"stays outside: {outside}" if outside else "nothing of it is outside"))
        quiet = 0 if bound else quiet + 1
        await clock.sleep(SETTLE)
    return count


async def _release(kubernetes: Kubernetes, held: Held) -> None:
    metadata = held.obj["metadata"]
    obj: Object | None = held.obj
    changed = ""
    for _ in range(TRIES):
        if obj is None or obj["metadata"]["uid"] != metadata["uid"]:
            return
        rest = [name for name in obj["metadata"].get("finalizers") or () if name != FINALIZER]
        patch = {"metadata": {"finalizers": rest, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            await kubernetes.merge_patch(held.kind, metadata["namespace"], metadata["name"], patch)
        except Fenced as error:
            text = f"{held.who} was not released: another replica has taken over; stop the operator, then drain again"
            raise ExternalServiceError(text, service="kubernetes") from error
        except ConflictError as error:
            changed = error.message
            obj = await kubernetes.get(held.kind, metadata["namespace"], metadata["name"])
        else:
            return
    raise ExternalServiceError(f"{held.who} changes all the time ({changed}); drain again", service="kubernetes")


async def replicas(kubernetes: Kubernetes, settings: OperatorVariables, clock: Clock) -> list[Candidate]:
    """Operators that still show signs of life among Kopf's peers."""
    found = set()
    for namespace in settings.reconciler_namespaces:
        peering = await kubernetes.get(PEERING, namespace, settings.reconciler_peering_name)
        for identity, entry in ((peering or {}).get("status") or {}).items():
            if str(identity).startswith(DRAINS) or not isinstance(entry, dict):
                continue
            seen = datetime.fromisoformat(str(entry.get("lastseen")))
            if clock.now() - seen < timedelta(seconds=int(entry.get("lifetime") or 0)):
                found.add(Candidate(str(identity), int(entry.get("priority") or 0)))
    return sorted(found, key=lambda each: each.identity)


async def require_its_lease(kubernetes: Kubernetes, settings: OperatorVariables, clock: Clock) -> None:
    """Raises ValidationError where replicas live that do not go by the Lease in OPERATOR_NAMESPACE.

    Those that go by it take it within its duration, unless one of them has it or a drain keeps it from them.
    """
    since = clock.monotonic()
    while True:
        living = await replicas(kubernetes, settings, clock)
        obj = await kubernetes.get(LEASE, settings.operator_namespace, NAME)
        record = record_of(obj, settings.lease_duration) if obj is not None else None
        if not living or _is_theirs(record, living, settings.lease_duration):
            return
        if clock.monotonic() - since >= settings.lease_duration.total_seconds() * 2:
            break
        await clock.sleep(settings.lease_renew_interval / 2)
    state = "is not there" if record is None else f"is held by {record.holder or 'nobody'}"
    names, namespaces = ", ".join(each.identity for each in living), ", ".join(settings.reconciler_namespaces)
    raise ValidationError(
        f"the Lease {settings.operator_namespace}/{NAME} {state}, but replicas of the operator live, by the "
        f"KopfPeering {settings.reconciler_peering_name} in {namespaces}: {names}. Set OPERATOR_NAMESPACE to the "
        "namespace in which they run; if they run no more, try again in a minute"
    )


def _is_theirs(record: LeaseRecord | None, living: Sequence[Candidate], duration: timedelta) -> bool:
    if record is None:
        return False
    if record.holder:
        return record.holder in {each.identity for each in living}
    return all(decide(record, each, None, duration) is not Move.TAKE for each in living)
