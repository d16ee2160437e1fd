"""The blocks of a spec with every default in place and every allow-list applied.

Each function takes the block, the name of the project (or of the child, used alone) and the namespace of the resource,
and raises ValidationError with what to do where the spec asks for what it may not have.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..api.blocks import IN_CLUSTER, ArgoBlock, Destination, IngressBlock, SourceKind
from ..api.errors import ValidationError
from ..api.names import default_zone, image_form, is_in_zone, plain_name
from ..api.project_file import ROOT
from ..runtime.settings import Settings


@dataclass(frozen=True)
class ImageRepository:
    """Where images go. `form` is how builds and manifests name it."""

    namespace: str
    repository: str
    form: str


def image_repository(
    settings: Settings, resource_namespace: str, name: str, namespace: str | None, repository: str | None
) -> ImageRepository:
    """The image repository; its namespace must be one that the resource's namespace may use."""
    hub = namespace or settings.dockerhub_namespace
    if hub is None:
        raise ValidationError("registry.namespace is not set and the operator has no DOCKERHUB_NAMESPACE; set one")
    allowed = settings.allowed_registry_namespaces
    default = settings.dockerhub_namespace
    may = (
        hub == default if allowed.for_namespace(resource_namespace) is None else allowed.allows(resource_namespace, hub)
    )
    if not may:
        raise ValidationError(
            f"registry.namespace {hub!r} is not allowed for namespace {resource_namespace}; "
            "use another one, or have it added to ALLOWED_REGISTRY_NAMESPACES"
        )
    path = repository or name
    return ImageRepository(hub, path, image_form(settings.registry_endpoint, hub, path))


def _reserved(settings: Settings) -> set[str]:
    """The namespaces where no application ever runs, besides `kube-*`."""
    return {settings.argocd_namespace, settings.operator_namespace, *settings.reconciler_namespaces}


def check_destination(settings: Settings, resource_namespace: str, project: str, namespace: str) -> None:
    """Whether an application may run there: never in the system's, Argo CD's or the operator's namespaces."""
    if namespace.startswith("kube-") or namespace in _reserved(settings):
        raise ValidationError(f"destination namespace {namespace!r} is reserved; choose another argo.destination")
    allowed = settings.allowed_destinations
    if allowed.for_namespace(resource_namespace) is None:
        may = namespace == project or namespace.startswith(f"{project}-")
    else:
        may = allowed.allows(resource_namespace, namespace)
    if not may:
        raise ValidationError(
            f"destination namespace {namespace!r} is not allowed for {project}; use {project} or {project}-…, "
            "or have it added to ALLOWED_DESTINATIONS"
        )


@dataclass(frozen=True)
class Place:
    """Where production runs."""

    server: str
    namespace: str

    @property
    def local(self) -> bool:
        """In the operator's own cluster."""
        return self.server == IN_CLUSTER


def production_place(settings: Settings, resource_namespace: str, project: str, block: Destination) -> Place:
    namespace = block.namespace or project
    check_destination(settings, resource_namespace, project, namespace)
    return Place(block.server, namespace)


def preview_namespaces(settings: Settings, resource_namespace: str, project: str) -> tuple[str, ...]:
    """Patterns of the namespaces where previews of the project may run: what Argo CD is told.

    None of them takes in a reserved namespace: a project `kube` would else reach `kube-system` with manifests that name
    it. Such a project has no previews.
    """
    every = f"{project}-*"
    found = [every]
    patterns = settings.allowed_destinations.for_namespace(resource_namespace)
    if patterns is not None:
        found = [every for pattern in patterns if fnmatchcase(every, pattern)]
        found = found[:1] or [
            pattern if pattern.startswith(f"{project}-") else f"{project}-{pattern}"
            for pattern in patterns
            if pattern.startswith((f"{project}-", "*"))
        ]
    reserved = _reserved(settings)
    return tuple(
        pattern
        for pattern in found
        if not pattern.startswith("kube-") and not any(fnmatchcase(each, pattern) for each in reserved)
    )


def preview_place(settings: Settings, resource_namespace: str, project: str, namespace: str) -> Place:
    """Where a preview runs; raises ValidationError where Argo CD is not told of it (`preview_namespaces`)."""
    check_destination(settings, resource_namespace, project, namespace)
    patterns = preview_namespaces(settings, resource_namespace, project)
    if not any(fnmatchcase(namespace, pattern) for pattern in patterns):
        raise ValidationError(
            f"project {project} has no previews: {project}-* takes in a reserved namespace; rename the project, "
            "or name the namespaces of its previews in ALLOWED_DESTINATIONS"
        )
    return Place(IN_CLUSTER, namespace)


@dataclass(frozen=True)
class Route:
    """The address of an environment. `type` is that of the DNS record."""

    host: str
    zone: str
    type: str
    target: str
    ttl: int
    service: str
    port: int
    class_name: str | None
    tls_secret: str | None
    probe_path: str | None


def route(settings: Settings, resource_namespace: str, project: str, block: IngressBlock, host: str) -> Route:
    """The address; its zone must be one that the resource's namespace may use."""
    zones = settings.dns_allowed_zones.for_namespace(resource_namespace) or ()
    zone = block.zone or default_zone(host, zones)
    if zone is None or not settings.dns_allowed_zones.allows(resource_namespace, zone):
        known = ", ".join(zones) or "none"
        raise ValidationError(
            f"host {host!r} is in no zone that namespace {resource_namespace} may use ({known}); "
            "use another host, or have its zone added to DNS_ALLOWED_ZONES"
        )
    if not is_in_zone(host.removeprefix("*."), zone):
        raise ValidationError(f"host {host!r} is not inside zone {zone!r}; correct ingress.host, or previews.host")
    target = block.target or settings.ingress_target
    if target is None:
        raise ValidationError("ingress.target is not set and the operator has no INGRESS_TARGET; set one of them")
    return Route(
        host=host,
        zone=zone,
        type=record_type(target),
        target=target,
        ttl=block.ttl,
        service=block.service.name or project,
        port=block.service.port,
        class_name=block.class_name or settings.ingress_class,
        tls_secret=block.tls.secret_name if block.tls else None,
        probe_path=block.probe.path if block.probe else None,
    )


def record_type(target: str) -> str:
    """A, AAAA or CNAME, by what the record points to."""
    try:
        return "A" if ipaddress.ip_address(target).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"


@dataclass(frozen=True)
class Source:
    """Where Argo CD takes the manifests from. `pinned`: from the project's own repository, so deployments pin it."""

    project: str
    repo_url: str
    path: str
    path_is_said: bool
    """By the spec; else a deployment takes the one that `.freeleaps.yaml` of its own commit says."""
    target_revision: str
    kind: SourceKind
    pinned: bool
    image_name: str | None
    image_parameter: str
    digest_parameter: str
    auto_sync: bool

    def name_of(self, image: str) -> str:
        """The name that the manifests have for `<repository>@<digest>`: by default that repository, without a host."""
        return self.image_name or plain_name(image.partition("@")[0])


def source(block: ArgoBlock, name: str, git_url: str, branch: str, file_path: str | None) -> Source:
    """The source; `file_path` is what .freeleaps.yaml at the head of the branch says."""
    url = block.source.repo_url or git_url
    return Source(
        project=block.project or name,
        repo_url=url,
        path=block.source.path or file_path or ROOT,
        path_is_said=bool(block.source.path),
        target_revision=block.source.target_revision or branch,
        kind=block.source.kind,
        pinned=url == git_url,
        image_name=block.kustomize.image_name,
        image_parameter=block.helm.image_parameter,
        digest_parameter=block.helm.digest_parameter,
        auto_sync=block.auto_sync,
    )
