"""GoDaddy and its nameservers, Docker Hub and its registry, Git, and the addresses, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

from devops_reconciler.api.errors import ConflictError, CredentialsError, ValidationError
from devops_reconciler.services.dns import Visibility, normal
from devops_reconciler.services.dockerhub import Repository, Tag
from devops_reconciler.services.git import GitCredentials
from devops_reconciler.services.godaddy_types import Record, ZoneRecords
from devops_reconciler.services.probe import ProbeResult

from .line import Line, Service, call


class FakeGoDaddy(Service):
    """Zones as lists of records. A PUT replaces a set whole, as GoDaddy does."""

    name = "godaddy"

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.zones: dict[str, list[Record]] = {"example.com": [], "example.net": []}

    def set(self, zone: str, type: str, name: str) -> list[Record]:
        return [r for r in self.zones[zone] if (r.type, r.name.lower()) == (type, name.lower())]

    @call
    async def zone_records(self, zone: str, names: Iterable[str] | None = None) -> ZoneRecords:
        return ZoneRecords(zone, self._zone(zone))

    @call
    async def records(self, zone: str, type: str, name: str) -> tuple[Record, ...]:
        self._zone(zone)
        return tuple(self.set(zone, type, name))

    @call
    async def replace(self, zone: str, type: str, name: str, records: Iterable[Record]) -> None:
        wanted = list(records)
        assert wanted, "an empty set is deleted, never replaced"
        assert all((r.type, r.name.lower()) == (type, name.lower()) for r in wanted)
        assert all(r.ttl >= 600 for r in wanted), "GoDaddy refuses a TTL below 600"
        if len({(r.data, r.priority) for r in wanted}) < len(wanted):
            raise ConflictError("DUPLICATE_RECORD", status=409)
        self._check_alias(zone, type, name)
        self._zone(zone)[:] = [*(r for r in self.zones[zone] if (r.type, r.name.lower()) != (type, name)), *wanted]

    def _check_alias(self, zone: str, type: str, name: str) -> None:
        """RFC 1034, 3.6.2: a CNAME stands alone."""
        beside = {r.type for r in self.zones[zone] if r.name.lower() == name.lower() and r.type != type}
        if (type == "CNAME" and beside) or "CNAME" in beside:
            raise ValidationError(f"a CNAME cannot stand beside other records: {name}", status=422)

    @call
    async def delete(self, zone: str, type: str, name: str) -> None:
        self._zone(zone)[:] = [r for r in self.zones[zone] if (r.type, r.name.lower()) != (type, name.lower())]

    def _zone(self, zone: str) -> list[Record]:
        if zone not in self.zones:
            raise ValidationError(f"zone {zone} is unknown", status=404)
        return self.zones[zone]


class FakeNameservers(Service):
    """One nameserver that gives what GoDaddy has, unless it is `frozen`: then it gives what it gave before.

    It has all zones, and answers from the one that is the nearest to a name, whichever is asked about.
    """

    name = "dns"

    def __init__(self, line: Line, godaddy: FakeGoDaddy) -> None:
        super().__init__(line)
        self._godaddy = godaddy
        self.frozen: dict[str, list[Record]] | None = None

    def freeze(self) -> None:
        self.frozen = {zone: list(records) for zone, records in self._godaddy.zones.items()}

    def _values(self, host: str, rtype: str) -> list[str]:
        zone = self._nearest(host)
        relative = "@" if host == zone else host.removesuffix(f".{zone}")
        zones = self._godaddy.zones if self.frozen is None else self.frozen
        return [normal(rtype, r.data) for r in zones[zone] if r.type == rtype and r.name.lower() == relative]

    def _nearest(self, host: str) -> str:
        return max((zone for zone in self._godaddy.zones if f".{host}".endswith(f".{zone}")), key=len)

    @call
    async def shows(self, zone: str, host: str, rtype: str, values: Iterable[str]) -> Visibility:
        there = self._values(host, rtype)
        ok = all(normal(rtype, value) in there for value in values)
        return Visibility(ok, () if ok else ("ns1",), f"{rtype} {host} at ns1: gives {', '.join(there) or 'nothing'}")

    @call
    async def gone(self, zone: str, host: str, rtype: str, values: Iterable[str] | None = None) -> Visibility:
        there = self._values(host, rtype) if self._nearest(host) == zone else []
        left = [v for v in there if values is None or v in {normal(rtype, each) for each in values}]
        return Visibility(not left, ("ns1",) if left else (), f"{rtype} {host} at ns1: still gives {', '.join(left)}")


@dataclass
class _Held:
    repository: Repository
    tags: dict[str, str]


class FakeHub(Service):
    """Docker Hub: repositories with their tags."""

    name = "dockerhub"

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.held: dict[str, _Held] = {}

    def add(self, namespace: str, name: str, description: str = "", *, private: bool = True) -> None:
        self.held[f"{namespace}/{name}"] = _Held(Repository(namespace, name, description, "", private), {})

    def push(self, path: str, tag: str, digest: str | None = None) -> str:
        """What a build does; gives the digest."""
        if path not in self.held:
            self.add(*path.split("/"))
        found = digest or digest_of(f"{path}:{tag}")
        self.held[path].tags[tag] = found
        return found

    @call
    async def repository(self, namespace: str, name: str) -> Repository | None:
        found = self.held.get(f"{namespace}/{name}")
        return found.repository if found else None

    async def repositories(self, namespace: str) -> AsyncIterator[Repository]:
        for found in await self._every():
            if found.namespace == namespace:
                yield found

    @call
    async def _every(self) -> list[Repository]:
        return [held.repository for held in self.held.values()]

    async def tags(self, namespace: str, name: str) -> AsyncIterator[Tag]:
        for tag, digest in self.held[f"{namespace}/{name}"].tags.items():
            yield Tag(tag, digest, None)

    @call
    async def create_repository(
        self, namespace: str, name: str, *, description: str, full_description: str = "", private: bool
    ) -> None:
        assert len(description) <= 100
        if f"{namespace}/{name}" in self.held:
            raise ConflictError(f"{name} exists already", status=400)
        self.add(namespace, name, description, private=private)

    @call
    async def update_repository(
        self, namespace: str, name: str, *, description: str | None = None, private: bool | None = None
    ) -> None:
        held = self.held[f"{namespace}/{name}"]
        if description is not None:
            held.repository = replace(held.repository, description=description)
        if private is not None:
            held.repository = replace(held.repository, private=private)

    @call
    async def delete_repository(self, namespace: str, name: str) -> None:
        self.held.pop(f"{namespace}/{name}", None)

    @call
    async def tag(self, namespace: str, name: str, tag: str) -> Tag | None:
        held = self.held.get(f"{namespace}/{name}")
        digest = held.tags.get(tag) if held else None
        return Tag(tag, digest, None) if digest else None

    @call
    async def delete_tag(self, namespace: str, name: str, tag: str) -> None:
        held = self.held.get(f"{namespace}/{name}")
        if held is not None:
            held.tags.pop(tag, None)


class FakeRegistry(Service):
    """Docker Hub's registry: a repository that is not there is refused, not absent."""

    name = "registry"

    def __init__(self, line: Line, hub: FakeHub) -> None:
        super().__init__(line)
        self._hub = hub
        self.refused: set[str] = set()
        """Passwords that are no login."""
        self.tried: list[tuple[str, str]] = []

    @call
    async def check_login(self, username: str, password: str) -> None:
        self.tried.append((username, password))
        if password in self.refused:
            raise CredentialsError(f"registry: get token: refuses {username}", status=401)

    @call
    async def digest(self, repository: str, reference: str) -> str | None:
        held = self._hub.held.get(repository)
        if held is None:
            raise CredentialsError(f"registry: {repository} is not there, or we may not read it", status=401)
        if ":" in reference:
            return reference if reference in held.tags.values() else None
        return held.tags.get(reference)


class FakeGit(Service):
    """Repositories by URL: revisions and files by commit."""

    name = "git"

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.revisions: dict[str, dict[str, str]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.logins: list[GitCredentials | None] = []

    def commit(self, url: str, branch: str, commit: str, file: bytes | None = None) -> None:
        self.revisions.setdefault(url, {}).update({branch: commit, commit: commit})
        if file is not None:
            self.files[url, commit] = file

    @call
    async def resolve(self, url: str, revision: str, credentials: GitCredentials | None = None) -> str | None:
        self.logins.append(credentials)
        if url not in self.revisions:
            raise ValidationError(f"git: there is no repository at {url}")
        return self.revisions[url].get(revision)

    @call
    async def read_file(
        self, url: str, commit: str, path: str, credentials: GitCredentials | None = None, *, limit: int = 65536
    ) -> bytes | None:
        return self.files.get((url, commit))


class FakeProber(Service):
    """Every address answers with `status`; 0 means that it does not answer."""

    name = "address"

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.status = 200
        self.asked: list[tuple[str, int, str, str, bool]] = []

    @call
    async def get(self, target: str, port: int, host: str, path: str, *, tls: bool) -> ProbeResult:
        self.asked.append((target, port, host, path, tls))
        if self.status == 0:
            return ProbeResult(False, None, f"{host} does not answer")
        return ProbeResult(self.status < 500, self.status, f"{host} answers {self.status}")


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
