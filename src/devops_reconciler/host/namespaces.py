"""The watched namespaces: which of them let us in, and Kopf's peering in each.

One that refuses us, because its RoleBinding or itself is gone, holds up none of the others. Nothing depends on a
peering that is missing: the Lease decides who acts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..api.errors import (
    ConflictError,
    ExternalServiceError,
    Fenced,
    Refused,
    Waiting,
)
from ..resources.world import REFUSALS
from ..runtime.logs import get_logger
from ..runtime.settings import Settings
from ..services.kubernetes import PEERING, Kubernetes, already_exists

_log = get_logger(__name__)


class Namespaces:
    """Remembers the refusals, for the health check and to notice the end of one."""

    def __init__(self, kubernetes: Kubernetes, settings: Settings) -> None:
        self._kubernetes = kubernetes
        self._peering = settings.reconciler_peering_name
        self.watched = settings.reconciler_namespaces
        self.refusals: dict[str, Refused] = {}
        """By namespace, what it refused last."""

    async def each(self, visit: Callable[[str], Awaitable[None]]) -> None:
        """Visit each; one that refuses is left out, and let in by the next round that succeeds there.

        Raises the refusal where all of them refuse, and what else a visit raises.
        """
        for namespace in self.watched:
            try:
                await visit(namespace)
            except REFUSALS as error:
                if namespace not in self.refusals:
                    _log.error("a watched namespace refuses us", namespace=namespace, error=error.message)
                self.refusals[namespace] = error
            else:
                if self.refusals.pop(namespace, None) is not None:
                    _log.info("a watched namespace lets us in again", namespace=namespace)
        if len(self.refusals) == len(self.watched):
            raise next(iter(self.refusals.values()))

    async def ensure_peering(self, namespace: str) -> None:
        """Without its object Kopf's peering is silently off there, which is no reason to do without the namespace: it
        may be on its way out, or its webhook ill. Raises ReconcilerError where it cannot be looked for.
        """
        if await self._kubernetes.get(PEERING, namespace, self._peering) is not None:
            return
        try:
            await self._kubernetes.create(PEERING, namespace, {"metadata": {"name": self._peering}})
        except Fenced:
            raise
        except (Waiting, ExternalServiceError) as error:
            _log.warning("there is no KopfPeering in a watched namespace", namespace=namespace, error=error.message)
        except ConflictError as error:
            if not already_exists(error):
                raise

    async def check(self) -> str:
        """The health check `namespaces`, of any replica. Raises RuntimeError that names those that refuse us."""
        told = {namespace: error.message for namespace, error in self.refusals.items()}
        for namespace in self.watched:
            try:
                if namespace not in told and await self._kubernetes.get(PEERING, namespace, self._peering) is None:
                    told[namespace] = f"there is no KopfPeering {self._peering}; who acts makes it within a minute"
            except REFUSALS as error:
                told[namespace] = error.message
        if told:
            raise RuntimeError("; ".join(f"{namespace}: {text}" for namespace, text in told.items()))
        return f"{len(self.watched)} let us in"
