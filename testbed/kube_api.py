"""A small client of the Kubernetes API for tests and demo. The operator has its own; neither knows the other."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from testbed.waiting import eventually

REQUEST_TIMEOUT = timedelta(seconds=30)
DISCOVERY_DEADLINE = timedelta(seconds=5)
FIELD_MANAGER = "devops-reconciler-testbed"

# A CRD of a megabyte takes the one in Python half a minute.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


class KubeApiError(RuntimeError):
    """The API server refused. ``status`` is the HTTP status, ``reason`` the word of the Status object."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        self.status = status
        self.reason: str = answer.get("reason", "")
        self.message: str = answer.get("message", body.strip())
        super().__init__(f"{method} {path}: {status} {self.reason}: {self.message}")


class KubeApi:
    """Requests as one user. Holds no connection, so it may be used from any event loop."""

    def __init__(self, server: str, authority: Path, token: str) -> None:
        self.server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    async def get(self, path: str) -> Object:
        """GET of an absolute path such as ``/api/v1/namespaces/default``."""
        return await self.request("GET", path)

    async def find(self, path: str) -> Object | None:
        """As :meth:`get`, but ``None`` where there is nothing."""
        try:
            return await self.get(path)
        except KubeApiError as error:
            if error.status != 404:
                raise
            return None

    async def create(self, path: str, body: Object) -> Object:
        """POST to the path of a collection."""
        return await self.request("POST", path, body)

    async def patch(self, path: str, body: Object) -> Object:
        """A JSON merge patch."""
        return await self.request("PATCH", path, body, content_type="application/merge-patch+json")

    async def delete(self, path: str, **options: Any) -> Object:
        """DELETE; ``options`` are fields of DeleteOptions, such as ``propagationPolicy="Foreground"``."""
        return await self.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    async def apply(self, manifests: str | Iterable[Object]) -> list[Object]:
        """Server-side apply of YAML documents, or of objects, in their order; returns what the server made of them."""
        documents = yaml.load_all(manifests, Loader=LOADER) if isinstance(manifests, str) else manifests
        return [await self._apply_one(document) for document in documents if document]

    async def _apply_one(self, document: Object) -> Object:
        path = await self.path_of(document)
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        made = await self.request("PATCH", path + query, document, content_type="application/apply-patch+yaml")
        if document["kind"] == "CustomResourceDefinition":
            await self._wait_established(path)
        return made

    async def _wait_established(self, path: str) -> None:
        """A custom resource can be written only once its definition is established, a moment after it was made."""

        async def established() -> bool:
            conditions = (await self.get(path)).get("status", {}).get("conditions") or ()
            return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

        await eventually(established, f"{path} is established")

    async def path_of(self, document: Mapping[str, Any]) -> str:
        """The path of this object; its namespace defaults to ``default`` where its kind has one."""
        version, kind = document["apiVersion"], document["kind"]
        metadata = document["metadata"]
        if (version, kind) not in self._plurals:
            await self._discover(version, kind)
        plural, namespaced = self._plurals[version, kind]
        scope = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{_root(version)}{scope}/{plural}/{metadata['name']}"

    async def _discover(self, version: str, kind: str) -> None:
        """Learns the names of a group; one that was just defined appears a moment later."""

        async def known() -> bool:
            for found in (await self.find(_root(version)) or {}).get("resources") or ():
                if "/" not in found["name"]:
                    self._plurals[version, found["kind"]] = (found["name"], found["namespaced"])
            return (version, kind) in self._plurals

        await eventually(known, f"the API server knows the kind {kind} of {version}", DISCOVERY_DEADLINE)

    async def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Object:
        """One request; raises :class:`KubeApiError` unless the answer is 2xx."""
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(REQUEST_TIMEOUT.total_seconds())
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method,
                self.server + path,
                data=None if body is None else json.dumps(body),
                headers=headers,
                ssl=self._tls,
            ) as response,
        ):
            text = await response.text()
            if not response.ok:
                raise KubeApiError(method, path, response.status, text)
            answer: Object = json.loads(text)
            return answer

    async def watch(self, path: str, resource_version: str) -> AsyncGenerator[Object, None]:
        """Events ``{"type", "object"}`` after this version of the collection, until the server ends the stream."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT.total_seconds())
        parameters = {"watch": "true", "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=self._headers, read_bufsize=2**20) as session,
            session.get(self.server + path, params=parameters, ssl=self._tls) as response,
        ):
            if not response.ok:
                raise KubeApiError("GET", path, response.status, await response.text())
            try:
                async for line in response.content:
                    event: Object = json.loads(line)
                    yield event
            finally:
                # In order, it would end only when the server agrees, and the event loop may be gone by then.
                if response.connection is not None and response.connection.transport is not None:
                    response.connection.transport.abort()


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
