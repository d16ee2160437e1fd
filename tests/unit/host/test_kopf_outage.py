"""Kopf, while the API server is away: it tries for as long as that takes, and ends when it is told to all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from datetime import timedelta
from itertools import islice
from typing import Any, cast

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host import operator
from devops_reconciler.host.bindings import operator_settings
from devops_reconciler.host.lease_record import Candidate
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.operator import KopfHost, await_kinds
from devops_reconciler.kinds import KINDS
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import Kubernetes
from devops_reconciler.services.kubernetes_access import ClusterAccess
from testbed.waiting import eventually
from tests.unit.world import TEAM, outside, settings

from .kopf_server import Server
from .test_loop import Outbox

PLURALS = frozenset(what.kind.plural for what in KINDS.values())


async def test_a_request_of_kopf_is_tried_without_an_end_and_each_from_short_pauses_on() -> None:
    over = asyncio.Event()
    backoffs = operator_settings(settings(), over.is_set).networking.error_backoffs
    assert not isinstance(backoffs, float)
    assert not isinstance(backoffs, Sized), "Kopf would say how many tries there are"
    for _ in range(2):
        pauses = list(islice(backoffs, 10_000))
        assert (len(pauses), pauses[0], pauses[-1]) == (10_000, 0.2, 5.0)


async def test_a_request_of_kopf_that_is_being_tried_is_given_up_when_we_stop() -> None:
    over = asyncio.Event()
    backoffs = operator_settings(settings(), over.is_set).networking.error_backoffs
    assert not isinstance(backoffs, float)
    pauses = iter(backoffs)
    next(pauses)
    over.set()
    assert list(pauses) == []
    assert list(backoffs) == []


async def test_a_good_bye_that_nobody_takes_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "GOODBYE", timedelta(0))
    never, told = asyncio.Event(), asyncio.Event()

    async def keepalive() -> None:
        """As Kopf's: at its end it says good-bye, whatever that takes."""
        try:
            await never.wait()
        finally:
            told.set()
            await asyncio.shield(never.wait())

    async def ends() -> None:
        return

    stop, ending = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(keepalive()), asyncio.create_task(ends())]
    async with asyncio.timeout(30):
        await operator._until_first(tasks, stop, ending)
    assert told.is_set()
    assert stop.is_set()
    assert ending.is_set()


@pytest.mark.usefixtures("quiet_kopf")
@pytest.mark.parametrize("away", [False, True])
async def test_a_stop_while_deletions_wait_leaves_nothing_of_kopf_behind(away: bool) -> None:
    """What Kopf leaves when it is cut short waits for what has gone, and the process with it, for ever."""
    server, out = Server(), outside(reconciler_namespaces=(TEAM,))
    names = {f"shop-{number}" for number in range(20)}
    for name in names:
        server.put_deleted(TEAM, name)
    loop = Loop(out.world, Outbox(), Metrics())
    access = ClusterAccess(await server.start())
    host = KopfHost(loop, out.world, cast(Any, out.kubernetes), access, Candidate("me", 1))
    stop, before = asyncio.Event(), asyncio.all_tasks()
    running = asyncio.create_task(host.run(stop))

    async def wait() -> bool:
        return names <= {key.name for key in loop._released}

    try:
        async with asyncio.timeout(15):
            await server.watched[TEAM].wait()
            await eventually(wait, "the handlers of all deletions wait")
    finally:
        server.away = away
        stop.set()
        await running
        await server.stop()
    assert {task.get_name() for task in asyncio.all_tasks() - before} == set()


class Slow(Loop):
    """Nothing is released the first times."""

    times = 3

    async def wait_released(self, obj: dict[str, Any], within: timedelta) -> bool:
        self.times -= 1
        return self.times <= 0


@pytest.mark.usefixtures("quiet_kopf")
async def test_a_deletion_that_takes_long_is_held_call_by_call() -> None:
    """While one call holds it, Kopf keeps each event of the object, and lets go of none of them."""
    server, out = Server(), outside(reconciler_namespaces=(TEAM,))
    server.put_deleted(TEAM, "shop")
    loop = Slow(out.world, Outbox(), Metrics())
    access = ClusterAccess(await server.start())
    host = KopfHost(loop, out.world, cast(Any, out.kubernetes), access, Candidate("me", 1))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))

    async def is_released() -> bool:
        return bool(server.records[0]["metadata"]["finalizers"] == [])

    try:
        await eventually(is_released, "Kopf takes the finalizer off after the last call")
    finally:
        stop.set()
        await running
        await server.stop()
    assert loop.times == 0


class Served(Kubernetes):
    """An API server that knows these kinds."""

    def __init__(self, plurals: frozenset[str]) -> None:
        self.plurals = plurals

    async def served(self, group: str, version: str) -> frozenset[str]:
        assert (group, version) == ("freeleaps.com", "v1alpha1")
        return self.plurals


async def test_kopf_begins_only_when_all_our_kinds_are_there() -> None:
    with pytest.raises(ExternalServiceError, match=r"does not know jenkinssettings in .* install the CRDs") as missing:
        await await_kinds(Served(PLURALS - {"jenkinssettings"}))
    assert missing.value.reason is Reason.DEPENDENCY_NOT_READY
    await await_kinds(Served(PLURALS | {"others"}))
