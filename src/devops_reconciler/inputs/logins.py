"""Logins from Secrets of the resource's own namespace, or the operator's defaults.

A Secret may be used only with the label `freeleaps.com/project-credential`, and for Git only with the annotation
`freeleaps.com/git-host`: otherwise whoever may write a project could send any Secret of the namespace to any host.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ..api.base import SecretRef
from ..api.errors import SecretNotFoundError
from ..resources.world import World
from ..services.git_names import is_at
from ..services.kubernetes import SECRET

CREDENTIAL_LABEL = "freeleaps.com/project-credential"
GIT_HOST_ANNOTATION = "freeleaps.com/git-host"

PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
"""What the kubelet pulls images with; it passes over a Secret of any other type."""

LONGEST = 4096
"""Bytes of a user name or password, at most: each is searched for, in many forms, in all that is logged."""


@dataclass(frozen=True)
class Login:
    """User name and password. `version` changes with them and does not tell them.

    `ours`: of an account of the operator; else of a project's own Secret.
    """

    username: str
    password: SecretStr
    version: str
    ours: bool


def version_of(scope: str, username: str, password: str) -> str:
    """Eight hex digits: enough to see a change, far too few to find the password, and different for each scope."""
    return hashlib.sha256("\0".join((scope, username, password)).encode()).hexdigest()[:8]


async def project_secret(world: World, namespace: str, ref: SecretRef) -> dict[str, Any]:
    """The Secret that a spec names. Raises SecretNotFoundError when it is missing or may not be used."""
    found = await world.kubernetes.get(SECRET, namespace, ref.name)
    if found is None:
        raise SecretNotFoundError(f"Secret {namespace}/{ref.name} does not exist; create it, or correct the reference")
    if CREDENTIAL_LABEL not in (found["metadata"].get("labels") or {}):
        raise SecretNotFoundError(
            f"Secret {namespace}/{ref.name} has no label {CREDENTIAL_LABEL}; add it to allow projects to use it"
        )
    return found


async def pull_secret(world: World, namespace: str, ref: SecretRef) -> dict[str, Any]:
    """The Secret that images are to be pulled with. Raises SecretNotFoundError also when it is of no type for that."""
    found = await project_secret(world, namespace, ref)
    if found.get("type") not in PULL_TYPES:
        raise SecretNotFoundError(
            f"Secret {namespace}/{ref.name} is of type {found.get('type')}, which pulls no images; delete it, and make "
            f"it of type {PULL_TYPES[0]}"
        )
    return found


async def _login(world: World, namespace: str, ref: SecretRef) -> tuple[dict[str, Any], Login]:
    secret = await project_secret(world, namespace, ref)
    data = world.kubernetes.decoded(secret)
    missing = [key for key in ("username", "password") if not data.get(key)]
    if missing:
        raise SecretNotFoundError(
            f"Secret {namespace}/{ref.name} lacks {' and '.join(missing)}; make it of type kubernetes.io/basic-auth"
        )
    for key in ("username", "password"):
        if len(data[key]) > LONGEST:
            text = f"{key} of Secret {namespace}/{ref.name} has {len(data[key])} bytes, a login {LONGEST} at most"
            raise SecretNotFoundError(text)
    username = data["username"].decode("utf-8", errors="replace").strip()
    password = data["password"].decode("utf-8", errors="replace").rstrip("\n")
    world.secrets.learn(username, password)
    version = version_of(secret["metadata"]["uid"], username, password)
    return secret, Login(username, SecretStr(password), version, ours=False)


def _default(world: World, username: str, password: str) -> Login | None:
    """The operator's own login of these two settings; None without a password."""
    name, secret = world.secrets.current(username), world.secrets.current(password)
    if not name or not secret:
        return None
    return Login(name, SecretStr(secret), version_of(world.cluster_id, name, secret), ours=True)


async def git_login(world: World, namespace: str, ref: SecretRef | None, url: str, *, jenkins: bool) -> Login | None:
    """How to read `url`: the project's Secret, else the operator's account (Jenkins has a read-only one of its own).

    The operator's accounts go only to hosts that `GIT_ALLOWED_HOSTS` names: without that list any project could have
    them sent to a host of its own.
    """
    if ref is None:
        if not _is_listed(world, url):
            return None
        prefix = "jenkins_git" if jenkins else "default_git"
        return _default(world, f"{prefix}_username", f"{prefix}_token")
    secret, login = await _login(world, namespace, ref)
    bound = (secret["metadata"].get("annotations") or {}).get(GIT_HOST_ANNOTATION, "")
    if not is_at(url, bound):
        raise SecretNotFoundError(
            f"Secret {namespace}/{ref.name} is for {bound or 'no host'}, not for {urlsplit(url).netloc}; "
            f"set its annotation {GIT_HOST_ANNOTATION} to the host that it is meant for"
        )
    return login


def _is_listed(world: World, url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return any(host.allows(parts.scheme, parts.hostname or "", port) for host in world.settings.git_allowed_hosts)


async def push_login(world: World, namespace: str, ref: SecretRef | None) -> Login | None:
    """What Jenkins pushes with: the project's Secret, else the push account; never the account of the operator."""
    if ref is None:
        return _default(world, "registry_push_username", "registry_push_token")
    return (await _login(world, namespace, ref))[1]
