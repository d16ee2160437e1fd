"""Who acts goes before all of Kopf's peers, and who does not stops none of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.bindings import operator_settings
from devops_reconciler.host.lease_record import Candidate
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.operator import KopfHost
from devops_reconciler.host.peers import RETRY, Peers, priorities
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import PEERING
from devops_reconciler.services.kubernetes_access import ClusterAccess, open_cluster
from tests.unit.messages.broker import turns, until
from tests.unit.world import TEAM, Outside, outside

from .kopf_server import NAME, Server
from .test_loop import Outbox

ME = Candidate("me", 1000)
AWAY = ExternalServiceError("kubernetes: no answer", service="kubernetes")


class Place:
    """One replica and what the peers of its namespaces say."""

    def __init__(self, *namespaces: str, me: Candidate = ME, **peers: int) -> None:
        self.out: Outside = outside(reconciler_namespaces=namespaces)
        status = {identity: {"priority": priority} for identity, priority in peers.items()}
        for namespace in namespaces:
            self.out.namespace(namespace)
            self.out.kubernetes.put(PEERING, namespace, {"metadata": {"name": NAME}, "status": status})
        self.kopf = operator_settings(self.out.world.settings)
        self.peers = Peers(cast(Any, self.out.kubernetes), self.out.world.clock, self.out.world.settings, self.kopf, me)

    def told(self, namespace: str = TEAM) -> dict[str, int]:
        return priorities(self.out.kubernetes.see(PEERING, namespace, NAME))

    @asynccontextmanager
    async def term(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.peers.run())
        try:
            await turns()
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def test_before_it_acts_a_new_replica_is_behind_all_older_ones() -> None:
    older, newer = Place(TEAM, me=Candidate("older", 999)), Place(TEAM)
    assert newer.kopf.peering.priority < older.kopf.peering.priority < 0


@pytest.mark.parametrize("me", [ME, ME.stepped_back()], ids=["newest", "found silent before"])
async def test_who_acts_goes_before_all_in_its_term_and_takes_out_who_would_stop_it(me: Candidate) -> None:
    place = Place(TEAM, "team-b", me=me, ahead=1_300, older=999, unfit=-1_001)
    async with place.term():
        for namespace in (TEAM, "team-b"):
            assert place.told(namespace) == {"me": 1000, "older": 999, "unfit": -1_001}
        assert place.kopf.peering.priority == 1000
    assert place.kopf.peering.priority == -1000


async def test_a_namespace_without_an_answer_is_tried_again_and_one_that_refuses_is_left() -> None:
    place = Place("shut", TEAM, "team-b", ahead=1_300)
    place.out.kubernetes.shut.add("shut")
    place.out.line.fail("kubernetes.merge_patch KopfPeering", AWAY)
    clock = place.out.clock
    async with place.term():
        assert place.told("team-b") == {"me": 1000}
        assert place.told() == {"ahead": 1_300}
        clock.advance(RETRY)
        await until(lambda: place.told() == {"me": 1000})
        gets = place.out.line.count("kubernetes.get KopfPeering")
        clock.advance(RETRY * 3)
        await turns()
        assert place.out.line.count("kubernetes.get KopfPeering") == gets


async def test_who_was_found_silent_while_it_began_takes_out_nobody() -> None:
    place = Place(TEAM, holder=1_001)
    place.out.line.fail("kubernetes.get KopfPeering", AWAY)
    async with place.term():
        await place.peers.step_back(ME.stepped_back())
        place.out.clock.advance(RETRY)
        await turns()
        assert place.told() == {"me": -1000, "holder": 1_001}


async def test_who_steps_back_tells_its_peers_at_once() -> None:
    out = outside(reconciler_namespaces=(TEAM, "team-b", "team-c"))
    out.namespace("team-b")
    for namespace in (TEAM, "team-b"):
        out.kubernetes.put(PEERING, namespace, {"metadata": {"name": NAME}, "status": {"other": {"priority": 7}}})
    away = ExternalServiceError("kubernetes: no answer", service="kubernetes")
    out.line.fail("kubernetes.merge_patch KopfPeering", away)
    kopf = operator_settings(out.world.settings)
    peers = Peers(cast(Any, out.kubernetes), out.world.clock, out.world.settings, kopf, ME)
    await peers.step_back(ME.stepped_back())
    told = out.kubernetes.see(PEERING, "team-b", NAME)
    assert told is not None
    assert told["status"]["other"] == {"priority": 7}
    assert told["status"]["me"] == {
        "priority": -ME.rank,
        "lifetime": 15,
        "lastseen": "2026-01-01T00:00:00.000000Z",
    }


@pytest.mark.parametrize("status", [None, {"x": None}, {"x": {}}, {"x": {"priority": "high"}}, {"x": "y"}])
def test_what_a_hand_has_left_among_the_peers_can_be_read(status: Any) -> None:
    assert set(priorities({"status": status}).values()) <= {0}
    assert priorities(None) == {}


@pytest.mark.usefixtures("quiet_kopf")
async def test_kopf_hears_again_where_the_holder_before_died_with_its_clock_ahead() -> None:
    """For it Kopf alone would rest for ten minutes."""
    server, out = Server(), outside(reconciler_namespaces=(TEAM,))
    ahead = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    server.peers[TEAM] = {"gone": {"priority": 1_300, "lifetime": 15, "lastseen": ahead}}
    access = ClusterAccess(await server.start())
    async with open_cluster(access, SystemClock()) as kubernetes:
        host = KopfHost(Loop(out.world, Outbox(), Metrics()), out.world, kubernetes, access, ME)
        stop = asyncio.Event()
        running = asyncio.create_task(host.run(stop))
        term = asyncio.create_task(host.peers.run())
        try:
            async with asyncio.timeout(30):
                await server.watched[TEAM].wait()
            assert "gone" not in server.peers[TEAM]
            assert server.peers[TEAM]["me"]["priority"] == 1000
        finally:
            term.cancel()
            stop.set()
            await asyncio.wait({running, term})
            await server.stop()
