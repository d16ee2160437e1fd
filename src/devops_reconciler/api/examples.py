"""One example of each kind, shown in the reference and tried out against a real API server."""

from __future__ import annotations

from typing import Any

_GIT: dict[str, Any] = {"url": "https://git.example.com/shop.git"}

EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "DevOpsProject": (
        "shop",
        {
            "git": {**_GIT, "credentialsRef": {"name": "git"}},
            "ingress": {"host": "shop.example.com", "tls": {"secretName": "shop-tls"}},
            "previews": {"ttl": "24h", "host": "{name}.preview.example.com"},
            "components": {"dns": {"adoption": "IfUnowned"}},
        },
    ),
    "JenkinsSettings": ("shop", {"git": _GIT, "folder": "shop", "parameters": {"PROFILE": "release"}}),
    "RegistrySettings": ("shop", {"namespace": "acme", "repository": "shop", "private": True}),
    "ArgoSettings": ("shop", {"git": _GIT, "source": {"path": "deploy", "kind": "Kustomize"}}),
    "IngressResource": (
        "shop",
        {"host": "shop.example.com", "service": {"name": "shop", "port": 8080}, "probe": {"path": "/healthz"}},
    ),
    "DeploymentRecord": (
        "shop-pr-7",
        {"projectRef": {"name": "shop"}, "environment": "pr-7", "revision": "feature/basket", "ttl": "2h"},
    ),
}
"""Name and spec, by kind."""
