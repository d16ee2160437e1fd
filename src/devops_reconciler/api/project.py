"""DevOpsProject: a Git repository that becomes a running, reachable application."""

from __future__ import annotations

from pydantic import Field

from .base import (
    Components,
    Duration,
    Model,
    Policies,
    ResourceStatus,
    SecretRef,
    StatusModel,
    Timestamp,
    parse_duration,
)
from .blocks import ArgoBlock, IngressBlock, JenkinsBlock, RegistryBlock
from .git import GitSpec
from .text import HostTemplate


class PreviewsBlock(Model):
    """Previews: what every environment but production gets."""

    ttl: Duration = parse_duration("24h")
    """How long a preview lives after its deployment has finished, unless the deployment says otherwise."""
    max: int = Field(default=5, ge=0, le=100)
    """How many previews may exist at once; one more fails with QuotaExceeded."""
    host: HostTemplate | None = None
    """Host of a preview; {name} becomes <project>-<environment>. Default: {name} beside the host of production."""
    tls_secret_ref: SecretRef | None = None
    """TLS Secret, usually a wildcard certificate, that is copied into the namespace of each preview."""


class DevOpsProjectSpec(Policies):
    """What the project is and where it goes. The smallest useful one is git.url and ingress.host."""

    display_name: str | None = Field(default=None, max_length=100)
    """Name for people."""
    git: GitSpec
    """The source."""
    jenkins: JenkinsBlock = JenkinsBlock()
    """How it is built."""
    registry: RegistryBlock = RegistryBlock()
    """Where its images go."""
    argo: ArgoBlock = ArgoBlock()
    """How it is rolled out."""
    ingress: IngressBlock
    """Where it is reached."""
    previews: PreviewsBlock = PreviewsBlock()
    """Previews: every environment but production."""
    history_limit: int = Field(default=10, ge=1, le=100)
    """Finished DeploymentRecords kept for each environment."""
    components: Components = Components()
    """Policies for single components, each overriding those above."""


class EnvironmentStatus(StatusModel):
    """One environment and the record that holds it."""

    name: str
    """Name of the environment: production, or a preview's."""
    holder: str | None = None
    """Name of the one DeploymentRecord that may act on the environment."""
    commit: str | None = None
    """Full commit that runs there."""
    digest: str | None = None
    """Digest of the image that runs there, sha256:…"""
    image: str | None = None
    """Repository of the image that runs there."""
    repo_url: str | None = Field(default=None, alias="repoURL")
    """Repository of the manifests that are deployed there, where it is that of the commit."""
    path: str | None = None
    """Their folder."""
    url: str | None = None
    """Address of the environment."""
    expires_at: Timestamp | None = None
    """When the preview goes away; absent for production."""


class ChildStatus(StatusModel):
    """How one child of the project is."""

    kind: str
    """JenkinsSettings, RegistrySettings, ArgoSettings or IngressResource."""
    name: str
    """Name of the child."""
    ready: str = "Unknown"
    """Its condition Ready: True, False or Unknown."""
    reason: str | None = None
    """The reason of its condition Ready."""
    message: str | None = None
    """The message of its condition Ready."""


class DevOpsProjectStatus(ResourceStatus):
    """How the project is."""

    environments: list[EnvironmentStatus] = Field(default_factory=list)
    """Who holds which environment, and what runs there."""
    children: list[ChildStatus] = Field(default_factory=list)
    """The four children and their readiness."""
    url: str | None = None
    """Address of production."""
