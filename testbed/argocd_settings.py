"""How the Argo CD of the testbed is set up: its accounts, and what each may do.

``POLICY`` is what the operator's account needs, word for word as docs/installation.md has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.kube_api import Object

NAMESPACE = "argocd"
ADMIN = "admin"
OPERATOR = "devops-reconciler"
LIMITED = "limited"
LOCKED_OUT = "locked-out"
FIRST_PASSWORD = "argocd-initial-admin-secret"
POLICY = (Path(__file__).parent / "argocd" / "policy.csv").read_text()
LIMITED_POLICY = f"""\
p, {LIMITED}, applications, *, team/*, allow
p, {LIMITED}, projects, get, team, allow
"""
LABELS = {"app.kubernetes.io/part-of": "argocd"}


@dataclass(frozen=True)
class AccountSetting:
    name: str
    may_log_in: bool = False

    @property
    def capabilities(self) -> str:
        return "apiKey, login" if self.may_log_in else "apiKey"


ACCOUNTS = (
    AccountSetting(OPERATOR, may_log_in=True),
    AccountSetting(LIMITED),
    AccountSetting(LOCKED_OUT, may_log_in=True),
)


def settings() -> list[Object]:
    """ConfigMaps and the Secret that Argo CD expects; it fills the Secret itself."""

    def named(kind: str, name: str) -> Object:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(LABELS)}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}

    accounts = {f"accounts.{each.name}": each.capabilities for each in ACCOUNTS}
    return [
        named("ConfigMap", "argocd-cm") | {"data": accounts},
        named("ConfigMap", "argocd-rbac-cm") | {"data": {"policy.csv": POLICY + LIMITED_POLICY}},
        named("Secret", "argocd-secret"),
    ]
