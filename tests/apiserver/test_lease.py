"""The Lease at a real API server: what it accepts, and that two replicas with clients of their own hand over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError, Fenced
from devops_reconciler.host.lease import Lease, LeasePlace
from devops_reconciler.host.lease_record import Candidate, held_by, record_of, released, renewed_at, wanted_by
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.fence import Fence
from devops_reconciler.services.kubernetes import CONFIG_MAP, LEASE, Kubernetes
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane
from testbed.waiting import eventually

DURATION = timedelta(seconds=3)
NAME = "devops-reconciler"


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Kubernetes]:
    async with open_cluster(find_cluster(kubeconfig=str(control_plane.kubeconfig())), SystemClock()) as client:
        yield client


class Replica:
    """One replica: a client, a fence and a Lease; its duties take no time."""

    def __init__(self, client: Kubernetes, namespace: str, me: Candidate) -> None:
        clock = SystemClock()
        self.fence = Fence(clock)
        self.client = client.behind(self.fence)
        place = LeasePlace(namespace, DURATION, DURATION / 5)
        self.lease = Lease(client.within(DURATION / 3), clock, self.fence, me, place)
        self.terms = 0

    async def duties(self) -> None:
        while True:
            term = await self.lease.next_term()
            self.terms += 1
            await term.over.wait()
            term.end()

    async def acts(self) -> None:
        async def it_acts() -> bool:
            return self.lease.acts

        await eventually(it_acts, f"{self.lease.me.identity} acts")


@asynccontextmanager
async def replica(control_plane: ControlPlane, namespace: str, name: str, rank: int) -> AsyncIterator[Replica]:
    """A replica on connections of its own. Left, it is as if killed: it releases nothing."""
    async with AsyncExitStack() as stack:
        access = find_cluster(kubeconfig=str(control_plane.kubeconfig()))
        client = await stack.enter_async_context(open_cluster(access, SystemClock(), agent=f"test/{name}"))
        made = Replica(client, namespace, Candidate(name, rank))
        tasks = [asyncio.create_task(made.lease.run()), asyncio.create_task(made.duties())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_server_takes_each_form_of_the_record(client: Kubernetes, namespace: str) -> None:
    one, two, now = Candidate("one", 1), Candidate("two", 2), datetime(2026, 1, 1, tzinfo=UTC)
    first = held_by(one, DURATION, now, None)
    first["metadata"]["name"] = NAME
    found = record_of(await client.create(LEASE, namespace, first), DURATION)
    assert (found.holder, found.holder_rank, found.duration, found.transitions) == ("one", 1, DURATION, 0)
    for patch in (lambda it: wanted_by(two, it), lambda it: renewed_at(now + DURATION, it)):
        obj = await client.merge_patch(LEASE, namespace, NAME, patch(found))
        assert obj is not None
        found = record_of(obj, DURATION)
    assert (found.wanted_by, found.wanted_rank) == ("two", 2)
    obj = await client.merge_patch(LEASE, namespace, NAME, released(now, found))
    assert obj is not None
    free = record_of(obj, DURATION)
    assert (free.holder, free.wanted_by) == ("", "two")
    obj = await client.merge_patch(LEASE, namespace, NAME, held_by(two, DURATION, now, free))
    assert obj is not None
    assert record_of(obj, DURATION).transitions == 1
    assert set(obj["metadata"]["annotations"]) == {"freeleaps.com/holder-rank"}


async def test_the_newer_replica_takes_over_and_the_older_writes_nothing_more(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with replica(control_plane, namespace, "old", 1) as old:
        await old.acts()
        await old.client.create(CONFIG_MAP, namespace, {"metadata": {"name": "by-old"}})
        async with replica(control_plane, namespace, "new", 2) as new:
            await new.acts()
            assert not old.lease.acts
            with pytest.raises(Fenced):
                await old.client.create(CONFIG_MAP, namespace, {"metadata": {"name": "by-old-too"}})
            await new.client.create(CONFIG_MAP, namespace, {"metadata": {"name": "by-new"}})
        # The newer one has died: nothing was released.
        await old.acts()

        async def works_again() -> bool:
            return old.terms == 2

        await eventually(works_again, "the older one has begun a second term")


async def test_a_release_is_taken_up_without_waiting_for_the_duration(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with replica(control_plane, namespace, "old", 1) as old, replica(control_plane, namespace, "new", 2) as new:
        await new.acts()
        await new.lease.resign()
        lease = await new.client.get(LEASE, namespace, NAME)
        assert lease is not None
        await old.acts()
        assert not new.lease.acts


async def test_three_at_once_end_with_the_newest(control_plane: ControlPlane, namespace: str) -> None:
    async with (
        replica(control_plane, namespace, "one", 1) as one,
        replica(control_plane, namespace, "three", 3) as three,
        replica(control_plane, namespace, "two", 2) as two,
    ):
        await three.acts()

        async def settled() -> bool:
            try:
                return (await one.lease.check(), await two.lease.check()) == ("standby; three acts",) * 2
            except ExternalServiceError:  # who comes second in making the Lease says so until the next look
                return False

        await eventually(settled, "the others stand by")
        assert three.lease.acts
