"""Drain: who may act afterwards, what is released, and in which order everything is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ConflictError, ExternalServiceError, Fenced, ValidationError, Waiting
from devops_reconciler.host import departure
from devops_reconciler.host.departure import ORDER, delete_all, require_operator
from devops_reconciler.host.drain import (
    HOLD,
    QUIET,
    Held,
    acting_alone,
    held_objects,
    newest,
    release_all,
    replicas,
    require_its_lease,
)
from devops_reconciler.host.lease_record import Candidate, LeaseRecord, Move, decide, held_by, retired
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.settings_variables import OperatorVariables
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, LEASE, PEERING, REGISTRY_SETTINGS
from tests.unit.world import TEAM, Outside, outside

FINALIZER = "freeleaps.com/finalizer"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DURATION = timedelta(seconds=15)


class SteppingClock(FakeClock):
    """Sleeping takes no time but moves the clock."""

    async def sleep(self, delay: timedelta) -> None:
        self.advance(delay)


def settings(**changes: Any) -> OperatorVariables:
    return OperatorVariables(reconciler_namespaces=(TEAM,), operator_namespace=TEAM, **changes)


def put(out: Outside, kind: Any, name: str, *finalizers: str, **status: Any) -> None:
    metadata = {"name": name, "finalizers": list(finalizers)}
    out.kubernetes.put(kind, TEAM, {"metadata": metadata, "spec": {}, "status": status})


def finalizers(out: Outside, kind: Any, name: str) -> list[str]:
    found = out.kubernetes.see(kind, TEAM, name)
    assert found is not None
    return list(found["metadata"].get("finalizers") or ())


def retired_record() -> LeaseRecord:
    """What a Lease says after a drain by a candidate of rank 50."""
    me = Candidate("drain", 50)
    patch = retired(me, HOLD, NOW, LeaseRecord("1", "drain", 50, "x", DURATION, 1, "", 0))
    annotations, spec = patch["metadata"]["annotations"], patch["spec"]
    assert patch["metadata"]["resourceVersion"] == "1"
    assert spec["holderIdentity"] is None
    seconds = timedelta(seconds=spec["leaseDurationSeconds"])
    wanted = annotations["freeleaps.com/wanted-by"], int(annotations["freeleaps.com/wanted-rank"])
    return LeaseRecord("2", "", 0, spec["renewTime"], seconds, 1, *wanted)


def test_after_a_drain_a_newer_replica_takes_the_lease_at_once_and_an_older_one_does_not_for_a_day() -> None:
    record = retired_record()
    assert decide(record, Candidate("newer", 51), None, DURATION) is Move.TAKE
    for silent in (None, DURATION * 2, HOLD - DURATION):
        assert decide(record, Candidate("older", 49), silent, DURATION) is Move.REST
        assert decide(record, Candidate("stepped back", -60), silent, DURATION) is Move.REST
    assert decide(record, Candidate("older", 49), HOLD, DURATION) is Move.TAKE


def test_who_takes_a_retired_lease_holds_it_by_the_usual_terms() -> None:
    patch = held_by(Candidate("newer", 51), DURATION, NOW, retired_record())
    assert patch["spec"]["leaseDurationSeconds"] == 15
    assert patch["metadata"]["annotations"]["freeleaps.com/wanted-by"] is None


async def test_our_finalizer_goes_and_those_of_others_stay() -> None:
    out, said = outside(), []
    put(out, REGISTRY_SETTINGS, "shop", FINALIZER, "theirs/finalizer", applied=[
        {"step": "repository", "kind": "HubRepository", "key": "acme/shop", "state": "active"},
        {"step": "old", "kind": "HubRepository", "key": "acme/old", "state": "cleaned"},
    ])  # fmt: skip
    put(out, DEVOPS_PROJECT, "shop", FINALIZER)
    released = await release_all(out.kubernetes, [TEAM], SteppingClock(), said.append)  # type: ignore[arg-type]
    assert released == 2
    assert finalizers(out, REGISTRY_SETTINGS, "shop") == ["theirs/finalizer"]
    assert f"RegistrySettings {TEAM}/shop: released; stays outside: HubRepository acme/shop" in said
    assert f"DevOpsProject {TEAM}/shop: released; nothing of it is outside" in said


async def test_a_finalizer_that_is_put_back_is_taken_off_again() -> None:
    out = outside()
    put(out, DEVOPS_PROJECT, "shop", FINALIZER)

    def put_back_once(name: str) -> None:
        late = name == "kubernetes.list DeploymentRecord" and out.line.count("kubernetes.merge_patch*") == 1
        if late and not finalizers(out, DEVOPS_PROJECT, "shop"):
            out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"metadata": {"finalizers": [FINALIZER]}})

    out.line.before = put_back_once
    assert await release_all(out.kubernetes, [TEAM], SteppingClock(), lambda line: None) == 2  # type: ignore[arg-type]
    assert finalizers(out, DEVOPS_PROJECT, "shop") == []
    assert out.line.count("kubernetes.list DevOpsProject") >= QUIET + 2


async def test_a_finalizer_that_is_always_put_back_ends_it_with_what_to_do() -> None:
    out = outside()
    put(out, DEVOPS_PROJECT, "shop", FINALIZER)

    def put_back(name: str) -> None:
        out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"metadata": {"finalizers": [FINALIZER]}})

    out.line.before = lambda name: put_back(name) if name == "kubernetes.list DevOpsProject" else None
    with pytest.raises(ExternalServiceError, match="puts the finalizer of DevOpsProject team-a/shop back; stop the op"):
        await release_all(out.kubernetes, [TEAM], SteppingClock(), lambda line: None)  # type: ignore[arg-type]


async def test_an_object_that_changes_meanwhile_is_read_again() -> None:
    out = outside()
    put(out, DEVOPS_PROJECT, "shop", FINALIZER)
    out.line.fail("kubernetes.merge_patch*", ConflictError("changed", status=409), times=2)
    assert await release_all(out.kubernetes, [TEAM], SteppingClock(), lambda line: None) == 1  # type: ignore[arg-type]
    assert finalizers(out, DEVOPS_PROJECT, "shop") == []


async def test_when_another_replica_takes_over_it_says_so_and_stops() -> None:
    out = outside()
    put(out, DEVOPS_PROJECT, "shop", FINALIZER)
    out.line.fail("kubernetes.merge_patch*", Fenced("not ours"), times=9)
    with pytest.raises(ExternalServiceError, match="another replica has taken over; stop the operator"):
        await release_all(out.kubernetes, [TEAM], SteppingClock(), lambda line: None)  # type: ignore[arg-type]


async def test_a_cluster_without_our_kinds_has_nothing_and_an_ill_one_is_no_empty_one() -> None:
    out = outside()
    unknown = ExternalServiceError("unknown kind", service="kubernetes", reason=Reason.DEPENDENCY_NOT_READY)
    out.line.fail("kubernetes.list*", unknown, times=6)
    assert await held_objects(out.kubernetes, [TEAM]) == []  # type: ignore[arg-type]
    out.line.fail("kubernetes.list*", ExternalServiceError("503", service="kubernetes"))
    with pytest.raises(ExternalServiceError):
        await held_objects(out.kubernetes, [TEAM])  # type: ignore[arg-type]


def test_an_inventory_that_cannot_be_read_is_said() -> None:
    obj = {"metadata": {"name": "shop", "namespace": TEAM}, "status": {"applied": [{"step": 1}]}}
    assert "cannot be read" in Held(DEVOPS_PROJECT, obj).outside[0]


async def test_projects_are_deleted_first_and_the_next_kind_waits_until_they_are_gone() -> None:
    out, clock, order = outside(), SteppingClock(), []
    for kind in ORDER:
        put(out, kind, "shop", FINALIZER)

    def finish(name: str) -> None:
        """The operator: what is being deleted is gone at the next look."""
        for (kind, _, _), obj in list(out.kubernetes.objects.items()):
            if obj["metadata"].get("deletionTimestamp") and name == f"kubernetes.list {kind}":
                order.append(kind)
                out.kubernetes.remove(next(k for k in ORDER if k.kind == kind), TEAM, "shop")

    out.line.before = finish
    left = await delete_all(out.kubernetes, [TEAM], clock, timedelta(minutes=5), lambda line: None)  # type: ignore[arg-type]
    assert left == []
    assert order == [kind.kind for kind in ORDER]


async def test_what_does_not_go_in_time_is_given_with_what_it_says() -> None:
    out, said = outside(), []
    ready = {"type": "Ready", "status": "False", "reason": "DeletionBlocked", "message": "waits for jenkins"}
    put(out, DEVOPS_PROJECT, "shop", FINALIZER, conditions=[ready])
    left = await delete_all(out.kubernetes, [TEAM], SteppingClock(), timedelta(seconds=9), said.append)  # type: ignore[arg-type]
    assert [(held.who, held.said) for held in left] == [
        (f"DevOpsProject {TEAM}/shop", "DeletionBlocked: waits for jenkins")
    ]
    assert said == [
        f"DevOpsProject {TEAM}/shop: deletion asked for",
        f"DevOpsProject {TEAM}/shop: DeletionBlocked: waits for jenkins",
    ]


async def test_without_an_operator_that_acts_nothing_is_deleted() -> None:
    out, clock = outside(), SteppingClock()
    with pytest.raises(ExternalServiceError, match=f"no operator acts: nobody renews the Lease {TEAM}/devops-recon"):
        await require_operator(out.kubernetes, settings(), clock)  # type: ignore[arg-type]
    lease = held_by(Candidate("one", 1), DURATION, NOW, None)
    lease["metadata"]["name"] = departure.NAME
    out.kubernetes.put(LEASE, TEAM, lease)
    with pytest.raises(ExternalServiceError, match="no operator acts"):
        await require_operator(out.kubernetes, settings(), clock)  # type: ignore[arg-type]

    def renew(name: str) -> None:
        count = str(out.line.count("*"))
        out.kubernetes.change(LEASE, TEAM, departure.NAME, {"spec": {"renewTime": count}})

    out.line.before = renew
    await require_operator(out.kubernetes, settings(), clock)  # type: ignore[arg-type]


async def test_replicas_that_still_run_are_named() -> None:
    out, clock = outside(), FakeClock()
    now = clock.now()
    status = {
        "drain-desk-1a2b3c": {"lifetime": 86400, "lastseen": now.isoformat()},
        "alive": {"priority": 7, "lifetime": 60, "lastseen": (now - timedelta(seconds=30)).isoformat()},
        "dead": {"lifetime": 60, "lastseen": (now - timedelta(seconds=61)).isoformat()},
    }
    name = settings().reconciler_peering_name
    out.kubernetes.put(PEERING, TEAM, {"metadata": {"name": name}, "status": status})
    assert await replicas(out.kubernetes, settings(), clock) == [Candidate("alive", 7)]  # type: ignore[arg-type]


def live(out: Outside, clock: FakeClock, **ranks: int) -> None:
    """These are Kopf's peers, and say so at each look."""

    def show(name: str) -> None:
        seen = {"lifetime": 60, "lastseen": clock.now().isoformat()}
        status = {identity: {"priority": rank, **seen} for identity, rank in ranks.items()}
        metadata = {"name": settings().reconciler_peering_name}
        out.kubernetes.put(PEERING, TEAM, {"metadata": metadata, "status": status})

    out.line.before = show


def put_lease(out: Outside, lease: dict[str, Any]) -> None:
    metadata = {**lease["metadata"], "name": departure.NAME}
    out.kubernetes.put(LEASE, TEAM, {**lease, "metadata": metadata})


async def check_lease(out: Outside, clock: FakeClock) -> None:
    await require_its_lease(out.kubernetes, settings(), clock)  # type: ignore[arg-type]


def held(identity: str, rank: int) -> dict[str, Any]:
    return held_by(Candidate(identity, rank), DURATION, NOW, None)


def retired_by(rank: int) -> dict[str, Any]:
    before = LeaseRecord("1", "drain-x", rank, "x", DURATION, 1, "", 0)
    return retired(Candidate("drain-x", rank), HOLD, NOW, before)


async def test_without_its_lease_a_drain_of_an_operator_that_lives_is_refused_with_what_to_set() -> None:
    out, clock = outside(), SteppingClock()
    live(out, clock, one=1, two=2)
    with pytest.raises(ValidationError) as refused:
        await check_lease(out, clock)
    said = refused.value.message
    assert said.startswith(f"the Lease {TEAM}/devops-reconciler is not there, but replicas of the operator live")
    assert f"in {TEAM}: one, two. Set OPERATOR_NAMESPACE to the namespace in which they run" in said


@pytest.mark.parametrize(
    ("lease", "state"),
    [(held("long-gone", 9), "is held by long-gone"), (retired_by(1), "is held by nobody")],
    ids=["left by an operator that is gone", "left by a drain before they started"],
)
async def test_a_lease_that_those_who_live_do_not_go_by_is_not_theirs(lease: dict[str, Any], state: str) -> None:
    out, clock = outside(), SteppingClock()
    live(out, clock, one=1, two=2)
    put_lease(out, lease)
    with pytest.raises(ValidationError, match=state):
        await check_lease(out, clock)


@pytest.mark.parametrize("lease", [held("one", 1), retired_by(3)], ids=["one has it", "a drain keeps it from them"])
async def test_a_lease_that_those_who_live_go_by_is_theirs_at_once(lease: dict[str, Any]) -> None:
    out, clock = outside(), SteppingClock()
    since = clock.monotonic()
    live(out, clock, one=1, two=2)
    put_lease(out, lease)
    await check_lease(out, clock)
    assert clock.monotonic() == since


async def test_a_lease_that_changes_hands_is_waited_for() -> None:
    out, clock = outside(), SteppingClock()
    live(out, clock, one=1)
    show, since = out.line.before, clock.monotonic()

    def take(name: str) -> None:
        show(name)
        if clock.monotonic() > since + 5:
            put_lease(out, held("one", 1))

    out.line.before = take
    await check_lease(out, clock)


async def test_where_nobody_lives_no_lease_is_needed() -> None:
    out, clock = outside(), SteppingClock()
    await check_lease(out, clock)
    live(out, clock, **{"drain-desk-1a2b3c": 5})
    await check_lease(out, clock)


async def rank_of_a_drain(out: Outside) -> int:
    return (await newest(out.kubernetes, settings(), "drain-new")).rank  # type: ignore[arg-type]


async def test_a_drain_is_newer_than_all_that_are_there_and_by_no_clock_of_its_own() -> None:
    out, clock = outside(), FakeClock()
    assert await rank_of_a_drain(out) == 1
    live(out, clock, acts=7, standby=-9, **{"drain-desk-1a2b3c": 99})
    assert await rank_of_a_drain(out) == 10
    put_lease(out, held("acts", 20))
    assert await rank_of_a_drain(out) == 21
    put_lease(out, retired_by(30))
    assert await rank_of_a_drain(out) == 31


async def not_taken(out: Outside, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a drain says that waits for the Lease in vain."""
    for name in ("within", "behind"):
        monkeypatch.setattr(out.kubernetes, name, lambda _: out.kubernetes, raising=False)
    alone = acting_alone(out.kubernetes, settings(), FakeClock(), "drain-x", timedelta(seconds=0.2))  # type: ignore[arg-type]
    with pytest.raises(ExternalServiceError) as refused:
        async with alone:
            raise AssertionError("it acts")
    return refused.value.message


async def test_in_a_namespace_that_is_being_deleted_it_says_where_a_lease_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = outside()
    why = "Kubernetes: create Lease: 403 unable to create new content in team-a because it is being terminated"
    out.line.fail("kubernetes.create Lease*", Waiting(why, after=timedelta(seconds=5)), times=99)
    said = await not_taken(out, monkeypatch)
    assert said.startswith(f"the Lease {TEAM}/devops-reconciler could not be taken within 0.2 s: {why}. If its name")
    assert "set OPERATOR_NAMESPACE to one that stays (for example default), then drain again" in said
    assert "stop the operator" not in said


async def test_a_lease_that_its_holder_keeps_is_said_to_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    out = outside()
    put_lease(out, held("one", 1))
    said = await not_taken(out, monkeypatch)
    assert said.endswith("/devops-reconciler was not given up within 0.2 s; stop the operator, then drain again")
