"""Names of everything outside: pure functions, so that a name never depends on a vendor's reply."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .deployment_record import PRODUCTION

DEFAULT_REGISTRY_HOSTS = frozenset({"registry-1.docker.io", "index.docker.io", "docker.io"})
"""Hosts under which Docker Hub's own registry is meant: images there are named without a host."""

COMMIT_CHARACTERS = 12
_TAG_HASH_CHARACTERS = 12
_LABEL_LIMIT = 63
_RECORD_HASH_CHARACTERS = 10


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def mark(cluster_id: str, namespace: str, uid: str) -> str:
    """The mark of ownership that everything outside carries: 43 characters, `freeleaps:<8 hex>:<24 hex>`."""
    return f"freeleaps:{_digest(cluster_id, 8)}:{_digest(f'{namespace}/{uid}', 24)}"


def controller(obj: Mapping[str, Any], kind: str = "DevOpsProject") -> dict[str, Any] | None:
    """The owner reference of the project that controls the object."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("kind") == kind and reference.get("controller"):
            return dict(reference)
    return None


def mark_for(cluster_id: str, obj: Mapping[str, Any]) -> str:
    """The mark of the controlling project's things, else of the object's own."""
    owner = controller(obj)
    metadata = obj["metadata"]
    return mark(cluster_id, metadata["namespace"], owner["uid"] if owner else metadata["uid"])


def application_name(project: str, environment: str = PRODUCTION) -> str:
    """The Argo CD application: the project's name for production, else `<project>-<environment>`."""
    return project if environment == PRODUCTION else f"{project}-{environment}"


def ingress_name(project: str, environment: str = PRODUCTION) -> str:
    """The Ingress: named like the application."""
    return application_name(project, environment)


def destination_namespace(project: str, environment: str = PRODUCTION, production_namespace: str | None = None) -> str:
    """Where the environment runs: for production `argo.destination.namespace`, if given; a preview has its own."""
    if environment == PRODUCTION and production_namespace:
        return production_namespace
    return application_name(project, environment)


def default_preview_template(host: str, zone: str | None = None) -> str:
    """The host template of previews where `previews.host` is absent: beside the host of production.

    `shop.example.com` gives `{name}.example.com`; a host that is the zone itself, `example.com`, `{name}.example.com`.
    """
    bare = host.removeprefix("*.")
    parent = bare.partition(".")[2]
    is_apex = bare == zone or "." not in parent
    return f"{{name}}.{bare if is_apex or bare != host else parent}"


def preview_host(template: str, project: str, environment: str) -> str:
    """The host of a preview. Raises `ValueError` where it would not be a legal host name."""
    host = template.replace("{name}", application_name(project, environment))
    too_long = next((label for label in host.split(".") if len(label) > _LABEL_LIMIT), None)
    if too_long is not None:
        raise ValueError(f"host {host}: the label {too_long} is longer than {_LABEL_LIMIT} characters; shorten it")
    return host


def image_tag(commit: str, record_uid: str) -> str:
    """The tag that a record's build pushes: begins with the commit's first 12 characters, unique per record."""
    return f"{commit[:COMMIT_CHARACTERS]}-{_digest(record_uid, _TAG_HASH_CHARACTERS)}"


def is_tag_of(tag: str, record_uid: str) -> bool:
    """Whether `image_tag` gives this tag for some commit of the record."""
    return tag.endswith(image_tag("", record_uid))


def record_name(project: str, event_id: str) -> str:
    """The DeploymentRecord of an event: the same event always gives the same name, a DNS label."""
    return f"{project}-{_digest(event_id, _RECORD_HASH_CHARACTERS)}"


def image_form(registry_endpoint: str, namespace: str, repository: str) -> str:
    """An image as builds and manifests name it: with the registry's host, unless that is Docker Hub's."""
    host = re.sub(r"^[a-z]+://", "", registry_endpoint).partition("/")[0]
    path = f"{namespace}/{repository}"
    return path if host in DEFAULT_REGISTRY_HOSTS else f"{host}/{path}"


def plain_name(form: str) -> str:
    """`<namespace>/<repository>` of an image as builds and manifests name it (`image_form`)."""
    return "/".join(form.split("/")[-2:])


def is_in_zone(host: str, zone: str) -> bool:
    """Whether `host` is the zone itself or a name inside it."""
    return host == zone or host.endswith(f".{zone}")


def default_zone(host: str, allowed_zones: Iterable[str]) -> str | None:
    """The longest of the allowed zones that holds `host`, or None."""
    zones: Sequence[str] = [zone for zone in allowed_zones if is_in_zone(host.removeprefix("*."), zone)]
    return max(zones, key=len, default=None)
