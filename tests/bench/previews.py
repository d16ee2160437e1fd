"""A thousand previews, cheaply: each is a copy of one that the operator has deployed, with all that it has outside.

Of each project one preview is real. Its copies bear the same mark, since that is the project's; everywhere else the
name of their environment stands in place of the original's: in the record and its ledger, in the project's list of
environments, on application, namespace, Ingress and DNS record. Each has an image of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from devops_reconciler.api.names import image_tag
from testbed.kube_api import Object
from testbed.stage import REGISTRY_NAMESPACE, ZONE, Stage
from testbed.stage_cluster import path
from tests.bench.bare_api import BareApi
from tests.bench.ended import KEPT, Copy, copy_all, replaced

REAL = "pr-000"
"""The environment of the originals."""
ZONES = (ZONE, *(f"{number}.{ZONE}" for number in range(1, 10)))
"""Where their hosts are: a look at a zone reads all of it."""
TTL = timedelta(hours=1)
NAMESPACES = "/api/v1/namespaces"
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"


@dataclass(frozen=True)
class Preview:
    """One copy: of which record, under which number, and how long after the first of all it expires."""

    original: Object
    number: int
    later: timedelta

    @property
    def environment(self) -> str:
        return f"pr-{self.number:03}"

    @property
    def project(self) -> str:
        return str(self.original["spec"]["projectRef"]["name"])

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.project}-{self.environment}"

    @property
    def image(self) -> tuple[str, str]:
        """Repository and digest of the original's."""
        repository, _, digest = str(self.original["status"]["image"]).partition("@")
        return f"{REGISTRY_NAMESPACE}/{repository.rpartition('/')[2]}", digest

    def renamed(self, thing: Any) -> Any:
        """A copy of something of the original's environment."""
        return replaced(thing, {REAL: self.environment})


async def make_outside(stage: Stage, previews: Sequence[Preview]) -> None:
    """What the previews have outside, but for their images."""
    _in_dns(stage, previews)
    _in_argocd(stage, previews)
    await _in_kubernetes(stage, previews)


async def make_records(stage: Stage, previews: Sequence[Preview], first: datetime) -> None:
    """Their places in their projects, and their records with their images; the `first` expires then."""
    digests = {preview.name: _image(stage, preview) for preview in previews}
    await _claim(stage, previews, digests, first)
    by_name = {preview.name: preview for preview in previews}

    def tagged(copy: Copy, uid: str) -> None:
        preview = by_name[copy.name]
        tag = image_tag(preview.original["status"]["commit"], uid)
        stage.hub.store.put_tag(preview.image[0], tag, digests[copy.name])

    await copy_all(stage, (copy_of(preview, digests[preview.name], first) for preview in previews), tagged)


def copy_of(preview: Preview, digest: str, first: datetime) -> Copy:
    """Its record, with the image of this digest."""
    expires = first + preview.later
    moments = {"finishedAt": stamp(expires - TTL), "expiresAt": stamp(expires)}
    return Copy(preview.original, preview.name, {REAL: preview.environment, preview.image[1]: digest}, moments)


def stamp(moment: datetime) -> str:
    """As the API server has it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_dns(stage: Stage, previews: Iterable[Preview]) -> None:
    for name in ZONES:
        zone = stage.godaddy.zone(name)
        real = _by_project(zone.records)
        new = [preview.renamed(record) for preview in previews for record in real.get(preview.project, ())]
        zone.write([*zone.records, *new])


def _by_project(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The records of the originals, mark included: both names end with `<project>-<environment>`."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record["name"].endswith(f"-{REAL}"):
            found[record["name"].removesuffix(f"-{REAL}").removeprefix("a-")].append(record)
    return found


def _in_argocd(stage: Stage, previews: Iterable[Preview]) -> None:
    state = stage.argocd.state
    for preview in previews:
        app = preview.renamed(state.apps[f"{preview.project}-{REAL}"])
        app["metadata"]["uid"] = str(uuid4())
        state.add_app(app)
        stage.argocd.controller.begin(app["metadata"]["name"])


async def _in_kubernetes(stage: Stage, previews: Sequence[Preview]) -> None:
    real = {}
    for project in {preview.project for preview in previews}:
        name = f"{project}-{REAL}"
        namespace = await stage.kube.get(f"{NAMESPACES}/{name}")
        real[project] = (namespace, await stage.kube.get(f"{INGRESSES.format(name)}/{name}"))

    async with BareApi(stage.control_plane) as api:

        async def make(preview: Preview) -> None:
            namespace, ingress = (preview.renamed(_bare(each)) for each in real[preview.project])
            await api.create(NAMESPACES, {"metadata": namespace["metadata"]})
            await api.create(INGRESSES.format(preview.name), ingress)

        await api.side_by_side(previews, make)


def _bare(thing: Object) -> Object:
    """What of an object is not the server's."""
    metadata = {name: value for name, value in thing["metadata"].items() if name in ("name", "namespace", *KEPT)}
    return {"metadata": metadata, "spec": thing["spec"]}


def _image(stage: Stage, preview: Preview) -> str:
    """The digest of an image of its own: the original's manifest, and as many spaces as its number says."""
    key, digest = preview.image
    real = stage.hub.store.contents(key).manifests[digest]
    return stage.hub.store.put_manifest(key, real.media_type, real.body + b" " * preview.number).digest


async def _claim(stage: Stage, previews: Iterable[Preview], digests: dict[str, str], first: datetime) -> None:
    """Each holds its environment."""
    of_project: dict[str, list[Preview]] = defaultdict(list)
    for preview in previews:
        of_project[preview.project].append(preview)
    collection = path("devopsprojects", namespace=stage.namespace)
    async with BareApi(stage.control_plane) as api:
        for project, mine in of_project.items():
            there = (await stage.kube.get(f"{collection}/{project}"))["status"]["environments"]
            real = next(each for each in there if each["name"] == REAL)
            new = [
                preview.renamed(real)
                | {"holder": preview.name, "digest": digests[preview.name], "expiresAt": stamp(first + preview.later)}
                for preview in mine
            ]
            await api.merge_status(f"{collection}/{project}", {"environments": [*there, *new]})
