"""A watched namespace that refuses us: the others go on, and it is taken up again when it lets us in."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from aiohttp import web

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

from .test_loop import Outbox

OTHER = "team-b"
NAME = "freeleaps-devops-reconciler"
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

KINDS = (
    "devopsprojects",
    "jenkinssettings",
    "registrysettings",
    "argosettings",
    "ingressresources",
    "deploymentrecords",
)


class Server:
    """As much of an API server as Kopf asks for, with a namespace that may be shut."""

    def __init__(self) -> None:
        self.shut = True
        self.watched: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """By namespace: whether somebody watches its projects."""
        self._ends = asyncio.Event()

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._ends.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        namespace = path.split("/")[5] if "/namespaces/" in path else ""
        if namespace == OTHER and self.shut:
            body = {"kind": "Status", "code": 403, "message": "forbidden"}
            return web.json_response(body, status=403)
        if request.query.get("watch") == "true":
            return await self._watch(request, namespace)
        if path in DISCOVERY:
            return web.json_response(DISCOVERY[path])
        peering = {"metadata": {"name": NAME, "namespace": namespace, "uid": namespace, "resourceVersion": "1"}}
        if request.method == "PATCH":
            return web.json_response(peering)
        items = [peering] if path.endswith("/kopfpeerings") else []
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    async def _watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps({"type": "BOOKMARK", "object": {"metadata": {}}}).encode() + b"\n")
        if request.path.endswith("/devopsprojects"):
            self.watched[namespace].set()
        await self._ends.wait()
        return response


def _resource(plural: str) -> dict[str, Any]:
    verbs = ["list", "watch", "patch"]
    return {"name": plural, "singularName": plural[:-1], "kind": plural, "namespaced": True, "verbs": verbs}


def _group(name: str, version: str) -> dict[str, Any]:
    found = {"version": version, "groupVersion": f"{name}/{version}"}
    return {"name": name, "versions": [found], "preferredVersion": found}


DISCOVERY: dict[str, Any] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [_resource("namespaces"), _resource("events")]},
    "/apis": {"groups": [_group("freeleaps.com", "v1alpha1"), _group("kopf.dev", "v1")]},
    "/apis/freeleaps.com/v1alpha1": {"resources": [_resource(plural) for plural in KINDS]},
    "/apis/kopf.dev/v1": {"resources": [_resource("kopfpeerings") | {"kind": "KopfPeering"}]},
}


@pytest.fixture
def quiet_kopf() -> Iterator[None]:
    """The host makes a logger of Kopf's quieter, for the whole process."""
    logger = logging.getLogger("kopf.objects")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("quiet_kopf")
async def test_kopf_watches_the_others_and_takes_up_the_one_that_lets_it_in_again(two: Two) -> None:
    server = Server()
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
            server.shut = False
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
