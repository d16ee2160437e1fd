"""What `docker push` does, in raw HTTP: for tests that need an image, and for tests of the push itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Pusher:
    """A registry client with the bearer dance, for one repository."""

    url: str
    repository: str
    username: str = ""
    secret: str = ""
    token: str = ""
    log: list[tuple[str, str, int]] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; on 401 a token for what the challenge names, and once more."""
        answer = await self._send(method, path, body, headers)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status == 401 and challenge.startswith("Bearer") and "error" not in challenge:
            await self._fetch_token(challenge)
            answer = await self._send(method, path, body, headers)
        return answer

    async def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None) -> Answer:
        url = path if path.startswith("http") else f"{self.url}{path}"
        extra = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers={**extra, **(headers or {})}) as reply,
        ):
            self.log.append((method, path, reply.status))
            return Answer(reply.status, {k.lower(): v for k, v in reply.headers.items()}, await reply.read())

    async def _fetch_token(self, challenge: str) -> None:
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        pair = base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if self.username else {}
        query = {name: values[name] for name in ("service", "scope") if name in values}
        async with (
            aiohttp.ClientSession() as session,
            session.get(values["realm"], params=query, headers=headers) as reply,
        ):
            body = await reply.json()
        self.token = body.get("token") or body.get("access_token") or ""

    async def push_blob(self, body: bytes, *, chunk: int | None = None) -> str:
        """Push a blob in one PUT, or in PATCHes of `chunk` bytes."""
        digest = digest_of(body)
        begun = await self.ask("POST", f"/v2/{self.repository}/blobs/uploads/")
        assert begun.status == 202, begun
        location = begun.headers["location"]
        start = 0
        while chunk is not None and start < len(body):
            part = body[start : start + chunk]
            headers = {"Content-Range": f"{start}-{start + len(part) - 1}", "Content-Type": "application/octet-stream"}
            moved = await self.ask("PATCH", location, part, headers)
            assert moved.status == 202, moved
            location, start = moved.headers["location"], start + len(part)
        separator = "&" if "?" in location else "?"
        done = await self.ask("PUT", f"{location}{separator}digest={digest}", None if chunk else body)
        assert done.status == 201, done
        return digest

    async def push_manifest(self, reference: str, manifest: dict[str, Any]) -> str:
        body = json.dumps(manifest).encode()
        reference = reference or digest_of(body)
        path = f"/v2/{self.repository}/manifests/{reference}"
        done = await self.ask("PUT", path, body, {"Content-Type": manifest["mediaType"]})
        assert done.status == 201, done
        assert done.headers["docker-content-digest"] == digest_of(body)
        return digest_of(body)

    async def push_image(self, tag: str, *, content: str = "hello", media_type: str = OCI_MANIFEST) -> str:
        """Push a small image and give its digest. `tag` "" pushes it by digest only."""
        layer, config = content.encode(), json.dumps({"architecture": "amd64", "os": "linux", "of": content}).encode()
        described = [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": await self.push_blob(part), "size": 1}
            for part in (config, layer)
        ]
        manifest = {"schemaVersion": 2, "mediaType": media_type, "config": described[0], "layers": described[1:]}
        return await self.push_manifest(tag, manifest)

    async def push_index(self, tag: str) -> tuple[str, str]:
        """Push an image for amd64 and an index that names it. Gives both digests: index, image."""
        image = await self.push_image("", content=f"index of {tag}", media_type=DOCKER_MANIFEST)
        entry = {"mediaType": DOCKER_MANIFEST, "digest": image, "size": 1, "platform": {"architecture": "amd64"}}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        return await self.push_manifest(tag, index), image
