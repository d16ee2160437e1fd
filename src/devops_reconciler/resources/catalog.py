"""All resources by name, as the ledger of an object names them."""

from __future__ import annotations

from .address import Address, PublishedName
from .argo_application import ArgoApplication
from .argo_project import ArgoProject, ArgoProjectRemoval
from .argo_release import ArgoRelease
from .argo_repository import ArgoRepository, ArgoRepositoryRemoval
from .argo_sync import ArgoHealth, ArgoSync
from .child import ProjectChild
from .dns_record import DnsRecord, DnsRecordRemoval
from .environment import EnvironmentClaim
from .git_revision import GitRevision
from .hub_repository import HubRepository, HubRepositoryRemoval
from .image import Image, ImageRemoval, PinnedImage
from .ingress import IngressRoute
from .jenkins_build import JenkinsBuild, JenkinsBuildStop
from .jenkins_credentials import JenkinsCredentials
from .jenkins_folder import JenkinsFolder
from .jenkins_job import JenkinsJob, JenkinsJobRemoval
from .namespace import DestinationNamespace, PreviewNamespace
from .secret_copy import SecretCopy, SecretCopyRemoval
from .world import ExternalResource

RESOURCES: tuple[type[ExternalResource], ...] = (
    Address,
    ArgoApplication,
    ArgoHealth,
    ArgoProject,
    ArgoRelease,
    ArgoRepository,
    ArgoSync,
    DestinationNamespace,
    DnsRecord,
    EnvironmentClaim,
    GitRevision,
    HubRepository,
    Image,
    IngressRoute,
    JenkinsBuild,
    PinnedImage,
    PreviewNamespace,
    JenkinsCredentials,
    JenkinsFolder,
    JenkinsJob,
    ProjectChild,
    PublishedName,
    SecretCopy,
)

PLACES: dict[str, tuple[str, ...]] = {resource.__name__: resource.place for resource in RESOURCES if resource.place}
"""By kind: the fields that say where a thing is, where its key does not."""

ANSWERS_ITSELF = (ProjectChild.__name__, EnvironmentClaim.__name__)
"""Parts of our own resources: no forced deletion lets go of them, each child is asked itself."""

REMOVALS: dict[str, type[ExternalResource]] = {
    **{resource.__name__: resource for resource in RESOURCES},
    # Looked at with another question when they are to go: does the build still run, or one in the job, are its
    # applications gone, does nobody else use the repository, does no nameserver give the record any more, does nothing
    # run an image of the image repository or push to it, is there still one that could hold the image, does no other
    # project use the copy of a Secret.
    JenkinsBuild.__name__: JenkinsBuildStop,
    JenkinsJob.__name__: JenkinsJobRemoval,
    ArgoProject.__name__: ArgoProjectRemoval,
    ArgoRepository.__name__: ArgoRepositoryRemoval,
    DnsRecord.__name__: DnsRecordRemoval,
    HubRepository.__name__: HubRepositoryRemoval,
    Image.__name__: ImageRemoval,
    SecretCopy.__name__: SecretCopyRemoval,
}
