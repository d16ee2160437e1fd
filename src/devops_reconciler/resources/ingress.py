"""The Ingress of an environment."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import INGRESS
from .host_claim import HostClaim
from .marks import ANNOTATION, PROJECT_LABEL, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World


class IngressRoute(ExternalResource):
    """Ingress `<namespace>/<name>`: host to Service. Written by server-side apply, so foreign fields stay."""

    service: ClassVar[str] = "kubernetes"
    # What is no longer wanted (TLS) may also be somebody else's field, so it is no drift: applying takes ours out.
    blind: ClassVar[bool] = True

    namespace: str
    name: str
    project: str
    host: str
    class_name: str | None = None
    backend: str
    port: int
    tls_secret: str | None = None
    former: dict[str, str] | None = None
    """Hosts of before that are served besides, with the TLS Secret of each, "" for none."""
    claim: HostClaim | None = Field(default=None, exclude=True)
    """Asked before the host is served for the first time."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def _spec(self) -> dict[str, Any]:
        backend = {"service": {"name": self.backend, "port": {"number": self.port}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        secrets = {self.host: self.tls_secret or "", **dict(sorted((self.former or {}).items()))}
        spec: dict[str, Any] = {"rules": [{"host": host, "http": {"paths": paths}} for host in secrets]}
        if self.class_name is not None:
            spec["ingressClassName"] = self.class_name
        # One entry for each Secret: cert-manager refuses two of one name.
        hosts = {secret: [host for host, its in secrets.items() if its == secret] for secret in secrets.values()}
        if tls := [{"hosts": hosts[secret], "secretName": secret} for secret in hosts if secret]:
            spec["tls"] = tls
        return spec

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(INGRESS, self.namespace, self.name)
        served = {rule.get("host") for rule in ((found or {}).get("spec") or {}).get("rules") or ()}
        if self.claim is not None and self.host not in served:
            await self.claim.check(world, me)
        if found is None:
            return ABSENT
        metadata, spec = found["metadata"], found.get("spec") or {}
        drift = tuple(name for name, wanted in self._spec.items() if spec.get(name) != wanted)
        return Observation(
            exists=True,
            owner=mark_of(metadata.get("annotations")),
            drift=drift,
            deleting=bool(metadata.get("deletionTimestamp")),
            after=LOOK_AGAIN,
            external_id=metadata["uid"],
        )

    async def create(self, world: World, me: str, seen: Observation) -> None:
        metadata = {"name": self.name, "labels": {PROJECT_LABEL: self.project}, "annotations": {ANNOTATION: me}}
        await world.kubernetes.apply(INGRESS, self.namespace, {"metadata": metadata, "spec": self._spec}, force=True)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await self.create(world, me, seen)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.kubernetes.delete(INGRESS, self.namespace, self.name, uid=seen.external_id)
