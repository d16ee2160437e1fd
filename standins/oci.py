"""A small OCI image, and how it is pushed: blobs, then the manifest, with the token service's bearer tokens.

Source: opencontainers/distribution-spec (pushing), distribution/registry token authentication.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import ipaddress
import json
import re
import tarfile
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DEFAULT_REGISTRY = "https://registry-1.docker.io"
TIMEOUT = aiohttp.ClientTimeout(total=30)


class PushError(Exception):
    """The registry refused, in the words that `docker push` would show."""


@dataclass(frozen=True)
class Image:
    """Blobs by digest, and the manifest that names them."""

    blobs: dict[str, bytes]
    manifest: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


@dataclass(frozen=True)
class Target:
    """Where an image goes: the registry's address, and `name` without host."""

    registry: str
    name: str


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def build_image(commit: str, files: dict[str, bytes]) -> Image:
    """An image of one layer with `files`, labelled with the commit. The same input gives the same digest."""
    tar = _tar(files)
    layer = gzip.compress(tar, mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"org.opencontainers.image.revision": commit}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
        },
        sort_keys=True,
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
        }
    ).encode()
    return Image({digest_of(config): config, digest_of(layer): layer}, manifest)


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def target_of(repository: str, default_registry: str = DEFAULT_REGISTRY) -> Target:
    """As `docker` reads a name: the first part is a host if it has a dot or a port, or is localhost."""
    host, slash, rest = repository.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        name = repository if slash else f"library/{repository}"
        return Target(default_registry, name)
    return Target(f"{'http' if _is_loopback(host) else 'https'}://{host}", rest)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class Pusher:
    """Pushes to one registry under one account."""

    def __init__(self, target: Target, username: str | None, password: str | None) -> None:
        self._target = target
        pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        self._basic = None if username is None else f"Basic {pair}"
        self._authorization: str | None = None

    async def push(self, image: Image, tag: str) -> str:
        """Push and tag; returns the manifest's digest."""
        async with aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session:
            for digest, content in image.blobs.items():
                await self._blob(session, digest, content)
            await self._put_manifest(session, image.manifest, tag)
        return image.digest

    def _url(self, rest: str) -> str:
        return f"{self._target.registry}/v2/{self._target.name}/{rest}"

    async def _blob(self, session: aiohttp.ClientSession, digest: str, content: bytes) -> None:
        status, _ = await self._send(session, "HEAD", self._url(f"blobs/{digest}"))
        if status == 200:
            return
        status, headers = await self._send(session, "POST", self._url("blobs/uploads/"))
        if status != 202:
            raise PushError(f"unexpected status {status} when starting an upload")
        location = urljoin(self._url("blobs/uploads/"), headers.get("location", ""))
        location += ("&" if "?" in location else "?") + urlencode({"digest": digest})
        status, _ = await self._send(session, "PUT", location, content, "application/octet-stream")
        if status != 201:
            raise PushError(f"unexpected status {status} when uploading {digest}")

    async def _put_manifest(self, session: aiohttp.ClientSession, manifest: bytes, tag: str) -> None:
        status, _ = await self._send(session, "PUT", self._url(f"manifests/{tag}"), manifest, MANIFEST)
        if status != 201:
            raise PushError(f"unexpected status {status} when tagging {tag}")

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> tuple[int, dict[str, str]]:
        for attempt in (1, 2):
            headers = {} if content_type is None else {"Content-Type": content_type}
            if self._authorization is not None:
                headers["Authorization"] = self._authorization
            async with session.request(method, URL(url, encoded=True), data=body, headers=headers) as reply:
                if reply.status == 401 and attempt == 1:
                    await self._log_in(session, reply.headers.get("WWW-Authenticate", ""))
                    continue
                if reply.status in (401, 403):
                    raise PushError("denied: requested access to the resource is denied")
                return reply.status, {name.lower(): value for name, value in reply.headers.items()}
        raise PushError("unauthorized: authentication required")

    async def _log_in(self, session: aiohttp.ClientSession, challenge: str) -> None:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._basic is not None:
            self._authorization = self._basic
            return
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "bearer" or "realm" not in fields:
            raise PushError("no basic auth credentials")
        query = {"service": fields.get("service", ""), "scope": f"repository:{self._target.name}:pull,push"}
        headers = {} if self._basic is None else {"Authorization": self._basic}
        async with session.get(fields["realm"], params=query, headers=headers) as reply:
            if reply.status != 200:
                raise PushError("unauthorized: incorrect username or password")
            answer = await reply.json(content_type=None)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise PushError("the token service gave no token")
        self._authorization = f"Bearer {token}"
