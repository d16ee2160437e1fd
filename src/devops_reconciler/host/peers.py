"""Our place among Kopf's peers: who acts goes before all others, so that the Kopf of a standby rests, and no other.

Kopf rests while a peer of a higher priority lives, as far as it can tell by comparing clocks. Who acts is for the Lease
to say, so who does not act stops nobody: neither a new replica that is not ready, nor one that died with a clock ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from kopf import OperatorSettings

from ..api.errors import ReconcilerError
from ..resources.world import REFUSALS
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.settings import Settings
from ..services.kubernetes import PEERING, Kubernetes, Object
from .lease_record import Candidate, micro_time

RETRY = timedelta(seconds=5)
"""Wait before a namespace in which we could not tell the peers is tried again."""

_log = get_logger(__name__)


def standing_by(me: Candidate) -> int:
    """The priority of who does not act. Not one for all of them: Kopf stops every peer where two have the same."""
    return -abs(me.rank)


def priorities(peering: Object | None) -> dict[str, int]:
    """By identity, what the peers in a KopfPeering say. Anybody may have edited it: 0 where it cannot be read."""
    status = (peering or {}).get("status") or {}
    return {str(identity): _priority(entry) for identity, entry in status.items()}


def _priority(entry: Any) -> int:
    said = entry.get("priority") if isinstance(entry, Mapping) else None
    return said if isinstance(said, int) else 0


class Peers:
    """Tells Kopf and its peers our priority. `kubernetes` is not behind the fence: all replicas are peers."""

    def __init__(
        self, kubernetes: Kubernetes, clock: Clock, settings: Settings, kopf: OperatorSettings, me: Candidate
    ) -> None:
        self._kubernetes = kubernetes
        self._clock = clock
        self._namespaces = settings.reconciler_namespaces
        self._kopf = kopf
        """Kopf reads its priority anew for each sign of life, and for each look at its peers."""
        self._me = me
        kopf.peering.priority = standing_by(me)

    async def run(self) -> None:
        """The task `peers` of a term, until cancelled: go before all others in each watched namespace.

        A peer of a higher priority is taken out: it is gone, or puts itself back and asks for the Lease if it is fit.
        """
        self._kopf.peering.priority = abs(self._me.rank)
        try:
            left = [*self._namespaces]
            while left := [each for each in left if not await self._lead_in(each)]:
                await self._clock.sleep(RETRY)
            await asyncio.Event().wait()
        finally:
            self._kopf.peering.priority = standing_by(self._me)  # Kopf's next sign of life says it

    async def step_back(self, me: Candidate) -> None:
        """Tell the peers at once that we act no more, so that the Kopf of the Lease's holder does not rest."""
        self._me = me
        self._kopf.peering.priority = standing_by(me)
        for namespace in self._namespaces:
            try:
                await self._tell(namespace, {})
            except ReconcilerError as error:
                # Kopf's next sign of life says the same.
                _log.warning("the peers were not told of our rank", namespace=namespace, error=error.message)

    async def _lead_in(self, namespace: str) -> bool:
        """Whether that is done, or there is nothing to do: one that refuses us has no peers that Kopf would know."""
        try:
            peering = await self._kubernetes.get(PEERING, namespace, self._kopf.peering.name)
            ours = self._kopf.peering.priority
            if ours == standing_by(self._me):
                return True  # we were found silent meanwhile: another leads
            higher = [who for who, priority in priorities(peering).items() if priority > ours]
            if higher:
                _log.info("peers that do not act, of a higher rank, are taken out", namespace=namespace, peers=higher)
            await self._tell(namespace, dict.fromkeys(higher))
        except REFUSALS as error:
            _log.debug("no peers in a namespace that refuses us", namespace=namespace, error=error.message)
        except ReconcilerError as error:
            _log.warning("the peers were not told that we act", namespace=namespace, error=error.message)
            return False
        return True

    async def _tell(self, namespace: str, others: Mapping[str, None]) -> None:
        kopf = self._kopf.peering
        seen = micro_time(self._clock.now())
        entry = {"priority": kopf.priority, "lifetime": kopf.lifetime, "lastseen": seen}
        status = {"status": {**others, self._me.identity: entry}}
        await self._kubernetes.merge_patch(PEERING, namespace, kopf.name, status)
