"""The health checks of the services: who answers, and whether they know us. Through the breakers, as all calls are."""

from __future__ import annotations

from dataclasses import dataclass

from ..resources.world import World
from ..runtime.health import Check


@dataclass(frozen=True)
class VendorChecks:
    """A login to each, or what comes nearest. Each raises ReconcilerError where the service or the login is no good."""

    world: World

    def by_name(self) -> dict[str, Check]:
        """The checks by their names in `/health`."""
        return {
            "argocd_connection": self._argocd,
            "jenkins_connection": self._jenkins,
            "dockerhub_connection": self._dockerhub,
            "registry_connection": self._registry,
            "godaddy_connection": self._godaddy,
        }

    async def _argocd(self) -> str:
        found = await self.world.argocd.whoami()
        return f"{await self.world.argocd.version()}, as {found.get('username', 'unknown')}"

    async def _jenkins(self) -> str:
        version = await self.world.jenkins.version()
        if self.world.settings.jenkins_username is None:
            return f"{version}, without login"
        return f"{version}, as {await self.world.jenkins.whoami()}"

    async def _dockerhub(self) -> str:
        namespace = self.world.settings.dockerhub_namespace
        if namespace is None:
            return "no DOCKERHUB_NAMESPACE is set; not asked"
        await self.world.hub.ping(namespace)
        return f"namespace {namespace} can be read"

    async def _registry(self) -> str:
        await self.world.registry.ping()
        return "it takes our login" if self.world.settings.dockerhub_username else "it answers"

    async def _godaddy(self) -> str:
        zones = self.world.settings.dns_allowed_zones.everywhere or ()
        if not zones:
            return "no zone is allowed for all; not asked"
        await self.world.godaddy.domain(zones[0])
        return f"zone {zones[0]} can be read"
