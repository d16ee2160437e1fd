"""What resources act in: the clients, the settings, and who we are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from ..api.conditions import Reason
from ..api.errors import ConflictError, CredentialsError, ExternalServiceError, ValidationError
from ..api.names import controller, mark, mark_for
from ..engine.resource import Resource
from ..engine.window import ACT_WITHIN
from ..runtime.clock import Clock, Instant
from ..runtime.every import Every
from ..runtime.fence import Fence
from ..runtime.recent import Recent
from ..runtime.reservations import Reservations
from ..runtime.secrets import Secrets
from ..runtime.settings import Settings
from ..runtime.turns import Turns
from ..services.argocd import ArgoCD
from ..services.breakers import Breakers
from ..services.dns import Nameservers
from ..services.dockerhub import DockerHub
from ..services.git import Git
from ..services.godaddy import GoDaddy
from ..services.jenkins import Jenkins
from ..services.kubernetes import (
    ARGO_SETTINGS,
    DEVOPS_PROJECT,
    INGRESS_RESOURCE,
    JENKINS_SETTINGS,
    REGISTRY_SETTINGS,
    Kubernetes,
)
from ..services.probe import Prober
from ..services.registry import Registry
from ..services.rounds import InTurn
from .argo_memory import ArgoMemory
from .marks import of_one_installation

MOST_PUSH_LOGINS = 10_000
"""So many are remembered, with about 0.4 KiB each."""


@dataclass(frozen=True)
class World:
    """One per process. `cluster_id` tells the things of this cluster from those of others."""

    settings: Settings
    secrets: Secrets
    cluster_id: str
    clock: Clock
    kubernetes: Kubernetes
    jenkins: Jenkins
    argocd: ArgoCD
    hub: DockerHub
    registry: Registry
    godaddy: GoDaddy
    nameservers: Nameservers
    git: Git
    prober: Prober
    project_files: Every
    """When `.freeleaps.yaml` was last looked for, by UID of the object."""
    expiries: Turns
    """How many previews may begin to expire per minute, by UID of the record."""
    hosts: Reservations
    """Who has come for a host whose DNS record does not show yet, by the mark."""
    push_logins: Recent[str, tuple[str | None, float]] = field(default_factory=lambda: Recent(MOST_PUSH_LOGINS))
    """By the digest of a login: why the registry refused it when it was last tried, and when that was."""
    argo_memory: ArgoMemory = field(default_factory=ArgoMemory)
    builds: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The facts of builds under way, by key, as the last look found them: what is known needs no search."""
    homes: dict[str, str] = field(default_factory=dict)
    """The watched namespace of a mark's resource, NOWHERE where none of them has it: neither ever changes."""
    marks: dict[str, InTurn[set[str]]] = field(default_factory=dict)
    """By watched namespace: the marks of all that lives there, as last read."""
    breakers: Breakers = field(default_factory=Breakers)
    """Of the clients above, for those who show them."""
    fence: Fence | None = None
    """Before the clients above; without one nobody else acts."""


LAGS = {
    "argocd": timedelta(seconds=5),
    "dockerhub": timedelta(seconds=5),
    "godaddy": timedelta(seconds=5),
}
"""From the arrival of a write until the service shows it, at the longest: Argo CD answers from a cache, Docker Hub and
GoDaddy from replicas."""
CONSISTENT = timedelta(seconds=1)
"""For those that show a write at once, as Kubernetes does: a moment to spare."""

NOWHERE = ""
REFUSALS = (CredentialsError, ValidationError)
"""What reading in a watched namespace raises that refuses us, or is not there."""

OWNERS = (DEVOPS_PROJECT, JENKINS_SETTINGS, REGISTRY_SETTINGS, ARGO_SETTINGS, INGRESS_RESOURCE)
"""The kinds whose marks things carry: of previews the project's."""


class ExternalResource(Resource[World]):
    """A resource that lives in this world."""

    def arrives_in(self, world: World) -> timedelta:
        """The window in which an intent may be acted on, the request, the Lease of a replica that stood still with it,
        and the lag of the service.
        """
        settings = world.settings
        sent = timedelta(seconds=ACT_WITHIN) + settings.request_timeout + settings.lease_duration
        return sent + self.lag

    def acting_since(self, world: World) -> Instant | None:
        return world.fence.opened if world.fence is not None else None

    @property
    def lag(self) -> timedelta:
        """From the arrival of a write until it shows, at the longest."""
        return LAGS.get(self.service, CONSISTENT)

    async def check_takeover(self, world: World, me: str, owner: str | None) -> None:
        """Raise ConflictError where `owner` is the mark of another installation, whose things may all be alive for all
        that we can tell, or of a resource that lives in another watched namespace: `adoption` is said by a project's
        author, and what another team has is not theirs to take."""
        if owner is None:
            return
        if not of_one_installation(me, owner):
            text = f"{self.key} carries the mark of another installation, which adoption does not take it from"
            raise ConflictError(
                f"{text}; use another name, or have it removed there. Where that was this installation on a cluster of "
                "before, set RECONCILER_CLUSTER_ID (and DNS_TXT_OWNER_ID) to what it was there",
                reason=Reason.OWNERSHIP_CONFLICT,
            )
        if await lives_elsewhere(world, me, owner):
            text = f"{self.key} belongs to a resource in another namespace, which adoption does not take it from"
            raise ConflictError(f"{text}; use another name, or have it removed there", reason=Reason.OWNERSHIP_CONFLICT)


async def lives_elsewhere(world: World, me: str, owner: str) -> bool:
    """Whether `owner` is the mark of a resource that lives in another watched namespace than that of `me`.

    Reads nothing of what it knows for good: that two are of one namespace, or that the owner is gone. Raises
    ExternalServiceError, to be tried again, where the owner may live in a namespace that refuses us.
    """
    namespaces, homes = world.settings.reconciler_namespaces, world.homes
    home = homes.get(owner)
    if len(namespaces) == 1 or home == NOWHERE or (home is not None and home == homes.get(me)):
        return False
    refusals: list[str] = []
    # A mark is a digest of the UID: it names nothing that could be asked for, so whatever may be its owner is read.
    for namespace in namespaces if home is None else (home,):
        try:
            lists = world.marks.setdefault(namespace, InTurn(world.clock))
            marks = await lists.get(partial(_marks_in, world, namespace))
        except REFUSALS as error:
            refusals.append(f"{namespace} ({error.message})")
            continue
        if owner in marks:
            return homes.get(me) != namespace
    if refusals:
        text = f"whose the mark {owner} is cannot be told while watched namespaces refuse us: {'; '.join(refusals)}"
        raise ExternalServiceError(text, service="kubernetes")
    homes[owner] = NOWHERE
    return False


async def _marks_in(world: World, namespace: str) -> set[str]:
    """The marks of all that may own things, which are remembered as those that live there."""
    homes = world.homes
    # Who is met from now on may be too new for the list.
    before = [each for each, where in homes.items() if where == namespace]
    found = [obj for kind in OWNERS for obj in await world.kubernetes.list(kind, namespace)]
    marks = {mark(world.cluster_id, namespace, obj["metadata"]["uid"]) for obj in found}
    for gone in set(before) - marks:
        homes.pop(gone, None)
    homes.update(dict.fromkeys(marks, namespace))
    return marks


def note_home(world: World, obj: Mapping[str, Any]) -> None:
    """Remember where an object lives that is met there: of two that were met, nothing has to be listed.

    Until `forget_home`. What a project controls has the project's mark, and is not met as the project.
    """
    if len(world.settings.reconciler_namespaces) > 1 and controller(obj) is None:
        world.homes[mark_for(world.cluster_id, obj)] = obj["metadata"]["namespace"]


def forget_home(world: World, namespace: str, uid: str) -> None:
    """The object that was met there is gone."""
    world.homes.pop(mark(world.cluster_id, namespace, uid), None)
