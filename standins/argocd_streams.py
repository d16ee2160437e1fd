"""The watch of the stand-in: first what is there, then each change, silence in between, and cuts on order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

from aiohttp import web

from .argocd_accounts import Session
from .argocd_applications import visible
from .argocd_state import Event, Json, State
from .controls import Controls, cut

LOOK = 0.05
"""Seconds between two looks whether the client has gone or the stand-in is down."""


class Streams:
    """All open watches."""

    def __init__(self, state: State, controls: Controls) -> None:
        self._state = state
        self._controls = controls
        self._stopping = False
        self.opened = 0
        """How many watches were opened until now."""

    def cut(self) -> None:
        """Break every open watch, as a proxy does that has had enough of it."""
        for watch in self._state.watches:
            watch.put_nowait(None)

    def stop(self) -> None:
        """End every watch in order: the stand-in stops."""
        self._stopping = True
        self.cut()

    async def serve(self, request: web.Request, session: Session) -> web.StreamResponse:
        query = dict(request.query)
        projects = request.query.getall("projects", []) + request.query.getall("project", [])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._state.watches.add(events)
        self.opened += 1

        async def send(kind: str, app: Json) -> None:
            # Not even the status goes out before the first event.
            if not response.prepared:
                await response.prepare(request)
            await response.write(_line(kind, app))

        try:
            if not query.get("resourceVersion") or query.get("name"):
                for app in list(self._state.listed()):
                    if visible(session, app, query, projects):
                        await send("ADDED", app)
            while (event := await self._next(request, events)) is not None:
                if visible(session, event.application, query, projects):
                    await send(event.kind, event.application)
        finally:
            self._state.watches.discard(events)
        if not self._stopping:
            cut(request)
        return response

    async def _next(self, request: web.Request, events: asyncio.Queue[Event | None]) -> Event | None:
        """The next event when it is due; None when the watch is over."""
        while True:
            gone = request.transport is None or request.transport.is_closing()
            if gone or self._stopping or self._controls.down:
                return None
            try:
                event = await asyncio.wait_for(events.get(), timeout=LOOK)
            except TimeoutError:
                continue
            if event is not None and (left := event.due - self._state.clock.monotonic()) > 0:
                await self._state.clock.sleep(timedelta(seconds=left))
            return event


def _line(kind: str, app: Mapping[str, object]) -> bytes:
    result: Json = {"result": {"type": kind, "application": app}}
    return json.dumps(result).encode() + b"\n"
