"""Reading kubeconfig files, merged as kubectl merges them: for each name the first file that has it wins.

Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig and client-go's `clientcmd`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..api.errors import ValidationError

UNSUPPORTED_CLUSTER = ("proxy-url", "tls-server-name")
UNSUPPORTED_USER = ("exec", "auth-provider", "username", "password", "as", "as-groups", "as-uid", "as-user-extra")
LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}


def read_kubeconfig(paths: str) -> dict[str, Any]:
    """The fields of a `ClusterAccess` for the current context. Raises ValidationError that says what to do."""
    config = _merged(paths)
    name = config["current-context"]
    if not name:
        raise ValidationError(f"{paths}: no current-context; choose one with kubectl config use-context")
    context = _entry(config, "contexts", name, paths)
    cluster = _entry(config, "clusters", str(context.get("cluster", "")), paths)
    user = _entry(config, "users", str(context["user"]), paths) if context.get("user") else {}
    _refuse(cluster, UNSUPPORTED_CLUSTER, f"{paths}: cluster '{context.get('cluster')}'")
    _refuse(user, UNSUPPORTED_USER, f"{paths}: user '{context.get('user')}'")
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise ValidationError(f"{paths}: cluster '{context.get('cluster')}' has no server address")
    return {
        "server": server.rstrip("/"),
        "ca_data": _data(cluster, "certificate-authority-data", paths),
        "ca_file": cluster.get("certificate-authority"),
        "insecure": cluster.get("insecure-skip-tls-verify") is True,
        "token": user.get("token"),
        "token_file": user.get("tokenFile"),
        "client_cert_data": _data(user, "client-certificate-data", paths),
        "client_cert_file": user.get("client-certificate"),
        "client_key_data": _data(user, "client-key-data", paths),
        "client_key_file": user.get("client-key"),
        "namespace": context.get("namespace"),
    }


def _merged(paths: str) -> dict[str, Any]:
    merged: dict[str, Any] = {"current-context": None} | {key: {} for key in LISTS}
    found = [Path(path).expanduser() for path in paths.split(os.pathsep) if path]
    existing = [path for path in found if path.exists()]
    if not existing:
        raise ValidationError(f"no cluster: none of the files that KUBECONFIG names is there ({paths})")
    for path in existing:
        config = _load(path)
        merged["current-context"] = merged["current-context"] or config.get("current-context")
        for key, inner in LISTS.items():
            for entry in config.get(key) or []:
                if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                    raise ValidationError(f"{path}: an entry of {key} has no name")
                merged[key].setdefault(entry["name"], _absolute(entry.get(inner) or {}, path.parent))
    return merged


def _load(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValidationError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser quotes the place that it could not read, which may be a key.
        raise ValidationError(f"the kubeconfig {path} is not YAML") from None
    if config is not None and not isinstance(config, dict):
        raise ValidationError(f"{path} is not a kubeconfig")
    return config or {}


def _absolute(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its own folder."""
    files = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in files and value else value for key, value in entry.items()}


def _entry(config: Mapping[str, Any], key: str, name: str, paths: str) -> dict[str, Any]:
    entry = config[key].get(name)
    if not isinstance(entry, dict):
        raise ValidationError(f"{paths}: there is no {LISTS[key]} '{name}' in it")
    return entry


def _refuse(entry: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if entry.get(key):
            raise ValidationError(
                f"{where} uses {key}, which is not supported; use a token, a token file or a client certificate, "
                "and the server's own address and name"
            )


def _data(entry: Mapping[str, Any], key: str, paths: str) -> bytes | None:
    text = entry.get(key)
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValidationError(f"{paths}: {key} is not base64") from None
