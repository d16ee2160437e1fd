"""Copies that have become old are found true, or not, by one list of their kind instead of a read for each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from ..runtime.clock import Clock
from ..services.kubernetes import Kubernetes
from ..services.kubernetes_kinds import Kind
from .copies import Copies
from .queue import Key


class Confirmations:
    """Lets copies that have become old count anew: one list of their kind and namespace for all of them."""

    def __init__(self, kubernetes: Kubernetes, clock: Clock, copies: Copies) -> None:
        self._kubernetes = kubernetes
        self._clock = clock
        self._copies = copies
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def copy(self, kind: Kind, key: Key) -> dict[str, Any] | None:
        """The copy if it counts, asked for where it is old; None where it has to be read. Raises what a list raises."""
        found = self._copies.get(key)
        if found is not None or not self._copies.knows(key):
            return found
        async with self._locks[key.kind, key.namespace]:
            if not self._copies.counts(key):
                asked = self._clock.monotonic()
                self._copies.confirm(await self._kubernetes.list(kind, key.namespace), asked)
        return self._copies.get(key)
