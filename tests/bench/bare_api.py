"""A bare client of the API server: what it can do when nothing but requests is wanted of it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from testbed.kube_api import KubeApiError
from testbed.kubernetes import ControlPlane
from testbed.waiting import eventually
from tests.bench import noop_kind

T = TypeVar("T")
CONNECTIONS = 12
"""As many as the operator has by default."""
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


async def define_noops(control_plane: ControlPlane) -> None:
    """Make the kind of the no-ops where it is not there yet. Returns when it is served: at first the answer is 429."""
    await control_plane.apply([noop_kind.CRD])

    async def served() -> bool:
        try:
            await control_plane.get(noop_kind.collection("default"))
        except KubeApiError as error:
            if error.status != 429:
                raise
            return False
        return True

    await eventually(served, f"{noop_kind.PLURAL} are served")


class BareApi:
    """Requests as admin over a few connections that are kept. An answer other than 2xx raises."""

    def __init__(self, control_plane: ControlPlane, connections: int = CONNECTIONS) -> None:
        self._server = control_plane.server
        self._authority = control_plane.authority
        self._token = control_plane.admin_token
        self.connections = connections

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=str(self._authority))
        self._session = aiohttp.ClientSession(
            self._server,
            connector=aiohttp.TCPConnector(limit=self.connections, ssl=tls),
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
            raise_for_status=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._session.close()

    async def side_by_side(self, things: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Work on each of them, over all connections."""
        left = iter(things)

        async def go() -> None:
            for thing in left:
                await work(thing)

        await asyncio.gather(*(go() for _ in range(self.connections)))

    async def create(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The object that the server has made of this body."""
        async with self._session.post(path, data=json.dumps(body), headers=JSON) as answer:
            return await answer.read()

    async def create_all(self, wanted: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Each body to the path of its collection, as fast as the server takes them."""

        async def make(one: tuple[str, Mapping[str, Any]]) -> None:
            await self.create(*one)

        await self.side_by_side(wanted, make)

    async def merge_status(self, path: str, status: Mapping[str, Any]) -> None:
        """Into the status of the object at this path."""
        async with self._session.patch(f"{path}/status", data=json.dumps({"status": status}), headers=MERGE) as answer:
            await answer.read()

    async def patches_per_second(self, namespace: str, count: int, during: timedelta) -> float:
        """Status patches a second, each of which changes one of `count` Noops that are there."""
        paths = [
            f"{noop_kind.collection(namespace)}/{body['metadata']['name']}"
            for _, body in noop_kind.bodies(namespace, count)
        ]
        done = 0
        started = time.monotonic()
        give_up = started + during.total_seconds()

        async def work(first: int) -> None:
            nonlocal done
            number = first
            while time.monotonic() < give_up:
                said = {**noop_kind.READY, "message": f"{number:0100}"}
                await self.merge_status(paths[number % count], {"conditions": [said], "applied": noop_kind.PAYLOAD})
                done += 1
                number += self.connections

        await asyncio.gather(*(work(first) for first in range(self.connections)))
        return done / (time.monotonic() - started)
