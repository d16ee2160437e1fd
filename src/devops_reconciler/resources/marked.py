"""What carries a mark of this product anywhere outside, by the lists of each service. Reads only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..services.godaddy_types import Record, full_name
from ..services.jenkins_types import FOLDER_CLASS
from ..services.kubernetes import INGRESS, NAMESPACE, SECRET
from ..services.kubernetes_kinds import Kind
from ..services.txt_registry import ADDRESS_TYPES, TxtNaming, ownership_of
from .argo_application import ArgoApplication
from .argo_project import ArgoProject
from .argo_repository import ArgoRepository
from .dns_record import DnsRecord, naming
from .hub_repository import HubRepository
from .image import Image
from .ingress import IngressRoute
from .jenkins_folder import JenkinsFolder
from .jenkins_job import JenkinsJob
from .marks import ENVIRONMENT_LABEL, PROJECT_LABEL, mark_in, mark_of
from .secret_copy import SecretCopy
from .world import World

OUR_TAG = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")
"""`api.names.image_tag`: the one kind of thing that carries no mark of its own, but its repository does."""

NAMESPACES = "Namespace"
"""Kind of a namespace, production's or a preview's."""


@dataclass(frozen=True)
class Marked:
    """One thing. `kind` is the name of its resource, `id` its key there; a DNS record is known by the name of its mark.

    `owner_id` is that of the DNS mark, empty elsewhere: it tells installations apart as the cluster in the mark does.
    """

    service: str
    kind: str
    id: str
    mark: str
    url: str | None = None
    environment: str | None = None
    digest: str | None = None
    owner_id: str = ""
    name: str = ""
    """What people call it, where that is not the id."""


Scan = Callable[[], Awaitable[list[Marked]]]


def scans(world: World, namespaces: Iterable[str], zones: Iterable[str]) -> dict[str, Scan]:
    """One look per list that can fail alone, by what it looks at: Docker Hub's namespaces and GoDaddy's zones apart."""
    found: dict[str, Scan] = {"jenkins": partial(in_jenkins, world), "argocd": partial(in_argocd, world)}
    found |= {f"dockerhub {each}": partial(in_dockerhub, world, each) for each in sorted(set(namespaces))}
    found |= {f"godaddy {each}": partial(in_zone, world, each) for each in sorted(set(zones))}
    for kind, resource in ((NAMESPACE, NAMESPACES), (INGRESS, IngressRoute.__name__), (SECRET, SecretCopy.__name__)):
        found[f"kubernetes {kind.plural}"] = partial(in_kubernetes, world, kind, resource)
    return found


async def in_jenkins(world: World) -> list[Marked]:
    """Folders and the jobs in them, by their descriptions."""
    found = []
    for path, item in await world.jenkins.items():
        mark = mark_in(item.description)
        if mark is not None:
            kind = JenkinsFolder if item.cls == FOLDER_CLASS else JenkinsJob
            found.append(Marked("jenkins", kind.__name__, "/".join(path), mark, item.url))
    return found


async def in_argocd(world: World) -> list[Marked]:
    """Applications and projects by their annotations, repositories by their names."""
    found = []
    for app in await world.argocd.applications():
        metadata = app.get("metadata") or {}
        environment = (metadata.get("labels") or {}).get(ENVIRONMENT_LABEL)
        found += _annotated("argocd", ArgoApplication.__name__, metadata, environment)
    for project in await world.argocd.projects():
        found += _annotated("argocd", ArgoProject.__name__, project.get("metadata") or {}, None)
    for repository in await world.argocd.repositories():
        mark = mark_in(repository.get("name"))
        if mark is not None:
            found.append(Marked("argocd", ArgoRepository.__name__, str(repository.get("repo")), mark))
    return found


async def in_dockerhub(world: World, namespace: str) -> list[Marked]:
    """Repositories by their descriptions, and in those the tags whose names are like ours."""
    found = []
    async for repository in world.hub.repositories(namespace):
        mark = mark_in(repository.description)
        if mark is None:
            continue
        path = f"{namespace}/{repository.name}"
        found.append(Marked("dockerhub", HubRepository.__name__, path, mark))
        found += [
            Marked("dockerhub", Image.__name__, f"{path}:{tag.name}", mark, digest=tag.digest)
            async for tag in _tags(world, namespace, repository.name)
        ]
    return found


async def _tags(world: World, namespace: str, repository: str) -> AsyncIterator[Any]:
    async for tag in world.hub.tags(namespace, repository):
        if OUR_TAG.fullmatch(tag.name):
            yield tag


async def in_kubernetes(world: World, kind: Kind, resource: str) -> list[Marked]:
    """Objects of all namespaces with our label, by their annotations."""
    found = []
    for obj in await world.kubernetes.list(kind, None, labels=PROJECT_LABEL):
        metadata = obj["metadata"]
        environment = (metadata.get("labels") or {}).get(ENVIRONMENT_LABEL)
        found += _annotated("kubernetes", resource, metadata, environment)
    return found


def _annotated(service: str, kind: str, metadata: Mapping[str, Any], environment: str | None) -> list[Marked]:
    mark = mark_of(metadata.get("annotations"))
    if mark is None:
        return []
    # Argo CD's objects have a namespace too, and are known by their names alone.
    namespace = metadata.get("namespace") if service == "kubernetes" else None
    id = "/".join(filter(None, (namespace, str(metadata.get("name")))))
    return [Marked(service, kind, id, mark, environment=environment)]


async def in_zone(world: World, zone: str) -> list[Marked]:
    """The marks in TXT records."""
    records = await world.godaddy.zone_records(zone)
    found = []
    for record in records:
        ownership = ownership_of(record.data) if record.type == "TXT" else None
        mark = mark_in(ownership.resource) if ownership is not None else None
        if ownership is not None and mark is not None:
            name = full_name(record.name, zone)
            about = _about(records, zone, name, naming(world)) or f"TXT {name}"
            kind = DnsRecord.__name__
            id = dns_mark(name, zone)
            found.append(Marked("godaddy", kind, id, mark, owner_id=ownership.owner, name=f"{about} in zone {zone}"))
    return found


def dns_mark(name: str, zone: str) -> str:
    """Id of a DNS record: a host may have one in each of two zones, one of which lies in the other."""
    return f"TXT {name} in zone {zone.lower()}"


def _about(records: Iterable[Record], zone: str, mark_name: str, named: TxtNaming) -> str | None:
    """The record that a mark is about; None where it is gone and only the mark is left."""
    for record in records:
        host = full_name(record.name, zone)
        if record.type in ADDRESS_TYPES and named.name(host, record.type) == mark_name:
            return f"{record.type} {host}"
    return None
