"""A loopback ingress: routes HTTP by the real Ingress objects and answers with what runs behind them.

There are no nodes, so nothing runs for real. What runs behind a Service is asked of the caller's ``running``, which
gives the image of the Service as ``repository@digest``, or ``None`` when nothing runs there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import timedelta
from types import TracebackType

import aiohttp
from aiohttp import web

from standins.serve import Server
from testbed.ingress_rules import Backend, class_of, route, rules_of
from testbed.kube_api import KubeApi, KubeApiError, Object
from testbed.processes import free_port

INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
RETRY = timedelta(milliseconds=200)
Running = Callable[[str, str], Awaitable[str | None]]
log = logging.getLogger(__name__)


class LoopbackIngress:
    """An ingress controller at ``host:port``; ``async with LoopbackIngress(api, running) as ingress``.

    It answers 200 with JSON ``{"host", "path", "namespace", "ingress", "service", "image", "digest"}``, 404 when no
    Ingress matches, 503 when nothing runs behind the Service. As real controllers do, it writes its address into the
    status of every Ingress that it serves. ``ingress_class`` limits it to Ingresses of that class.
    """

    def __init__(
        self,
        api: KubeApi,
        running: Running,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        ingress_class: str | None = None,
    ) -> None:
        self.host = host
        self.port = free_port(host) if port is None else port
        self._api = api
        self._running = running
        self._class = ingress_class
        self._ingresses: dict[str, Object] = {}
        self._changed = asyncio.Condition()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._server = Server(application, host=host, port=self.port)
        self._watch: asyncio.Task[None] | None = None

    def route(self, host: str, path: str = "/") -> Backend | None:
        """What a request for this host and path would reach now."""
        rules = (rule for ingress in self._ingresses.values() for rule in rules_of(ingress))
        return route(rules, host, path)

    async def routed(self, host: str, path: str = "/") -> Backend:
        """Waits until a request for this host and path reaches a Service."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.route(host, path) is not None)
        backend = self.route(host, path)
        assert backend is not None
        return backend

    async def __aenter__(self) -> LoopbackIngress:
        await self._server.start()
        self._watch = asyncio.create_task(self._follow(), name="loopback-ingress")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self._server.stop()

    async def _serve(self, request: web.Request) -> web.Response:
        backend = self.route(request.host, request.path)
        if backend is None:
            return web.json_response({"error": f"no Ingress for {request.host}{request.path}"}, status=404)
        facts = {
            "host": request.host,
            "path": request.path,
            "namespace": backend.namespace,
            "ingress": backend.ingress,
            "service": backend.service,
        }
        image = await self._running(backend.namespace, backend.service)
        if image is None:
            return web.json_response({**facts, "error": "nothing runs behind this Service"}, status=503)
        return web.json_response({**facts, "image": image, "digest": image.partition("@")[2]})

    async def _follow(self) -> None:
        """Lists and watches, for ever; the API server may come and go."""
        while True:
            try:
                await self._list_and_watch()
            except (aiohttp.ClientError, TimeoutError, KubeApiError) as error:
                log.info("the watch of Ingress objects ended (%s); again in %s", error, RETRY)
                await asyncio.sleep(RETRY.total_seconds())

    async def _list_and_watch(self) -> None:
        found = await self._api.get(INGRESSES)
        async with self._changed:
            self._ingresses = {each["metadata"]["uid"]: each for each in found["items"] if self._serves(each)}
            self._changed.notify_all()
        for ingress in list(self._ingresses.values()):
            await self._publish_address(ingress)
        async with aclosing(self._api.watch(INGRESSES, found["metadata"]["resourceVersion"])) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    await self._take(event)

    async def _take(self, event: Object) -> None:
        ingress = event["object"]
        uid = ingress["metadata"]["uid"]
        serves = event["type"] != "DELETED" and self._serves(ingress)
        async with self._changed:
            if serves:
                self._ingresses[uid] = ingress
            else:
                self._ingresses.pop(uid, None)
            self._changed.notify_all()
        if serves:
            await self._publish_address(ingress)

    def _serves(self, ingress: Object) -> bool:
        return self._class is None or class_of(ingress) == self._class

    async def _publish_address(self, ingress: Object) -> None:
        addresses = [{"ip": self.host}]
        if ingress.get("status", {}).get("loadBalancer", {}).get("ingress") == addresses:
            return
        metadata = ingress["metadata"]
        path = f"/apis/networking.k8s.io/v1/namespaces/{metadata['namespace']}/ingresses/{metadata['name']}/status"
        try:
            await self._api.patch(path, {"status": {"loadBalancer": {"ingress": addresses}}})
        except KubeApiError as error:
            # Deleted meanwhile: the watch will say so.
            if error.status != 404:
                raise
