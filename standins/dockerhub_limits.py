"""Rate limits of the stand-in Docker Hub: counted requests with headers, and the abuse limit, which is plain text."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from devops_reconciler.runtime.clock import Clock

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Limits:
    """`per_minute` requests in each window of a minute, for everybody together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.per_minute = 100_000
        self.abuse = 0
        """So many of the next requests are taken for abuse: 429 in plain text, without any header."""
        self._window_ends = 0.0
        self._used = 0

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def limited(request: web.Request, handler: Route) -> web.StreamResponse:
            return await self._pass(request, handler)

        return limited

    async def _pass(self, request: web.Request, route: Route) -> web.StreamResponse:
        if self.abuse > 0:
            self.abuse -= 1
            return web.Response(status=429, text="Too Many Requests")
        headers = self._count()
        if self._used > self.per_minute:
            reset = headers["X-RateLimit-Reset"]
            seconds = max(1, int(reset) - int(self._clock.now().timestamp()))
            headers |= {"Retry-After": str(seconds), "X-Retry-After": reset}
            return web.json_response({"detail": "Rate limit exceeded", "error": False}, status=429, headers=headers)
        try:
            response = await route(request)
        except web.HTTPException as raised:
            raised.headers.update(headers)
            raise
        response.headers.update(headers)
        return response

    def _count(self) -> dict[str, str]:
        now = self._clock.now().timestamp()
        if now >= self._window_ends:
            self._window_ends, self._used = now + 60.0, 0
        self._used += 1
        return {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - self._used)),
            "X-RateLimit-Reset": str(math.ceil(self._window_ends)),
        }
