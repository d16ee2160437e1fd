"""Replicas over one Lease: whatever happens, at most one acts, and in the end one does."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ConflictError, CredentialsError, ExternalServiceError
from devops_reconciler.runtime.urgency import Urgency, current_urgency
from devops_reconciler.services.kubernetes import LEASE
from tests.unit.messages.broker import turns

from .replicas import SYSTEM, Place, Replica

DOWN = ExternalServiceError("kubernetes: no answer", service="kubernetes")


async def test_the_lease_goes_before_all_other_requests(place: Place) -> None:
    seen: set[Urgency] = set()
    replica = await place.replica("a")
    replica.line.before = lambda _call: seen.add(current_urgency())
    await place.passes(10)
    assert seen == {Urgency.ARRIVAL}


async def test_the_only_replica_acts_at_once_and_goes_on_acting(place: Place) -> None:
    only = await place.replica("a")
    assert only.acts
    await place.passes(120)
    assert only.acts
    assert len(only.terms) == 1
    assert await only.lease.check() == "a acts"


async def test_a_newer_replica_takes_over_when_the_work_of_the_older_has_ended(place: Place) -> None:
    old = await place.replica("old")
    old.idle.clear()
    new = await place.replica("new")
    await place.passes(30)
    assert place.holder == "old"
    assert old.acts, "what is in flight may be ended"
    assert old.terms[0].over.is_set()
    assert not new.acts
    old.idle.set()
    await place.passes(2)
    assert (place.holder, old.acts, new.acts) == ("new", False, True)
    await place.passes(4)
    assert await old.lease.check() == "standby; new acts"


async def test_the_handover_takes_one_interval_and_a_bit(place: Place) -> None:
    await place.replica("old")
    new = await place.replica("new")
    await place.passes(3 + 1)
    assert new.acts


async def test_an_older_replica_asks_for_nothing(place: Place) -> None:
    first = await place.replica("first")
    second = await place.replica("second")
    await place.passes(5)
    assert second.acts
    await place.passes(60)
    assert second.acts
    assert len(second.terms) == 1
    assert not first.lease.acts


async def test_a_crashed_holder_is_replaced_after_the_duration_and_not_before(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await place.passes(5)
    assert new.acts
    await new.kill()
    await place.passes(11, stopped=(new,))
    assert not old.acts
    await place.passes(8, stopped=(new,))
    assert old.acts


async def test_a_stopped_holder_finds_its_fence_closed_before_it_has_noticed_anything(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await place.passes(5)
    assert new.acts
    await place.passes(20, stopped=(new,))
    assert old.acts
    assert new.fence.is_open, "its clock stands still"
    await place.resumes(new)
    assert not new.fence.is_open
    assert not new.acts
    await place.passes(1)
    assert new.terms[0].lost


async def test_a_machine_that_stood_still_with_its_monotonic_clock_ends_the_term(place: Place) -> None:
    only = await place.replica("a")
    await place.passes(4)
    only.clock.step(timedelta(hours=1))
    assert not only.acts, "another may have acted meanwhile"
    await place.passes(4)
    assert only.acts
    assert [term.lost for term in only.terms] == [True, False]


async def test_a_replica_that_was_found_silent_does_not_ask_for_the_lease_back(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await place.passes(5)
    await place.passes(20, stopped=(new,))
    await place.resumes(new)
    await place.passes(60)
    assert old.acts
    assert len(old.terms) == 2
    assert [told.rank for told in new.told] == [-1001]
    await old.kill()
    await place.passes(20, stopped=(old,))
    assert new.acts, "but it takes over what is free"


async def test_the_holder_acts_no_longer_than_its_last_renewal_allows_when_the_api_is_away(place: Place) -> None:
    only = await place.replica("a")
    await place.passes(6)
    only.line.fail("kubernetes.*", DOWN, times=10**6)
    await place.passes(8)
    assert only.acts
    await place.passes(4.5)
    assert not only.acts
    with pytest.raises(ExternalServiceError, match="no answer"):
        await only.lease.check()
    await place.passes(20)
    only.line.faults.clear()
    await place.passes(4)
    assert only.acts, "nobody has taken it meanwhile"
    assert only.told == []


async def test_a_renewal_counts_from_before_its_request_and_not_from_its_answer(place: Place) -> None:
    only = await place.replica("a")
    await place.passes(2.75)
    slow = timedelta(seconds=5)

    def takes_time(operation: str) -> None:
        if operation.startswith("kubernetes.merge_patch"):
            only.line.before = None
            only.clock.advance(slow)

    only.line.before = takes_time
    await place.passes(0.25)
    assert only.clock.monotonic() == 3 + slow.total_seconds()
    only.line.fail("kubernetes.*", DOWN, times=100)
    only.clock.advance(timedelta(seconds=3 + 12 - 8 - 0.1))
    assert only.fence.is_open
    only.clock.advance(timedelta(seconds=0.1))
    assert not only.fence.is_open


async def test_a_new_term_does_not_begin_before_the_work_of_the_lost_one_has_ended(place: Place) -> None:
    only = await place.replica("a")
    only.idle.clear()
    only.line.fail("kubernetes.*", DOWN, times=10**6)
    await place.passes(16)
    only.line.faults.clear()
    await place.passes(20)
    assert not only.acts
    only.idle.set()
    await place.passes(1)
    assert only.acts


async def test_a_renewal_that_had_its_effect_without_an_answer_is_no_loss(place: Place) -> None:
    only = await place.replica("a")
    await place.passes(4)
    only.line.fail("kubernetes.merge_patch*", DOWN, times=2, after_effect=True)
    await place.passes(30)
    assert only.acts
    assert len(only.terms) == 1


async def test_a_taking_that_had_its_effect_without_an_answer_is_found_at_the_next_look(place: Place) -> None:
    lost = ExternalServiceError("kubernetes: no answer", service="kubernetes")
    made = Replica(place.cluster, "a", 1000)
    made.line.fail("kubernetes.create*", lost, after_effect=True)
    place.replicas.append(made)
    await made.start()
    assert not made.acts
    await place.passes(4)
    assert made.acts


async def test_two_that_begin_together_end_with_the_newer_one(place: Place) -> None:
    one, two = Replica(place.cluster, "one", 1), Replica(place.cluster, "two", 2)
    place.replicas += [one, two]
    await asyncio.gather(one.start(), two.start())
    await place.passes(6)
    assert two.acts


async def test_who_asked_and_died_holds_nobody_up_for_longer_than_the_duration(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await new.kill()
    await place.passes(4, stopped=(new,))
    assert place.holder == ""
    await place.passes(18, stopped=(new,))
    assert old.acts
    await place.passes(30, stopped=(new,))
    assert len(old.terms) == 2, "the old wish was forgotten"


async def test_resigning_ends_the_work_first_and_gives_the_lease_to_the_other_at_once(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await place.passes(5)
    new.idle.clear()
    resigning = asyncio.create_task(new.lease.resign())
    await place.passes(10)
    assert not resigning.done()
    assert place.holder == "new"
    new.idle.set()
    await turns()
    assert resigning.done()
    await place.passes(3)
    assert old.acts
    await place.passes(30)
    assert not new.lease.acts, "it takes it no more"


async def test_resigning_before_the_work_has_begun_waits_for_nobody(place: Place) -> None:
    only = Replica(place.cluster, "only", 1)
    taking = asyncio.create_task(only.lease.run())
    await turns()
    assert only.lease.acts
    resigning = asyncio.create_task(only.lease.resign())
    await turns()
    assert resigning.done()
    assert place.holder == ""
    taking.cancel()


async def test_a_term_whose_work_began_again_after_a_failure_is_ended_before_the_lease_is_given(place: Place) -> None:
    old = await place.replica("old")
    (term,) = old.terms
    term.end()  # as duties that failed do; their task is started again
    assert await old.lease.next_term() is term
    old.idle.clear()
    new = await place.replica("new")
    await place.passes(10)
    assert (place.holder, new.acts) == ("old", False)
    old.idle.set()
    await place.passes(5)
    assert new.acts


async def test_resigning_without_the_lease_is_nothing(place: Place) -> None:
    old = await place.replica("old")
    await place.replica("new")
    await place.passes(5)
    await asyncio.wait_for(old.lease.resign(), 1)


@pytest.mark.parametrize("lost", [None, "the request", "the answer"], ids=lambda lost: f"lost {lost}")
@pytest.mark.parametrize("request_", ["create", "merge_patch"])
async def test_resigning_while_the_lease_is_being_taken_gives_it_back(
    place: Place, request_: str, lost: str | None
) -> None:
    if request_ == "merge_patch":
        before = await place.replica("before")
        await before.lease.resign()
    made = Replica(place.cluster, "made", 2000)
    asked, gate = asyncio.Event(), asyncio.Event()

    async def wire(call: str) -> None:
        if request_ in call:
            asked.set()
            await gate.wait()

    made.line.wire = wire
    if lost is not None:
        made.line.fail(f"kubernetes.{request_}*", DOWN, after_effect=lost == "the answer")
    place.replicas.append(made)
    await made.start()
    assert asked.is_set()
    resigning = asyncio.create_task(made.lease.resign())
    await turns()
    assert not resigning.done()
    gate.set()
    await turns()
    assert resigning.done()
    assert (made.terms, made.fence.is_open, place.holder) == ([], False, "")
    await place.passes(30)
    assert (made.terms, place.holder) == ([], "")


async def test_a_release_that_fails_is_tried_again_and_nothing_is_done_meanwhile(place: Place) -> None:
    old = await place.replica("old")
    old.line.fail("kubernetes.merge_patch*", DOWN, times=2)
    await place.replica("new")
    await place.passes(15)
    assert place.holder == "new"
    assert not old.terms[0].lost


@pytest.mark.parametrize("other", [True, False], ids=["another takes it", "nobody takes it"])
async def test_a_release_that_had_its_effect_without_an_answer_ends_the_resigning(place: Place, other: bool) -> None:
    only = await place.replica("only")
    await place.passes(2)
    if other:
        await place.replica("standby")
        await place.passes(2)
    holder = next(each for each in place.replicas if each.acts)
    resigning = asyncio.create_task(holder.lease.resign())
    holder.line.fail("kubernetes.merge_patch*", DOWN, times=2, after_effect=True)
    await place.passes(10)
    assert resigning.done()
    assert not holder.acts
    assert only.acts is other


async def test_the_holder_makes_a_deleted_lease_anew_and_the_others_wait_for_it(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new")
    await place.passes(5)
    place.cluster.remove(LEASE, SYSTEM, "devops-reconciler")
    await place.passes(4)
    assert (place.holder, new.acts, len(new.terms)) == ("new", True, 1)
    assert not old.acts


async def test_a_hand_on_the_lease_ends_the_term(place: Place) -> None:
    only = await place.replica("a")
    place.cluster.change(LEASE, SYSTEM, "devops-reconciler", {"spec": {"holderIdentity": "somebody"}})
    await place.passes(4)
    assert not only.acts
    assert only.terms[0].lost


async def test_a_missing_permission_shows_in_the_check(place: Place) -> None:
    made = Replica(place.cluster, "a", 1)
    made.line.fail("kubernetes.create*", CredentialsError("leases is forbidden"), times=3)
    place.replicas.append(made)
    await made.start()
    with pytest.raises(ExternalServiceError, match=r"devops-system/devops-reconciler: leases is forbidden"):
        await made.lease.check()


async def test_a_race_for_a_free_lease_has_one_winner(place: Place) -> None:
    made = Replica(place.cluster, "a", 1)
    made.line.fail("kubernetes.create*", ConflictError("already exists", details={"reason": "AlreadyExists"}))
    place.replicas.append(made)
    await made.start()
    await place.passes(1)
    assert made.acts


@pytest.mark.parametrize("seed", range(16))
async def test_whatever_happens_at_most_one_acts_and_in_the_end_one_does(place: Place, seed: int) -> None:
    dice = random.Random(seed)
    for name in ("a", "b", "c"):
        await place.replica(name)
    # A replica that starts in the moment in which the Lease is deleted cannot know of it: so not both in one life.
    rare = "kill" if seed % 2 else "hand"
    stopped: list[Replica] = []
    for _ in range(25):
        it = dice.choice(place.replicas)
        match dice.choice(["stop", "go on", "down", "lost answers", "busy", "nothing", rare]):
            case "stop" if it not in stopped and len(stopped) < 2:
                stopped.append(it)
            case "go on" if it in stopped:
                stopped.remove(it)
                await place.resumes(it)
            case "down":
                it.line.fail("kubernetes.*", DOWN, times=dice.randint(1, 12))
            case "lost answers":
                it.line.fail("kubernetes.*", DOWN, times=dice.randint(1, 4), after_effect=True)
            case "kill" if it not in stopped:
                await it.kill()
                place.replicas.remove(it)
                await place.replica(f"{it.lease.me.identity}'")
            case "busy":
                (it.idle.clear if it.idle.is_set() else it.idle.set)()
            case "hand":
                place.cluster.remove(LEASE, SYSTEM, "devops-reconciler")
        await place.passes(dice.choice([0.5, 3, 9, 20]), stopped=tuple(stopped))
    for it in place.replicas:
        it.line.faults.clear()
        it.idle.set()
        if it in stopped:
            await place.resumes(it)
    await place.passes(60)
    assert sum(it.acts for it in place.replicas) == 1
