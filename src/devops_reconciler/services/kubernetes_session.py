"""The HTTP session that Kopf works with: its watches at once, its patches of our objects a few at a time.

By itself Kopf sends as many patches at once as there are objects without our finalizer, each on a connection of its
own: thousands, where somebody made thousands while no operator ran.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from weakref import WeakSet

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from ..api.definitions import GROUP
from ..runtime.slots import Slots
from ..runtime.urgency import Tenant, Urgency, work
from .kubernetes_access import ClusterAccess, ssl_context
from .kubernetes_kinds import DEPLOYMENT_RECORD


class OpenWatches:
    """The watches of our kinds that are open: without any, Kopf hears of no change."""

    def __init__(self) -> None:
        self._answers: WeakSet[aiohttp.ClientResponse] = WeakSet()

    def add(self, answer: aiohttp.ClientResponse) -> None:
        """One has been opened."""
        self._answers.add(answer)

    def __bool__(self) -> bool:
        return any(not answer.closed for answer in self._answers)


_OURS = f"/apis/{GROUP}/"
"""In the path of each request for our kinds; before it comes the path of the server, if it has one (a proxy's)."""


class Paced:
    """A middleware. The time limit of a request begins when it goes out, and not while it waits for its turn."""

    def __init__(self, patches: int, timeout: timedelta, watches: OpenWatches) -> None:
        self._slots = Slots(patches)
        self._timeout = timeout.total_seconds()
        self._watches = watches

    async def __call__(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Send it. Raises what the handler raises, and TimeoutError."""
        ours = _OURS in request.url.path
        if request.url.query.get("watch") == "true":
            answer = await handler(request)
            if ours:
                self._watches.add(answer)
            return answer
        if request.method != "PATCH" or not ours:
            return await self._in_time(request, handler)
        with work(*_work_of(request.url)):
            async with self._slots.place():
                return await self._in_time(request, handler)

    async def _in_time(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self._timeout):
            response = await handler(request)
            await response.read()
            return response


def _work_of(url: URL) -> tuple[Urgency, Tenant]:
    """Of a path like `/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME`."""
    _, _, namespace, plural, name, *_ = [*url.path.partition(_OURS)[2].split("/"), "", "", "", ""]
    return Urgency.DEPLOYMENT if plural == DEPLOYMENT_RECORD.plural else Urgency.CHANGE, (namespace, name)


def kopf_session(
    access: ClusterAccess, token: str | None, timeout: timedelta, watches: OpenWatches
) -> aiohttp.ClientSession:
    """A session as `access` says, under this token. Half as many patches at a time as we have connections ourselves."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context(access)),
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
        middlewares=(Paced(max(1, access.connections // 2), timeout, watches),),
    )
