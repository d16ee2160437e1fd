"""RegistrySettings: the Docker Hub repository."""

from __future__ import annotations

from .base import ComponentName, DeletionPolicy, Policies, ResourceStatus
from .blocks import RegistryBlock
from .children import inherited
from .git import GitSpec
from .project import DevOpsProjectSpec


class RegistrySettingsSpec(RegistryBlock, Policies):
    """A project's image repository, usable without the project."""

    git: GitSpec | None = None
    """The source of the project; the repository itself does not depend on it."""
    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    """Orphan leaves the image repository when this object is deleted; Delete removes it."""

    @classmethod
    def from_project(cls, project: DevOpsProjectSpec) -> RegistrySettingsSpec:
        """The spec of a project's child."""
        return cls(**dict(project.registry), **inherited(project, ComponentName.REGISTRY), git=project.git)


class RegistrySettingsStatus(ResourceStatus):
    """How the image repository is."""

    image: str | None = None
    """The repository as the build and the manifests name it."""
    url: str | None = None
    """Address of the repository's page; absent where DOCKERHUB_ENDPOINT is not Docker Hub's own."""
