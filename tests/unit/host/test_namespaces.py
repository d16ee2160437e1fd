"""A watched namespace that refuses us: the others go on, and it is taken up again when it lets us in."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.host.lease_record import Candidate
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.operator import DEAF_AFTER, LISTEN, KopfHost
from devops_reconciler.host.queue import Key
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import PEERING, REGISTRY_SETTINGS
from devops_reconciler.services.kubernetes_access import ClusterAccess
from testbed.waiting import eventually
from tests.unit.world import TEAM, Outside, outside

from .kopf_server import NAME, Server
from .test_loop import Outbox

OTHER = "team-b"
OURS, THEIRS = (Key("RegistrySettings", namespace, "shop") for namespace in (TEAM, OTHER))


class Two:
    """Two watched namespaces with an object each, and a loop that begins; its passes are noted instead of run."""

    def __init__(self) -> None:
        self.out: Outside = outside(reconciler_namespaces=(OTHER, TEAM))
        self.out.namespace(OTHER)
        for namespace in (OTHER, TEAM):
            metadata = {"name": "shop", "finalizers": ["freeleaps.com/finalizer"]}
            self.out.kubernetes.put(REGISTRY_SETTINGS, namespace, {"metadata": metadata, "spec": {}})
        self.loop = Loop(self.out.world, Outbox(), Metrics())

    @property
    def woken(self) -> set[Key]:
        return set(self.loop.queue._running)

    async def check(self) -> str:
        try:
            return await self.loop.namespaces.check()
        except RuntimeError as error:
            return str(error)


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    made = Two()
    yield made
    await made.loop.queue.close(timedelta(0))


async def test_one_that_refuses_is_left_out_and_taken_up_when_it_lets_us_in(two: Two) -> None:
    two.out.kubernetes.shut.add(OTHER)
    await two.loop.take_over()
    await two.loop.look_round()
    assert two.woken == {OURS}
    assert await two.check() == f"{OTHER}: forbidden in namespace {OTHER}"
    two.out.kubernetes.shut.clear()
    await two.loop.look_round()
    assert two.woken == {OURS, THEIRS}
    assert await two.check() == "2 let us in"
    assert two.out.kubernetes.see(PEERING, OTHER, NAME) is not None


async def test_one_that_is_lost_within_a_term_is_looked_at_when_it_is_back(two: Two) -> None:
    await two.loop.take_over()
    await two.loop.look_round()
    await two.loop.queue.close(timedelta(0))
    two.loop.queue.open()
    two.out.kubernetes.shut.add(OTHER)
    await two.loop.look_round()
    two.out.kubernetes.shut.clear()
    two.out.kubernetes.remove(PEERING, OTHER, NAME)
    assert two.woken == set()
    await two.loop.look_round()
    assert two.woken == {THEIRS}
    assert two.out.kubernetes.see(PEERING, OTHER, NAME) is not None


async def test_where_all_refuse_no_pass_begins(two: Two) -> None:
    two.out.kubernetes.shut |= {OTHER, TEAM}
    with pytest.raises(CredentialsError):
        await two.loop.take_over()
    assert not two.loop.queue.is_open


async def test_a_standby_tells_of_refusals_too(two: Two) -> None:
    for namespace in (OTHER, TEAM):
        two.out.kubernetes.put(PEERING, namespace, {"metadata": {"name": NAME}})
    two.out.kubernetes.shut.add(OTHER)
    assert await two.check() == f"{OTHER}: forbidden in namespace {OTHER}"
    two.out.kubernetes.shut.clear()
    assert await two.check() == "2 let us in"
    two.out.kubernetes.remove(PEERING, TEAM, NAME)
    assert "there is no KopfPeering" in await two.check()


# Kopf itself


@pytest.mark.usefixtures("quiet_kopf")
async def test_kopf_watches_the_others_and_takes_up_the_one_that_lets_it_in_again(two: Two) -> None:
    server = Server()
    server.shut.add(OTHER)
    access = ClusterAccess(await server.start())
    me = Candidate("me", 1_790_000_000_000_000)
    host = KopfHost(two.loop, two.out.world, cast(Any, two.out.kubernetes), access, me)
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))

    async def hears() -> bool:
        return bool(host._heard)

    try:
        async with asyncio.timeout(15):
            await server.watched[TEAM].wait()
            await eventually(hears, "Kopf has the answer to its watch")
            gc.collect()
            assert host._heard, "Kopf holds the answer to its watch"
            assert not server.watched[OTHER].is_set()
            server.shut.clear()
            await server.watched[OTHER].wait()
        assert not running.done()
    finally:
        stop.set()
        await running
        await server.stop()


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


class Stream:
    """The answer to a watch that is open."""

    closed = False


@pytest.mark.parametrize(
    ("acts", "refused", "hears"), [(True, True, False), (False, True, False), (True, False, False), (True, True, True)]
)
async def test_one_that_acts_and_hears_nothing_while_a_namespace_refuses_it_begins_anew(
    two: Two, acts: bool, refused: bool, hears: bool
) -> None:
    me = Candidate("me", 1_790_000_000_000_000)
    host = KopfHost(two.loop, two.out.world, cast(Any, two.out.kubernetes), ClusterAccess("http://api"), me)
    if acts:
        two.loop.queue.open()
    if refused:
        two.loop.namespaces.refusals[OTHER] = CredentialsError("403", status=403)
    answer = Stream()
    if hears:
        host._heard.add(cast(Any, answer))
    listening = asyncio.create_task(host._until_deaf())
    for _ in range(DEAF_AFTER):
        await turns()
        assert not listening.done()
        two.out.clock.advance(LISTEN)
    await turns()
    assert listening.done() is (acts and refused and not hears)
    if listening.done():
        with pytest.raises(ExternalServiceError, match="refused in team-b; the operator ends, to begin anew"):
            await listening
    listening.cancel()
    await asyncio.wait({listening})
