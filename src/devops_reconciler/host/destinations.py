"""Ingresses and namespaces of destinations as one list of Ingresses tells of them, instead of two reads for each."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta

from ..api.errors import CredentialsError
from ..resources.marks import PROJECT_LABEL
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..services.kubernetes import INGRESS, NAMESPACE, Kubernetes, Object
from .copies import packed, unpacked

ASK_AGAIN = timedelta(hours=1)
"""After the API server has refused to list, which is a matter of rights."""

_log = get_logger(__name__)


class Destinations:
    """The Ingresses with our label in all namespaces, and the namespaces that these are in.

    The list is at most `lifetime` old; of an Ingress that it lacks it tells nothing. A namespace is known to be there,
    and to be the same, as long as an Ingress is in it that was in it when the namespace was read.
    """

    def __init__(self, kubernetes: Kubernetes, clock: Clock, lifetime: timedelta) -> None:
        self._kubernetes = kubernetes
        self._clock = clock
        self._lifetime = lifetime.total_seconds()
        self._lock = asyncio.Lock()
        self._due = float("-inf")
        self._may_list = True
        self._ingresses: dict[str, dict[str, tuple[str, bytes]]] = {}
        """UID and text by namespace and name."""
        self._namespaces: dict[str, tuple[Object, frozenset[str]]] = {}
        """As read, with the UIDs of the Ingresses that were in it."""

    async def ingress(self, namespace: str, name: str) -> Object | None:
        """As the list has it, or as it is where we may not list. None is no proof that it is not there."""
        await self._refresh()
        if not self._may_list:
            return await self._kubernetes.get(INGRESS, namespace, name)
        found = self._ingresses.get(namespace, {}).get(name)
        return None if found is None else unpacked(found[1])

    async def namespace(self, name: str) -> Object | None:
        """As it is, or was when it was read, if what is in it was there then; None where it is not."""
        await self._refresh()
        there = frozenset(uid for uid, _ in self._ingresses.get(name, {}).values())
        known = self._namespaces.pop(name, None)
        if known is None or not known[1] & there:
            found = await self._kubernetes.get(NAMESPACE, None, name)
            known = None if found is None else (found, there)
        if known is not None:
            self._namespaces[name] = known
        return None if known is None else copy.deepcopy(known[0])

    async def _refresh(self) -> None:
        async with self._lock:
            now = self._clock.monotonic()
            if now < self._due:
                return
            try:
                listed = await self._kubernetes.list(INGRESS, None, labels=PROJECT_LABEL)
            except CredentialsError as error:
                _log.info("Ingresses are looked at one by one, since they may not be listed", error=error.message)
                self._may_list, self._due, listed = False, now + ASK_AGAIN.total_seconds(), []
            else:
                self._may_list, self._due = True, now + self._lifetime
            self._ingresses = {}
            for each in listed:
                metadata = each["metadata"]
                there = self._ingresses.setdefault(metadata["namespace"], {})
                there[metadata["name"]] = (metadata["uid"], packed(each))
            self._namespaces = {name: known for name, known in self._namespaces.items() if name in self._ingresses}
