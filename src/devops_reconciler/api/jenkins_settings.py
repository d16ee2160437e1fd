"""JenkinsSettings: folder, credentials and job in Jenkins, and the poll of .freeleaps.yaml in Git."""

from __future__ import annotations

from .base import ComponentName, Model, Policies, ResourceStatus, SecretRef, StatusModel, Timestamp
from .blocks import JenkinsBlock, Parameters
from .children import inherited
from .git import GitSpec
from .project import DevOpsProjectSpec
from .text import RepositoryPath


class JenkinsRegistry(Model):
    """What Jenkins must know of the registry."""

    credentials_ref: SecretRef | None = None
    """Secret of type kubernetes.io/basic-auth that Jenkins pushes with; default: the operator's push account."""


class JenkinsSettingsSpec(JenkinsBlock, Policies):
    """A project's build, usable without the project. The job is named like this object."""

    git: GitSpec
    """The source."""
    registry: JenkinsRegistry = JenkinsRegistry()
    """The registry that Jenkins pushes to."""

    @classmethod
    def from_project(cls, project: DevOpsProjectSpec) -> JenkinsSettingsSpec:
        """The spec of a project's child."""
        return cls(
            **dict(project.jenkins),
            **inherited(project, ComponentName.JENKINS),
            git=project.git,
            registry=JenkinsRegistry(credentials_ref=project.registry.credentials_ref),
        )


class ProjectFileJenkins(StatusModel):
    """What .freeleaps.yaml says about the build."""

    script_path: RepositoryPath | None = None
    """Path of the Jenkinsfile."""
    parameters: Parameters | None = None
    """More build parameters."""


class ProjectFileArgo(StatusModel):
    """What .freeleaps.yaml says about the roll-out."""

    path: RepositoryPath | None = None
    """Folder of the manifests."""


class ProjectFileStatus(StatusModel):
    """What was read from .freeleaps.yaml at the head of the branch."""

    commit: str | None = None
    """Full commit that it was read from."""
    found: bool = False
    """Whether the file exists there."""
    read_at: Timestamp | None = None
    """When this content was first read."""
    jenkins: ProjectFileJenkins = ProjectFileJenkins()
    """Its block jenkins."""
    argo: ProjectFileArgo = ProjectFileArgo()
    """Its block argo."""


class JenkinsSettingsStatus(ResourceStatus):
    """How the build's set-up is."""

    project_file: ProjectFileStatus | None = None
    """What was read from .freeleaps.yaml; absent until the repository could be read."""
    url: str | None = None
    """Address of the job in Jenkins."""
