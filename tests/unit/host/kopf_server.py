"""As much of an API server as Kopf asks for."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from devops_reconciler.api.definitions import FINALIZER

NAME = "freeleaps-devops-reconciler"
PLURALS = (
    "devopsprojects",
    "jenkinssettings",
    "registrysettings",
    "argosettings",
    "ingressresources",
    "deploymentrecords",
)


class Server:
    """Has one KopfPeering in each namespace with the peers, and the records, that are put there."""

    def __init__(self) -> None:
        self.shut: set[str] = set()
        """Namespaces that refuse us."""
        self.away = False
        """Whether nothing but what is watched already gets an answer."""
        self.records: list[dict[str, Any]] = []
        self.watched: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """By namespace: whether somebody watches its projects."""
        self.peers: dict[str, dict[str, Any]] = defaultdict(dict)
        """By namespace and identity, what they said last."""
        self._told = asyncio.Condition()
        self._version = 1
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
        async with self._told:
            self._told.notify_all()
        await self._runner.cleanup()

    def put_deleted(self, namespace: str, name: str) -> None:
        """A record under deletion that has our finalizer."""
        metadata = {
            "name": name,
            "namespace": namespace,
            "uid": name,
            "resourceVersion": "1",
            "finalizers": [FINALIZER],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        }
        kind = {"apiVersion": "freeleaps.com/v1alpha1", "kind": "DeploymentRecord"}
        self.records.append(kind | {"metadata": metadata, "spec": {}, "status": {}})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        namespace = path.split("/")[5] if "/namespaces/" in path else ""
        if self.away:
            return _refusal(503, "the API server is away")
        if namespace in self.shut:
            return _refusal(403, "forbidden")
        if request.query.get("watch") == "true":
            return await self._watch(request, namespace)
        if path in DISCOVERY:
            return web.json_response(DISCOVERY[path])
        if "/deploymentrecords/" in path and request.method == "PATCH":
            return web.json_response(await self._patch(path.rpartition("/")[2], await request.json()))
        if "/kopfpeerings/" in path:
            if request.method == "PATCH":
                await self._hear(namespace, (await request.json()).get("status") or {})
            return web.json_response(self._peering(namespace))
        items = [self._peering(namespace)] if path.endswith("/kopfpeerings") else []
        if path.endswith("/deploymentrecords"):
            items = [record for record in self.records if record["metadata"]["namespace"] == namespace]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    async def _watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps({"type": "BOOKMARK", "object": {"metadata": {}}}).encode() + b"\n")
        if request.path.endswith("/devopsprojects"):
            self.watched[namespace].set()
        if request.path.endswith("/kopfpeerings"):
            await self._tell(response, lambda: [self._peering(namespace)])
        if request.path.endswith("/deploymentrecords"):
            await self._tell(response, lambda: self.records)
        await self._ends.wait()
        return response

    async def _patch(self, name: str, patch: dict[str, Any] | list[dict[str, Any]]) -> dict[str, Any]:
        """A merge patch of a record's annotations, or the JSON patch by which Kopf takes its finalizer off."""
        (record,) = (each for each in self.records if each["metadata"]["name"] == name)
        metadata = record["metadata"]
        if isinstance(patch, list):
            assert any(each["op"] == "remove" and each["path"].startswith("/metadata/finalizers") for each in patch)
            metadata["finalizers"] = []
        else:
            annotations = {**metadata.get("annotations", {}), **(patch["metadata"].get("annotations") or {})}
            metadata["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        async with self._told:
            self._version += 1
            metadata["resourceVersion"] = str(self._version)
            self._told.notify_all()
        return dict(record)

    def _peering(self, namespace: str) -> dict[str, Any]:
        metadata = {"name": NAME, "namespace": namespace, "uid": namespace, "resourceVersion": str(self._version)}
        return {"metadata": metadata, "status": self.peers[namespace]}

    async def _hear(self, namespace: str, said: dict[str, Any]) -> None:
        left = {**self.peers[namespace], **said}
        self.peers[namespace] = {identity: entry for identity, entry in left.items() if entry is not None}
        async with self._told:
            self._version += 1
            self._told.notify_all()

    async def _tell(self, response: web.StreamResponse, objects: Callable[[], list[dict[str, Any]]]) -> None:
        """Each change, until the end."""
        while not self._ends.is_set():
            version = self._version
            for each in objects():
                await response.write(json.dumps({"type": "MODIFIED", "object": each}).encode() + b"\n")
            async with self._told:
                await self._told.wait_for(lambda version=version: self._version != version or self._ends.is_set())


def _refusal(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


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
    "/apis/freeleaps.com/v1alpha1": {"resources": [_resource(plural) for plural in PLURALS]},
    "/apis/kopf.dev/v1": {"resources": [_resource("kopfpeerings") | {"kind": "KopfPeering"}]},
}
