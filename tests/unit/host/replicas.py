"""Replicas over one Lease in memory. Each has its own clock: one that stands still is a process that is stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

from devops_reconciler.host.lease import Lease, LeasePlace, Term
from devops_reconciler.host.lease_record import Candidate
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.fence import Fence
from devops_reconciler.services.kubernetes import LEASE, NAMESPACE
from tests.unit.fakes.kubernetes import FakeKubernetes
from tests.unit.fakes.line import Line
from tests.unit.messages.broker import turns

SYSTEM = "devops-system"
PLACE = LeasePlace(SYSTEM, timedelta(seconds=15), timedelta(seconds=3))
STEP = timedelta(milliseconds=250)


class Replica:
    """One process: its clock, its fence, its Lease, and a line to the API server that may break alone."""

    def __init__(
        self, cluster: FakeKubernetes, name: str, rank: int, place: LeasePlace = PLACE, watches: str = ""
    ) -> None:
        self.clock = FakeClock()
        self.fence = Fence(self.clock)
        self.line = Line()
        self.kubernetes = FakeKubernetes(self.line, self.clock)
        self.kubernetes.objects = cluster.objects
        self.kubernetes._count = cluster._count
        self.told: list[Candidate] = []
        self.lacking = ""
        """What it lacks to be fit."""
        self.looks: list[float] = []
        """When that was looked at."""
        self.known = asyncio.Event()
        """While it is not set, a look at that has no end."""
        self.known.set()
        me = Candidate(name, rank, watches)
        self.lease = Lease(cast(Any, self.kubernetes), self.clock, self.fence, me, place, self._step_back, self._lacks)
        self.terms: list[Term] = []
        self.idle = asyncio.Event()
        """While it is not set, a term that is over does not end."""
        self.idle.set()
        self._tasks: list[asyncio.Task[None]] = []

    async def _step_back(self, me: Candidate) -> None:
        self.told.append(me)

    async def _lacks(self) -> str:
        self.looks.append(self.clock.monotonic())
        await self.known.wait()
        return self.lacking

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self.lease.run()), asyncio.create_task(self._duties())]
        await turns()

    async def _duties(self) -> None:
        while True:
            term = await self.lease.next_term()
            self.terms.append(term)
            await term.over.wait()
            await self.idle.wait()
            term.end()

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def acts(self) -> bool:
        assert not (self.lease.acts and not self.fence.is_open)
        return self.lease.acts


class Place:
    """A cluster and the replicas on it."""

    def __init__(self, timing: LeasePlace = PLACE) -> None:
        self.timing = timing
        self.clock = FakeClock()
        self.cluster = FakeKubernetes(Line(), self.clock)
        self.cluster.put(NAMESPACE, None, {"metadata": {"name": SYSTEM}})
        self.replicas: list[Replica] = []

    async def replica(self, name: str, *, lacking: str = "", watches: str = "") -> Replica:
        """A new one: it is newer than all before."""
        made = Replica(self.cluster, name, 1000 + len(self.replicas), self.timing, watches)
        made.lacking = lacking
        made.clock.advance(timedelta(seconds=self.clock.monotonic()))
        self.replicas.append(made)
        await made.start()
        return made

    async def passes(self, seconds: float, *, stopped: tuple[Replica, ...] = ()) -> None:
        """Time, for all that are not stopped. At no moment may two of them act."""
        for _ in range(int(seconds / STEP.total_seconds())):
            self.clock.advance(STEP)
            for replica in self.replicas:
                if replica not in stopped:
                    replica.clock.advance(STEP)
            await turns(30)
            awake = [replica for replica in self.replicas if replica not in stopped]
            assert sum(replica.acts for replica in awake) <= 1, "two replicas act"

    async def resumes(self, replica: Replica) -> None:
        """It goes on: its clock has the time of the others at once."""
        replica.clock.advance(timedelta(seconds=self.clock.monotonic() - replica.clock.monotonic()))

    @property
    def holder(self) -> str:
        found = self.cluster.see(LEASE, SYSTEM, "devops-reconciler")
        return str((found or {"spec": {}})["spec"].get("holderIdentity") or "")
