"""ArgoSettings: repository, project and main application in Argo CD."""

from __future__ import annotations

from .base import ComponentName, Model, Policies, ResourceStatus
from .blocks import ArgoBlock
from .children import inherited
from .git import GitSpec
from .project import DevOpsProjectSpec
from .text import HubNamespace, HubRepository


class ArgoRegistry(Model):
    """What names the image where kustomize.imageName does not."""

    namespace: HubNamespace | None = None
    """Docker Hub namespace; default: the operator's DOCKERHUB_NAMESPACE."""
    repository: HubRepository | None = None
    """Docker Hub repository; default: the name of this object."""


class ArgoSettingsSpec(ArgoBlock, Policies):
    """A project's roll-out, usable without the project. The application is named like this object."""

    git: GitSpec
    """The source."""
    registry: ArgoRegistry = ArgoRegistry()
    """The image repository."""

    @classmethod
    def from_project(cls, project: DevOpsProjectSpec) -> ArgoSettingsSpec:
        """The spec of a project's child."""
        registry = ArgoRegistry(namespace=project.registry.namespace, repository=project.registry.repository)
        return cls(**dict(project.argo), **inherited(project, ComponentName.ARGO), git=project.git, registry=registry)


class ArgoSettingsStatus(ResourceStatus):
    """How the roll-out's set-up is. Ready means that Argo CD has accepted it, not that the application is Healthy."""

    application: str | None = None
    """Name of the main application."""
    url: str | None = None
    """Address of the main application in Argo CD."""
