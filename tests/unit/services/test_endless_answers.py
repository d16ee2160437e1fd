"""An answer that has no end, as of a watch, is left over TLS: its connection ends then, without the other side."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.services.http import AiohttpTransport, Request
from testbed.certificates import ServingFiles, write_serving_files
from testbed.kube_api import KubeApi
from testbed.tcp_proxy import TcpProxy


@pytest.fixture
def files(tmp_path: Path) -> ServingFiles:
    return write_serving_files(tmp_path, ["localhost"], ["127.0.0.1"])


@pytest.fixture
async def proxy(files: ServingFiles) -> AsyncIterator[TcpProxy]:
    """The way to a server, which can fall silent."""
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "BOOKMARK"}\n')
        await over.wait()
        return response

    app = web.Application()
    app.router.add_get("/watch", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=files.context()).start()
    async with TcpProxy(*runner.addresses[0]) as proxy:
        yield proxy
    over.set()
    await runner.cleanup()


async def test_a_stream_that_is_left_leaves_no_socket_behind(proxy: TcpProxy, files: ServingFiles) -> None:
    async def leave() -> None:
        transport = AiohttpTransport(tls=ssl.create_default_context(cafile=str(files.authority)))
        async with transport.stream(
            Request("GET", f"https://127.0.0.1:{proxy.port}/watch", {}, None, timedelta(seconds=60))
        ) as (_, lines):
            assert await anext(lines) == b'{"type": "BOOKMARK"}'
            proxy.silence()
        await transport.close()

    # In a loop of its own, which ends at once: what is open then stays open, and says so when it is collected.
    await asyncio.to_thread(asyncio.run, leave())
    gc.collect()


async def test_nor_does_the_watch_of_a_test(proxy: TcpProxy, files: ServingFiles) -> None:
    async def leave() -> None:
        async with aclosing(
            KubeApi(f"https://127.0.0.1:{proxy.port}", files.authority, "token").watch("/watch", "0")
        ) as events:
            assert await anext(events) == {"type": "BOOKMARK"}
            proxy.silence()

    await asyncio.to_thread(asyncio.run, leave())
    gc.collect()
