"""A replica that is not fit takes the Lease from nobody, and what nobody holds it takes all the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.drain import HOLD
from devops_reconciler.host.fitness import LAPSE, STEADY, Fitness
from devops_reconciler.host.lease import LeasePlace
from devops_reconciler.host.lease_record import WANTED_BY, Candidate, LeaseRecord, retired
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker
from devops_reconciler.services.kubernetes import LEASE
from tests.unit.messages.broker import turns

from .replicas import PLACE, SYSTEM, Place

AWAY = "rabbitmq_connection: no messages are taken"
NAME = "devops-reconciler"


def asked_by(place: Place) -> str:
    found = place.cluster.see(LEASE, SYSTEM, NAME)
    assert found is not None
    return str(found["metadata"].get("annotations", {}).get(WANTED_BY, ""))


async def test_a_newer_replica_that_is_not_fit_leaves_the_holder_alone_until_it_is(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new", lacking=AWAY)
    for _ in range(60):
        await place.passes(1)
        assert old.acts
        assert asked_by(place) == ""
    assert len(old.terms) == 1
    assert not old.terms[0].over.is_set()
    said = f"standby; old acts; this replica is newer and does not ask for the Lease yet: {AWAY}"
    assert await new.lease.check() == said
    new.lacking = ""
    await place.passes(3 + 2)
    assert (place.holder, new.acts, old.acts) == ("new", True, False)
    assert await new.lease.check() == "new acts"


async def test_one_that_is_not_fit_takes_over_from_a_holder_that_is_silent(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new", lacking=AWAY)
    await place.passes(5)
    await old.kill()
    await place.passes(9, stopped=(old,))
    assert not new.acts
    await place.passes(8, stopped=(old,))
    assert new.acts


async def test_one_that_is_not_fit_takes_a_lease_that_nobody_has_at_once(place: Place) -> None:
    only = await place.replica("only", lacking=AWAY)
    assert only.acts
    await only.kill()
    place.cluster.change(LEASE, SYSTEM, NAME, {"spec": {"holderIdentity": None}})
    other = await place.replica("other", lacking=AWAY)
    assert other.acts


async def test_one_that_comes_and_goes_before_it_is_fit_disturbs_nobody(place: Place) -> None:
    old = await place.replica("old")
    for number in range(5):
        new = await place.replica(f"new-{number}", lacking=AWAY)
        await place.passes(8)
        await new.kill()
        place.replicas.remove(new)
    assert old.acts
    assert len(old.terms) == 1


async def test_who_is_told_to_go_while_its_fitness_is_looked_at_asks_no_more(place: Place) -> None:
    old = await place.replica("old")
    new = await place.replica("new", lacking=AWAY)
    new.known.clear()
    await place.passes(1)
    await new.lease.resign()
    new.lacking = ""
    new.known.set()
    await place.passes(10)
    assert old.acts
    assert asked_by(place) == ""


def left_by_a_drain(place: Place, rank: int) -> None:
    before = LeaseRecord("1", "drain-x", rank, "x", PLACE.duration, 1, "", 0)
    lease = retired(Candidate("drain-x", rank), HOLD, datetime(2026, 1, 1, tzinfo=UTC), before)
    place.cluster.put(LEASE, SYSTEM, {**lease, "metadata": {**lease["metadata"], "name": NAME}})


async def test_who_stands_by_while_nobody_holds_the_lease_says_so_and_what_to_do(place: Place) -> None:
    left_by_a_drain(place, 10**6)
    old = await place.replica("old")
    await place.passes(40)
    assert await old.lease.check() == "standby; nobody acts"
    await place.passes(10)
    with pytest.raises(ExternalServiceError) as told:
        await old.lease.check()
    assert "nobody has held it for 50 s, nothing is done; drain-x keeps it for 24.0 h" in told.value.message
    assert told.value.message.endswith("from replicas older than itself: start one anew")


async def test_a_standby_of_one_that_acts_is_well_for_as_long_as_it_takes(place: Place) -> None:
    old = await place.replica("old")
    await place.replica("new")
    await place.passes(300)
    assert await old.lease.check() == "standby; new acts"


async def test_fitness_is_looked_at_often_enough_however_seldom_the_lease_is_renewed() -> None:
    place = Place(LeasePlace(SYSTEM, timedelta(minutes=5), timedelta(minutes=1)))
    await place.replica("old")
    new = await place.replica("new", lacking=AWAY)
    await place.passes(90)
    gaps = [later - earlier for earlier, later in itertools.pairwise(new.looks)]
    assert gaps
    assert max(gaps) < LAPSE.total_seconds()
    for replica in place.replicas:
        await replica.kill()


class Checks:
    """The health of a replica whose answers the test gives."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ill: dict[str, str] = {}
        health = HealthChecker(self.clock)
        for name in ("lease", "rabbitmq_connection", "audit_trail"):
            health.register(name, self._check(name), essential=True, max_age=timedelta(seconds=1))
        health.register("jenkins", self._check("jenkins"))
        self.fitness = Fitness(health, self.clock, but="lease")

    def _check(self, name: str):  # type: ignore[no-untyped-def]
        async def check() -> str:
            if name in self.ill:
                raise RuntimeError(self.ill[name])
            return "well"

        return check

    async def after(self, time: timedelta) -> str:
        self.clock.advance(time)
        await turns()
        return await self.fitness.lacks()


SECOND = timedelta(seconds=1)


async def test_it_is_fit_when_all_but_the_lease_has_been_well_for_some_seconds() -> None:
    checks = Checks()
    checks.ill = {"lease": "not looked at yet", "jenkins": "down"}
    assert await checks.after(SECOND) == "it is to be ready for 3 s first"
    assert await checks.after(STEADY - SECOND) != ""
    assert await checks.after(SECOND) == ""


async def test_what_fails_is_named_and_the_time_begins_anew_then() -> None:
    checks = Checks()
    await checks.after(SECOND)
    assert await checks.after(STEADY) == ""
    checks.ill = {"audit_trail": "no space", "rabbitmq_connection": "refused"}
    assert await checks.after(SECOND) == "rabbitmq_connection: refused; audit_trail: no space"
    checks.ill = {}
    assert await checks.after(SECOND) != ""
    assert await checks.after(STEADY) == ""


async def test_what_was_seen_long_ago_says_nothing_of_the_time_between() -> None:
    checks = Checks()
    await checks.after(SECOND)
    assert await checks.after(STEADY) == ""
    assert await checks.after(LAPSE + SECOND) != ""
