"""Whose a host is, asked before an Ingress serves it: the zone is the only place that all namespaces share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..api.base import Adoption
from ..api.conditions import Reason
from ..api.errors import ConflictError, Waiting
from ..engine.decide import may_take, whose
from ..engine.resource import Intent
from .dns_record import DnsRecord
from .world import World


class HostTakenError(ConflictError):
    """The host's DNS record is another's."""


@dataclass(frozen=True)
class HostClaim:
    """The record that the host is to have. `intent` is what has been tried at it, `adoption` what it may take over."""

    record: DnsRecord
    intent: Intent | None
    adoption: Adoption

    async def check(self, world: World, me: str) -> None:
        """Raise HostTakenError where the host's record is another's, Waiting where another one is about to have it."""
        host = self.record.host
        seen = await self.record.observe(world, me, self.intent)
        if seen.exists and seen.owner != me:
            if not may_take(self.adoption, seen.owner):
                raise HostTakenError(
                    f"the DNS record of {host} carries {whose(seen.owner)}, so no Ingress serves {host} here; use "
                    "another host, or remove that record",
                    reason=Reason.OWNERSHIP_CONFLICT,
                )
            await self._check_takeover(world, me, seen.owner)
        if world.hosts.first(host, me) != me:
            text = f"another resource is about to have the DNS record of {host}; it is looked at again"
            raise Waiting(text, after=timedelta(seconds=5))

    async def _check_takeover(self, world: World, me: str, owner: str | None) -> None:
        try:
            await self.record.check_takeover(world, me, owner)
        except ConflictError as error:
            raise HostTakenError(error.message, reason=Reason.OWNERSHIP_CONFLICT) from error
