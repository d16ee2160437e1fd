"""Blobs of the stand-in registry: monolithic and chunked uploads, mounts, reading."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from .registry_store import digest_of

if TYPE_CHECKING:
    from .registry import RegistryStandin

CLASSES = {
    400: web.HTTPBadRequest,
    404: web.HTTPNotFound,
    416: web.HTTPRequestRangeNotSatisfiable,
    429: web.HTTPTooManyRequests,
}


def failure(status: int, code: str, message: str) -> web.HTTPException:
    """An error in the form of the distribution specification."""
    text = json.dumps({"errors": [{"code": code, "message": message, "detail": {}}]})
    if status == 405:
        return web.HTTPMethodNotAllowed("DELETE", ["GET", "HEAD", "PUT"], text=text, content_type="application/json")
    return CLASSES[status](text=text, content_type="application/json")


class Uploads:
    """The routes under `/blobs/`. An upload belongs to one repository and ends with its digest."""

    def __init__(self, registry: RegistryStandin) -> None:
        self._registry = registry
        self._open: dict[str, tuple[str, bytearray]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v2/{name:.+}/blobs/uploads/", self._start),
            web.get("/v2/{name:.+}/blobs/uploads/{id}", self._status),
            web.patch("/v2/{name:.+}/blobs/uploads/{id}", self._append),
            web.put("/v2/{name:.+}/blobs/uploads/{id}", self._finish),
            web.delete("/v2/{name:.+}/blobs/uploads/{id}", self._cancel),
            web.get("/v2/{name:.+}/blobs/{digest}", self._get),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        name, _ = self._registry.enter(request, "push")
        blobs = self._registry.store.contents(name).blobs
        if digest := request.query.get("mount"):
            source = self._registry.store.contents(request.query.get("from", name)).blobs
            if digest in source:
                blobs[digest] = source[digest]
                return self._created(name, digest)
        if digest := request.query.get("digest"):
            return self._store(name, digest, await request.read())
        upload = secrets.token_hex(16)
        self._open[upload] = (name, bytearray())
        return self._progress(name, upload, 202)

    async def _status(self, request: web.Request) -> web.Response:
        name, upload, _ = self._find(request)
        return self._progress(name, upload, 204)

    async def _append(self, request: web.Request) -> web.Response:
        name, upload, body = self._find(request)
        self._check_range(request, body)
        body += await request.read()
        return self._progress(name, upload, 202)

    async def _finish(self, request: web.Request) -> web.Response:
        name, upload, body = self._find(request)
        self._check_range(request, body)
        body += await request.read()
        response = self._store(name, request.query.get("digest", ""), bytes(body))
        del self._open[upload]
        return response

    async def _cancel(self, request: web.Request) -> web.Response:
        _, upload, _ = self._find(request)
        del self._open[upload]
        return web.Response(status=204)

    async def _get(self, request: web.Request) -> web.Response:
        name, _ = self._registry.enter(request, "pull")
        digest = request.match_info["digest"]
        body = self._registry.store.contents(name).blobs.get(digest)
        if body is None:
            raise failure(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return web.Response(body=body, headers={"Docker-Content-Digest": digest})

    def _find(self, request: web.Request) -> tuple[str, str, bytearray]:
        name, _ = self._registry.enter(request, "push")
        upload = request.match_info["id"]
        if upload not in self._open or self._open[upload][0] != name:
            raise failure(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return name, upload, self._open[upload][1]

    def _check_range(self, request: web.Request, body: bytearray) -> None:
        """A chunk that says where it begins must begin where the last one ended."""
        start = request.headers.get("Content-Range", f"{len(body)}-").removeprefix("bytes ").partition("-")[0]
        if start != str(len(body)):
            raise failure(416, "BLOB_UPLOAD_INVALID", f"the next chunk begins at {len(body)}")

    def _store(self, name: str, digest: str, body: bytes) -> web.Response:
        if digest != digest_of(body):
            raise failure(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self._registry.store.contents(name).blobs[digest] = body
        return self._created(name, digest)

    def _created(self, name: str, digest: str) -> web.Response:
        location = f"{self._registry.url}/v2/{name}/blobs/{digest}"
        return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})

    def _progress(self, name: str, upload: str, status: int) -> web.Response:
        end = max(0, len(self._open[upload][1]) - 1)
        headers = {
            "Location": f"{self._registry.url}/v2/{name}/blobs/uploads/{upload}?_state={upload[:8]}",
            "Range": f"0-{end}",
            "Docker-Upload-UUID": upload,
        }
        return web.Response(status=status, headers=headers)
