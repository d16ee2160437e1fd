"""When objects become what is waited for, by watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta

from testbed.kube_api import KubeApi, Object
from tests.bench.ground import is_ready, until


class Seen:
    """New objects of some collections that become Ready, with the time (monotonic seconds) at which that was seen.

    `matches` says what else is waited for; with `old` it is looked for at objects that are there already, too.
    """

    def __init__(
        self,
        kube: KubeApi,
        collections: Sequence[str],
        matches: Callable[[Object], bool] = is_ready,
        *,
        old: bool = False,
    ) -> None:
        self._kube = kube
        self._collections = collections
        self._matches = matches
        self._old = old
        self._new: set[str] = set()
        self.times: dict[str, float] = {}
        """By UID."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Seen]:
        """From now on."""
        begun = [(path, (await self._kube.get(path))["metadata"]["resourceVersion"]) for path in self._collections]
        tasks = [asyncio.create_task(self._watch(path, version)) for path, version in begun]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def _watch(self, path: str, version: str) -> None:
        async with aclosing(self._kube.watch(path, version)) as events:
            async for event in events:
                uid = event["object"]["metadata"].get("uid", "")
                if event["type"] == "ADDED":
                    self._new.add(uid)
                elif event["type"] == "MODIFIED" and (self._old or uid in self._new) and self._matches(event["object"]):
                    self.times.setdefault(uid, time.monotonic())
        raise ConnectionError(f"the watch of {path} has ended")

    async def reach(self, count: int, deadline: timedelta) -> None:
        """Until it is so of so many; raises TimeoutError."""

        async def reached() -> bool:
            return len(self.times) >= count

        await until(reached, f"{count} objects of {', '.join(self._collections)} have come so far", deadline)
