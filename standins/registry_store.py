"""What the stand-ins of Docker Hub and its registry share: repositories, tags, manifests, blobs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from devops_reconciler.runtime.clock import Clock

V = TypeVar("V")

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
INDEXES = frozenset({DOCKER_LIST, OCI_INDEX})
MEDIA_TYPES = frozenset({DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX})


class History(Generic[V]):
    """Values by key that can also be read as they were some time ago: visibility lag."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changes: dict[str, list[tuple[float, V | None]]] = {}

    def set(self, key: str, value: V | None) -> None:
        """Set a value; None removes it."""
        self._changes.setdefault(key, []).append((self._clock.monotonic(), value))

    def get(self, key: str, lag: timedelta = timedelta(0)) -> V | None:
        until = self._clock.monotonic() - lag.total_seconds()
        value = None
        for at, each in self._changes.get(key, []):
            if at <= until:
                value = each
        return value

    def items(self, lag: timedelta = timedelta(0)) -> dict[str, V]:
        found = {key: self.get(key, lag) for key in self._changes}
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class RepositoryRecord:
    """A repository as Docker Hub keeps it."""

    namespace: str
    name: str
    private: bool
    created: datetime
    description: str = ""
    full_description: str = ""


@dataclass(frozen=True)
class TagRecord:
    """Where a tag points, since when, and who put it there."""

    digest: str
    pushed: datetime
    pusher: str


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, byte for byte as it was pushed."""

    digest: str
    media_type: str
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def children(self) -> list[dict[str, Any]]:
        """The entries of an index; [] for a manifest of one image."""
        entries: list[dict[str, Any]] = self.content.get("manifests", [])
        return entries

    @property
    def blobs(self) -> list[str]:
        """Digests of the blobs that a manifest of one image names."""
        content = self.content
        parts = [content.get("config"), *content.get("layers", [])]
        return [part["digest"] for part in parts if part]


@dataclass
class Contents:
    """The registry's side of one repository."""

    tags: History[TagRecord]
    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


class Store:
    """The state. Keys are `namespace/name`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.repositories: History[RepositoryRecord] = History(clock)
        self._contents: dict[str, Contents] = {}

    def contents(self, key: str) -> Contents:
        return self._contents.setdefault(key, Contents(History(self.clock)))

    def create(self, key: str, *, private: bool, description: str = "", full_description: str = "") -> RepositoryRecord:
        namespace, _, name = key.rpartition("/")
        record = RepositoryRecord(namespace, name, private, self.clock.now(), description, full_description)
        self.repositories.set(key, record)
        return record

    def delete(self, key: str) -> None:
        """Remove a repository with all its contents. Its tags go through their history, so lag shows them longer."""
        self.repositories.set(key, None)
        contents = self.contents(key)
        for tag in contents.tags.items():
            contents.tags.set(tag, None)
        contents.manifests.clear()
        contents.blobs.clear()

    def put_manifest(self, key: str, media_type: str, body: bytes) -> Manifest:
        manifest = Manifest(digest_of(body), media_type, body)
        self.contents(key).manifests[manifest.digest] = manifest
        return manifest

    def put_tag(self, key: str, tag: str, digest: str, pusher: str = "") -> None:
        self.contents(key).tags.set(tag, TagRecord(digest, self.clock.now(), pusher))


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()
