"""IngressResource: an Ingress and its DNS record."""

from __future__ import annotations

from .base import ComponentName, ComponentPolicies, IngressComponents, Policies, ResourceStatus
from .blocks import Destination, IngressBlock
from .children import inherited
from .git import GitSpec
from .project import DevOpsProjectSpec


class IngressResourceSpec(IngressBlock, Policies):
    """A project's address, usable without the project. The Ingress is named like this object."""

    rules = IngressBlock.rules

    git: GitSpec | None = None
    """The source of the project; the address itself does not depend on it."""
    destination: Destination = Destination()
    """Where the Ingress goes; in another cluster only the DNS record is made."""
    components: IngressComponents = IngressComponents()
    """Policies for the Ingress and the DNS record, each overriding those above."""

    @classmethod
    def from_project(cls, project: DevOpsProjectSpec) -> IngressResourceSpec:
        """The spec of a project's child: the Ingress's policies at the top, the record's in components.dns."""
        dns = inherited(project, ComponentName.DNS)
        four = {name: dns[name] for name in ComponentPolicies.model_fields}
        return cls(
            **dict(project.ingress),
            **inherited(project, ComponentName.INGRESS),
            git=project.git,
            destination=project.argo.destination,
            components=IngressComponents(dns=ComponentPolicies(**four)),
        )


class IngressResourceStatus(ResourceStatus):
    """How the address is."""

    url: str | None = None
    """The address."""
    record: str | None = None
    """The DNS record, like A shop.example.com."""
    zone: str | None = None
    """The zone that holds the record."""
    target: str | None = None
    """What the record points to."""
