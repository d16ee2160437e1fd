"""The health checks of the services: who answers, and whether they know us. Through the breakers, as all calls are."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..api.errors import ValidationError
from ..resources.world import World
from ..runtime.health import Check

ZONES_AT_A_TIME = 3
"""Zones that one look asks for, at most: each costs a request, and all have to be answered within the check's limit."""
SHARE_OF_BUDGET = 20
"""A look, at most one a minute, takes no more than a twentieth of the minute's requests: the rest is for work."""


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
            "godaddy_connection": ZonesCheck(self.world).check,
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
        s, known = self.world.settings, self.world.settings.known_registry_namespaces
        if known:
            await self.world.hub.ping(known[0])
            return f"namespace {known[0]} can be read"
        if s.dockerhub_username is None and not s.allowed_registry_namespaces:
            return "no account is set, and no registry namespace that projects may use; not asked"
        await self.world.hub.log_in()
        return "it takes our login"

    async def _registry(self) -> str:
        await self.world.registry.ping()
        return "it takes our login" if self.world.settings.dockerhub_username else "it answers"


@dataclass
class ZonesCheck:
    """Whether the zones that projects may use are in GoDaddy's account: a few at each look, in turn.

    What was found of the others stays until it is their turn again. The first zone that cannot be asked for ends the
    look, and is the first one of the next: the check does not become good by asking for others.
    """

    world: World
    _is_there: dict[str, bool] = field(default_factory=dict)
    _next: int = 0

    async def check(self) -> str:
        """What is known of the zones. Raises ReconcilerError where one is not in the account, or nobody answers."""
        settings = self.world.settings
        zones = settings.dns_allowed_zones.names()
        if not zones:
            return "DNS_ALLOWED_ZONES has no name of a zone; not asked"
        for _ in range(min(len(zones), ZONES_AT_A_TIME, max(1, settings.godaddy_request_budget // SHARE_OF_BUDGET))):
            zone = zones[self._next % len(zones)]
            self._is_there[zone] = await self.world.godaddy.domain(zone) is not None
            self._next += 1
        if missing := [zone for zone in zones if self._is_there.get(zone) is False]:
            raise ValidationError(
                f"godaddy: {_zones(missing)} not in this account; "
                "correct DNS_ALLOWED_ZONES, or set GODADDY_API_KEY and GODADDY_API_SECRET to those of its account"
            )
        later = [zone for zone in zones if zone not in self._is_there]
        known = f"{_zones([zone for zone in zones if zone in self._is_there])} in the account"
        return f"{known}; {_zones(later)} asked for next" if later else known


def _zones(names: list[str]) -> str:
    return f"zone {names[0]} is" if len(names) == 1 else f"zones {', '.join(names)} are"
