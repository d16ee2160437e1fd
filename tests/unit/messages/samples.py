"""Settings and messages for the tests of this folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from devops_reconciler.runtime.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "git": {"url": "https://git.example.com/shop.git"},
    "ingress": {"host": "shop.example.com"},
}


def settings(**values: Any) -> Settings:
    required: dict[str, Any] = {
        "rabbitmq_host": "127.0.0.1",
        "rabbitmq_port": 5672,
        "jenkins_endpoint": "http://jenkins",
        "argocd_endpoint": "http://argocd",
        "argocd_token": "argo",
        "default_git_username": "git",
        "reconciler_namespaces": ("team-a", "team-b"),
    }
    return Settings.model_validate({**required, **values})


def at(seconds: float) -> str:
    """The timestamp so many seconds after `NOW`."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


def initialize(event_id: str = "i-1", seconds: float = 0, *, project: str = "shop", **payload: Any) -> bytes:
    message = {
        "event_type": "DevOpsInitialize",
        "event_id": event_id,
        "timestamp": at(seconds),
        "payload": {"project": project, "spec": SPEC, **payload},
    }
    return json.dumps(message).encode()


def reconcile(
    action: str, event_id: str = "e-1", seconds: float = 0, *, project: str = "shop", **payload: Any
) -> bytes:
    message = {
        "event_type": "DevOpsReconcile",
        "event_id": event_id,
        "timestamp": at(seconds),
        "payload": {"project": project, "action": action, **payload},
    }
    return json.dumps(message).encode()
