"""The blocks of a project's spec. A child's spec has the fields of its block at its own top level."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from .model import Model, Rule
from .parameters import REFUSED
from .references import SecretRef
from .text import (
    PARAMETER_NAME,
    GitUrl,
    Host,
    HubNamespace,
    HubRepository,
    ImageName,
    ItemName,
    NamespaceName,
    ObjectName,
    RepositoryPath,
    Revision,
    ServerUrl,
    ServiceName,
    Target,
    UrlPath,
    Zone,
)

IN_CLUSTER = "https://kubernetes.default.svc"
"""Argo CD's name for the cluster that it runs in."""


def _check_parameters(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        PARAMETER_NAME.check(name)
        for refused in REFUSED:
            refused.check(name)
    return value


_PARAMETER_SCHEMA: dict[str, Any] = {
    "x-kubernetes-validations": [
        {"rule": f"self.all(k, {PARAMETER_NAME.matches('k')})", "message": PARAMETER_NAME.says},
        *(refused.rule() for refused in REFUSED),
    ]
}

Parameters = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=50),
    AfterValidator(_check_parameters),
    Field(json_schema_extra=_PARAMETER_SCHEMA),
]
"""Build parameters by name. No secrets: they show in Jenkins, and in the spec."""


class SourceKind(StrEnum):
    """How Argo CD makes manifests of the source."""

    KUSTOMIZE = "Kustomize"
    HELM = "Helm"
    DIRECTORY = "Directory"


class JenkinsBlock(Model):
    """How the project is built."""

    folder: ItemName | None = None
    """Jenkins folder of the job; default: the project's name."""
    script_path: RepositoryPath | None = None
    """Path of the Jenkinsfile; default: what .freeleaps.yaml says, else Jenkinsfile."""
    parameters: Parameters | None = None
    """More build parameters, by name; default: what .freeleaps.yaml says. No secrets."""


class RegistryBlock(Model):
    """Where the project's images go."""

    namespace: HubNamespace | None = None
    """Docker Hub namespace; default: the operator's DOCKERHUB_NAMESPACE."""
    repository: HubRepository | None = None
    """Docker Hub repository; default: the project's name."""
    private: bool = True
    """Whether the repository is private."""
    credentials_ref: SecretRef | None = None
    """Secret of type kubernetes.io/basic-auth that Jenkins pushes with; default: the operator's push account."""
    pull_secret_ref: SecretRef | None = None
    """Secret of type kubernetes.io/dockerconfigjson that is copied into the namespaces where the image runs."""


class ArgoSource(Model):
    """Where Argo CD finds the manifests."""

    repo_url: GitUrl | None = Field(default=None, alias="repoURL")
    """Repository of the manifests; default: git.url."""
    path: RepositoryPath | None = None
    """Folder of the manifests; default: what .freeleaps.yaml says, else the root of the repository."""
    target_revision: Revision | None = None
    """Branch, tag or commit of the manifests; default: git.branch. Where the repository is git.url, each deployment
    pins its own commit."""
    kind: SourceKind = SourceKind.KUSTOMIZE
    """Kustomize, Helm or Directory (plain manifests, whose image the operator does not set)."""


class KustomizeBlock(Model):
    """How the image is set with Kustomize."""

    image_name: ImageName | None = None
    """Image name that the manifests use; default: <registry.namespace>/<registry.repository>."""


class HelmBlock(Model):
    """How the image is set with Helm."""

    image_parameter: str = Field(default="image.repository", min_length=1, max_length=253)
    """Value that takes the image's repository."""
    digest_parameter: str = Field(default="image.digest", min_length=1, max_length=253)
    """Value that takes the image's digest."""


class Destination(Model):
    """Where production runs."""

    server: ServerUrl = IN_CLUSTER
    """API server of the cluster, as Argo CD knows it."""
    namespace: NamespaceName | None = None
    """Namespace; default: the project's name. A change moves the Ingress at once, the rest when next deployed."""


class ArgoBlock(Model):
    """How the project is rolled out."""

    project: ObjectName | None = None
    """Argo CD project; default: the project's name."""
    source: ArgoSource = ArgoSource()
    """Where the manifests are."""
    kustomize: KustomizeBlock = KustomizeBlock()
    """How the image is set with Kustomize."""
    helm: HelmBlock = HelmBlock()
    """How the image is set with Helm."""
    auto_sync: bool = False
    """True lets Argo CD sync by itself, from the first image of a deployment on."""
    destination: Destination = Destination()
    """Where production runs."""


class ServiceBlock(Model):
    """The Service behind the Ingress."""

    name: ServiceName | None = None
    """Name of the Service; default: the project's name."""
    port: int = Field(default=80, ge=1, le=65535)
    """Port of the Service."""


class TlsBlock(Model):
    """TLS of the Ingress."""

    secret_name: ObjectName
    """TLS Secret in the destination namespace."""


class Probe(Model):
    """How the address is checked after a deployment."""

    path: UrlPath = "/"
    """Path that must answer below 500."""


HOST_IN_ZONE = Rule(
    "!has(self.zone) || self.host == self.zone || self.host.endsWith('.' + self.zone)",
    "host must be inside zone: end it with the zone, or leave zone out",
)


class IngressBlock(Model):
    """Where the project is reached."""

    rules = (HOST_IN_ZONE,)

    host: Host
    """Host name of production, like shop.example.com."""
    zone: Zone | None = None
    """DNS zone of the host; default: the longest of the operator's allowed zones that holds it."""
    service: ServiceBlock = ServiceBlock()
    """The Service behind the Ingress."""
    class_name: ObjectName | None = None
    """IngressClass; default: the operator's INGRESS_CLASS, else the cluster's."""
    tls: TlsBlock | None = None
    """TLS; absent: plain HTTP."""
    target: Target | None = None
    """Address (A, AAAA) or name (CNAME) that the DNS record points to; default: the operator's INGRESS_TARGET."""
    ttl: int = Field(default=600, ge=600, le=604800)
    """TTL of the DNS record in seconds; GoDaddy accepts none below 600."""
    probe: Probe | None = Probe()
    """How the address is checked over HTTP; null switches the check off, so that only DNS is proven."""
