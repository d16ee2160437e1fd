"""Requests that hang at the API server leave a place for what is most urgent, such as the renewal of the Lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.urgency import Urgency, urgency
from devops_reconciler.services.kubernetes_access import REQUEST_CONNECTIONS, ClusterAccess, open_cluster


class Server:
    """One that tells its version, or keeps everybody waiting."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.hangs = False
        self.end = asyncio.Event()
        self._changed = asyncio.Condition()

    async def version(self, _: web.Request) -> web.Response:
        async with self._changed:
            self.asked += 1
            self._changed.notify_all()
        if self.hangs:
            await self.end.wait()
        return web.json_response({"gitVersion": "v1.36.1"})

    async def until(self, asked: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.asked >= asked)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/version", server.version)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.end.set()
    await runner.cleanup()


async def test_what_is_most_urgent_is_asked_while_as_many_others_hang_as_may_be_under_way(server: Server) -> None:
    server.hangs = True
    async with open_cluster(ClusterAccess(server.url), FakeClock()) as kubernetes:
        with urgency(Urgency.DEPLOYMENT):
            hanging = [asyncio.create_task(kubernetes.version()) for _ in range(REQUEST_CONNECTIONS)]
        await server.until(REQUEST_CONNECTIONS - 1)
        server.hangs = False
        with urgency(Urgency.ARRIVAL):
            async with asyncio.timeout(10):
                assert "v1.36.1" in await kubernetes.version()
        assert not any(task.done() for task in hanging)
        server.end.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*hanging)
