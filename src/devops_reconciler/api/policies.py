"""The policies: how much the operator may do with the things of a project, for all of them or for one component."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import Field

from .model import Model


class Mode(StrEnum):
    """Apply the spec, or only say in `status.plan` what applying would do."""

    APPLY = "Apply"
    PLAN = "Plan"


class ManagementPolicy(StrEnum):
    """One thing that the operator may do with an external resource."""

    OBSERVE = "Observe"
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


class DeletionPolicy(StrEnum):
    """What happens to external things when the object that made them is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class Adoption(StrEnum):
    """Whether things may be taken over that exist already and do not carry our mark."""

    NEVER = "Never"
    IF_UNOWNED = "IfUnowned"
    ALWAYS = "Always"


class DriftPolicy(StrEnum):
    """What happens when somebody else changed an external thing."""

    REPAIR = "Repair"
    REPORT = "Report"


class ComponentName(StrEnum):
    """The five parts of a project."""

    JENKINS = "jenkins"
    REGISTRY = "registry"
    ARGO = "argo"
    INGRESS = "ingress"
    DNS = "dns"


ManagementPolicies = Annotated[
    list[ManagementPolicy], Field(max_length=4, json_schema_extra={"x-kubernetes-list-type": "atomic"})
]
"""Atomic, not a set: a server-side apply of [Observe] must replace the default, not be merged with it."""


class ComponentPolicies(Model):
    """The four policies for one component. What is absent here comes from the spec's own policies."""

    management_policies: ManagementPolicies | None = None
    """What the operator may do with the component: any of Observe, Create, Update, Delete."""
    deletion_policy: DeletionPolicy | None = None
    """Delete removes the external things with the object; Orphan leaves them, with their marks."""
    adoption: Adoption | None = None
    """Whether unmarked things that exist already may be taken over: Never, IfUnowned or Always."""
    drift_policy: DriftPolicy | None = None
    """Repair undoes foreign changes; Report only shows them in the condition Drifted."""


class RegistryPolicies(ComponentPolicies):
    """The policies for the image repository: unlike all else it stays when its project goes."""

    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    """Orphan, the default whatever spec.deletionPolicy says, leaves the image repository; Delete removes it."""


class Components(Model):
    """Policies for single components, each overriding the spec's own."""

    jenkins: ComponentPolicies = ComponentPolicies()
    """Folder, credentials and job in Jenkins."""
    registry: RegistryPolicies = RegistryPolicies()
    """The Docker Hub repository."""
    argo: ComponentPolicies = ComponentPolicies()
    """Repository, project and application in Argo CD."""
    ingress: ComponentPolicies = ComponentPolicies()
    """The Ingress."""
    dns: ComponentPolicies = ComponentPolicies()
    """The DNS record."""


class IngressComponents(Model):
    """Policies for the two components of an IngressResource, each overriding the spec's own."""

    ingress: ComponentPolicies = ComponentPolicies()
    """The Ingress."""
    dns: ComponentPolicies = ComponentPolicies()
    """The DNS record."""


class Policies(Model):
    """How much the operator may do, in every kind but DeploymentRecord."""

    suspend: bool = False
    """True pauses: nothing is written until it is false again. Deletion still works."""
    mode: Mode = Mode.APPLY
    """Apply does what the spec says; Plan writes nothing and lists every call in status.plan."""
    management_policies: ManagementPolicies = Field(default=list(ManagementPolicy))
    """What the operator may do: any of Observe, Create, Update, Delete. [Observe] is read-only, [] is paused."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """Delete removes the external things with the object; Orphan leaves them, with their marks."""
    adoption: Adoption = Adoption.NEVER
    """Whether unmarked things that exist already may be taken over: Never, IfUnowned or Always."""
    drift_policy: DriftPolicy = DriftPolicy.REPAIR
    """Repair undoes foreign changes; Report only shows them in the condition Drifted."""


class FourPolicies(Protocol):
    """What `effective` reads of a spec."""

    @property
    def management_policies(self) -> list[ManagementPolicy]: ...
    @property
    def deletion_policy(self) -> DeletionPolicy: ...
    @property
    def adoption(self) -> Adoption: ...
    @property
    def drift_policy(self) -> DriftPolicy: ...


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The four policies that count for one component."""

    management: frozenset[ManagementPolicy]
    deletion: DeletionPolicy
    adoption: Adoption
    drift: DriftPolicy


def effective(
    spec_policies: FourPolicies, components: Components | IngressComponents | None, component: ComponentName
) -> EffectivePolicy:
    """The policies of `component`: its own where it has them, else those of the spec."""
    own: ComponentPolicies = getattr(components, component.value, None) or ComponentPolicies()
    management = own.management_policies
    return EffectivePolicy(
        management=frozenset(spec_policies.management_policies if management is None else management),
        deletion=own.deletion_policy or spec_policies.deletion_policy,
        adoption=own.adoption or spec_policies.adoption,
        drift=own.drift_policy or spec_policies.drift_policy,
    )
