"""How a stand-in is served: in this process (`async with`), or as a program of its own.

As a program (`python -m standins.jenkins --port 0`) it prints one JSON line with its addresses, runs until SIGTERM,
SIGINT or the end of its standard input (so that it dies with the process that started it), and offers its controls over
HTTP at `controls`: GET /calls; POST /fault {method, path, kind, times, after_effect, retry_after}; POST /set
{down, latency}; POST /clear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import stat
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from devops_reconciler.runtime.clock import Clock, SystemClock

from .controls import Controls

HOST = "127.0.0.1"


class Server:
    """One aiohttp application on a loopback address."""

    def __init__(
        self,
        app: web.Application,
        controls: Controls | None = None,
        *,
        host: str = HOST,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._controls = controls
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._host = host
        self._port = port
        self._tls = tls
        self.url = ""

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True, ssl_context=self._tls)
        await site.start()
        self.url = f"{'https' if self._tls else 'http'}://{self._host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._controls is not None:
            self._controls.close()
        await self._runner.cleanup()


class StandIn:
    """Base of the stand-ins: controls, a clock, a server, and background tasks whose failure is not lost."""

    def __init__(self, *, clock: Clock | None = None, port: int = 0) -> None:
        self.clock: Clock = clock or SystemClock()
        self.controls = Controls(self.clock)
        self._server_port = port
        self._server: Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self.url = ""

    def application(self) -> web.Application:
        """The routes, with `self.controls.middleware` as first middleware."""
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the server. If it raises, leaving the stand-in raises it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def start(self) -> None:
        self._server = Server(self.application(), self.controls, port=self._server_port)
        await self._server.start()
        self.url = self._server.url

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        failures = [*self._failures, *self.controls.errors]
        if failures and error is None:
            raise failures[0]

    def addresses(self) -> dict[str, str]:
        """What the program prints: the addresses by name."""
        return {"url": self.url}


def controls_application(controls: Controls) -> web.Application:
    """The controls over HTTP, on a port of their own so that they work while the stand-in is down."""

    async def calls(_: web.Request) -> web.Response:
        return web.json_response([{**asdict(call), "at": call.at.isoformat()} for call in controls.calls])

    async def fault(request: web.Request) -> web.Response:
        order = await request.json()
        controls.fault(
            order.get("method", "*"),
            order["path"],
            order["kind"],
            times=order.get("times", 1),
            after_effect=order.get("after_effect", False),
            retry_after=order.get("retry_after"),
        )
        return web.json_response({})

    async def set_(request: web.Request) -> web.Response:
        order = await request.json()
        controls.down = order.get("down", controls.down)
        controls.latency = timedelta(seconds=order.get("latency", controls.latency.total_seconds()))
        return web.json_response({"down": controls.down, "latency": controls.latency.total_seconds()})

    async def clear(_: web.Request) -> web.Response:
        controls.clear()
        return web.json_response({})

    app = web.Application()
    app.add_routes(
        [web.get("/calls", calls), web.post("/fault", fault), web.post("/set", set_), web.post("/clear", clear)]
    )
    return app


def main(build: Callable[[argparse.Namespace], StandIn], parser: argparse.ArgumentParser) -> None:
    """Run a stand-in as a program; `parser` may already have options of its own, `build` makes it from them."""
    parser.add_argument("--port", type=int, default=0, help="port of the service; 0: any free one")
    asyncio.run(_run(build, parser.parse_args()))


async def _run(build: Callable[[argparse.Namespace], StandIn], options: argparse.Namespace) -> None:
    async with build(options) as standin:
        controls = Server(controls_application(standin.controls))
        await controls.start()
        try:
            line = json.dumps({**standin.addresses(), "controls": controls.url})
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            await _until_told()
        finally:
            await controls.stop()


async def _until_told() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not os.read(0, 4096) else None)
    await ended.wait()
