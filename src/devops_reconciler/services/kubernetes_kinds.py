"""The kinds of objects that the product speaks about, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..api.errors import ValidationError


@dataclass(frozen=True)
class Kind:
    """One resource type of the API server. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What stands in `apiVersion`: `v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def controls(self, name: str, uid: str) -> dict[str, Any]:
        """The owner reference of what an object of this kind controls."""
        who = {"apiVersion": self.api_version, "kind": self.kind, "name": name, "uid": uid}
        return {**who, "controller": True, "blockOwnerDeletion": True}

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The encoded path of the collection, of one object, or of its subresource.

        Without a namespace: the collection of all namespaces, or a cluster-wide object. Raises ValidationError for a
        name that cannot stand in a path.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(_segment(part) for part in parts)


@dataclass(frozen=True)
class Ref:
    """What a request is about: a collection (no name), an object, or its subresource."""

    kind: Kind
    namespace: str | None
    name: str | None = None
    subresource: str | None = None

    @property
    def path(self) -> str:
        return self.kind.path(self.namespace, self.name, self.subresource)

    @property
    def operation(self) -> str:
        """The kind's part of an operation's name: `devopsprojects/status`."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    def __str__(self) -> str:
        """The object for people: `Secret shop/git`."""
        where = "/".join(part for part in (self.namespace if self.kind.namespaced else None, self.name) if part)
        return f"{self.kind.kind} {where}".rstrip()


def _segment(text: str) -> str:
    """One segment of a path. The rule of apimachinery's `path.IsValidPathSegmentName`, which the server applies too."""
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise ValidationError(f"'{text}' cannot be the name of a Kubernetes object or namespace")
    return quote(text, safe=":")


GROUP = "freeleaps.com"
VERSION = "v1alpha1"

DEVOPS_PROJECT = Kind(GROUP, VERSION, "devopsprojects", "DevOpsProject")
JENKINS_SETTINGS = Kind(GROUP, VERSION, "jenkinssettings", "JenkinsSettings")
REGISTRY_SETTINGS = Kind(GROUP, VERSION, "registrysettings", "RegistrySettings")
ARGO_SETTINGS = Kind(GROUP, VERSION, "argosettings", "ArgoSettings")
INGRESS_RESOURCE = Kind(GROUP, VERSION, "ingressresources", "IngressResource")
DEPLOYMENT_RECORD = Kind(GROUP, VERSION, "deploymentrecords", "DeploymentRecord")

NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
SECRET = Kind("", "v1", "secrets", "Secret")
SERVICE_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
EVENT = Kind("events.k8s.io", "v1", "events", "Event")
INGRESS = Kind("networking.k8s.io", "v1", "ingresses", "Ingress")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
PEERING = Kind("kopf.dev", "v1", "kopfpeerings", "KopfPeering")
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
RULES_REVIEW = Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False)
SELF_REVIEW = Kind("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)

_OURS = tuple(
    f"/apis/{group}/"
    for group in (GROUP, PEERING.group, LEASE.group, EVENT.group, ACCESS_REVIEW.group, SELF_REVIEW.group)
)


def is_ours(path: str) -> bool:
    """Whether a path is of objects that belong to the operator itself: writing them is no change outside."""
    return any(ours in path for ours in _OURS)  # the path of the server may come first
