"""Projects with one repository URL at Argo CD, and what came of it."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.names import mark
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.resources.argo_repository import ArgoRepository
from devops_reconciler.services.argocd import same_url
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import CLUSTER, TEAM, Outside, outside

from .hand import Hand, policy

URL = "https://git.example.com/team-a/private.git"
B, C = "team-b", "team-c"


class Project:
    """An ArgoSettings and its hand: what a pass comes to is in its status, as the host would save it."""

    def __init__(self, out: Outside, namespace: str, name: str, secret: str | None = None, url: str = URL) -> None:
        self.out, self.namespace, self.name, self.url = out, namespace, name, url
        self.uid = f"uid-of-{namespace}-{name}"
        self.hand = Hand(out, mark(CLUSTER, namespace, self.uid))
        self.login: str | None = None
        self.status: dict[str, Any] = {}
        self.names(secret)

    def names(self, secret: str | None, version: str = "1") -> None:
        """The spec is edited: the Secret, and the version of what is in it."""
        self.secret = secret
        self.password = f"{secret}-{version}"
        self.put()

    def put(self, **metadata: Any) -> None:
        git: dict[str, Any] = {"url": self.url} | ({"credentialsRef": {"name": self.secret}} if self.secret else {})
        whole = {"name": self.name, "uid": self.uid, **metadata}
        obj = {"metadata": whole, "spec": {"git": git}, "status": self.status}
        self.out.kubernetes.put(ARGO_SETTINGS, self.namespace, obj)

    @property
    def repository(self) -> ArgoRepository:
        """As the plan makes it; without a Secret the operator's own account is none, or the one of `login`."""
        username, password = ("git", self.password) if self.secret else ("reader" if self.login else "", self.login)
        return ArgoRepository(
            url=self.url,
            username=username,
            password=SecretStr(password or ""),
            password_version=password or "",
            secret=self.secret or ("" if self.login else None),
            user=f"{self.namespace}/{self.name}",
        )

    async def bring(self, adoption: Adoption = Adoption.NEVER) -> Outcome:
        outcome = await self.hand.bring(self.repository, policy(adoption))
        ready = {"type": "Ready", "status": str(outcome.ready), "reason": self.hand.reason(outcome)}
        self.status = {"applied": self.hand.ledger.dump(), "conditions": [ready]}
        self.put()
        return outcome

    async def is_refused(self, adoption: Adoption = Adoption.NEVER) -> str:
        """The words of the conflict."""
        outcome = await self.bring(adoption)
        assert self.hand.reason(outcome) == "OwnershipConflict", outcome.results
        return self.hand.message(outcome)

    async def leave(self) -> None:
        self.put(deletionTimestamp="2026-01-01T00:00:00Z")
        await self.hand.remove()
        self.out.kubernetes.remove(ARGO_SETTINGS, self.namespace, self.name)

    def forget_names(self) -> None:
        """The status as the version before had it, which did not tell Secrets from the operator's account."""
        for entry in self.hand.ledger.entries:
            entry.value.pop("secret", None)
        self.status["applied"] = self.hand.ledger.dump()
        self.put()


def three_teams() -> Outside:
    return outside(reconciler_namespaces=(TEAM, B, C))


def registered(out: Outside, url: str = URL) -> dict[str, Any]:
    (found,) = (each for each in out.argocd.repos if same_url(each["repo"], url))
    return {key: found.get(key) for key in ("name", "username", "password")}


def writes(out: Outside) -> int:
    return sum(out.line.count(f"argocd.{verb}_repository") for verb in ("create", "update", "delete"))
