"""Kopf in this process: its watches, our place among its peers, and a clean end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta

import kopf
from kopf import OperatorSettings

from ..api.conditions import Reason
from ..api.definitions import GROUP, VERSION
from ..api.errors import ExternalServiceError
from ..kinds import KINDS
from ..resources.world import World
from ..runtime.logs import get_logger
from ..runtime.settings import Settings
from ..services.kubernetes import Kubernetes
from ..services.kubernetes_access import ClusterAccess
from ..services.kubernetes_errors import INSTALL_CRDS, SERVICE
from ..services.kubernetes_session import OpenWatches
from .bindings import EXIT_TIMEOUT, Patience, operator_settings, registry_of
from .lease_record import Candidate
from .loop import Loop
from .namespaces import Namespaces
from .peers import Peers

LISTEN = timedelta(seconds=20)
"""Between two looks whether Kopf hears anything."""
DEAF_AFTER = 6
"""So many looks in a row without: longer than it takes to find a peer gone, or to open a watch again."""
GOODBYE = timedelta(seconds=EXIT_TIMEOUT + Patience.LONGEST + 3)
"""For Kopf to end in order: its handlers, and its good-bye to the peers. Who cuts it short leaves tasks behind, which
may keep the process from ending."""

_log = get_logger(__name__)


async def await_kinds(kubernetes: Kubernetes) -> None:
    """Raise ExternalServiceError while the API server does not know all our kinds.

    Kopf looks once which there are, and would stay deaf for those that come later.
    """
    missing = {what.kind.plural for what in KINDS.values()} - await kubernetes.served(GROUP, VERSION)
    if missing:
        names = ", ".join(sorted(missing))
        text = f"Kubernetes: the API server does not know {names} in {GROUP}/{VERSION}; {INSTALL_CRDS}"
        raise ExternalServiceError(text, service=SERVICE, reason=Reason.DEPENDENCY_NOT_READY)


async def ensure_peering(kubernetes: Kubernetes, settings: Settings) -> None:
    """Kopf's peering in each watched namespace that lets us in; the others are told of in the log.

    Raises (ValidationError, CredentialsError) where none of them does: then there is nothing to start for.
    """
    namespaces = Namespaces(kubernetes, settings)
    await namespaces.each(namespaces.ensure_peering)


async def ttl_monitor(loop: Loop, world: World) -> None:
    """Look through the previews for those whose time is over. Each also sleeps until its own time: this is the net."""
    while True:
        due = loop.expire_due()
        if due:
            _log.info("previews have expired", count=due)
        await world.clock.sleep(world.settings.ttl_check_interval)


class KopfHost:
    """Runs Kopf for one replica. `kubernetes` is not behind the fence: peering is told by every replica."""

    def __init__(self, loop: Loop, world: World, kubernetes: Kubernetes, access: ClusterAccess, me: Candidate) -> None:
        self._loop = loop
        self._world = world
        self._access = access
        self._identity = me.identity
        self._ending = asyncio.Event()
        self._settings: OperatorSettings = operator_settings(world.settings, self._ending.is_set)
        self.peers = Peers(kubernetes, world.clock, world.settings, self._settings, me)
        self._watches = asyncio.Event()
        self._heard = OpenWatches()

    async def check(self) -> str:
        """The health check `kopf_operator`. Raises RuntimeError until it watches."""
        if not self._watches.is_set():
            raise RuntimeError("Kopf does not watch yet")
        return "watches"

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or a signal to end comes; `stop` is set then. Raises what Kopf itself breaks with."""
        if not self._world.settings.reconciler_debug:
            # A line per event and handler, that it was told: what our loop makes of it has lines of its own.
            logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        tasks = await kopf.spawn_tasks(
            registry=registry_of(self._loop, self._access, self._heard),
            settings=self._settings,
            namespaces=list(self._world.settings.reconciler_namespaces),
            identity=self._identity,  # type: ignore[arg-type]  # a NewType of str that Kopf does not export
            stop_flag=stop,
            ready_flag=self._watches,
        )
        deaf = asyncio.create_task(self._until_deaf(), name="deafness")
        await _until_first([*tasks, deaf], stop, self._ending)

    async def _until_deaf(self) -> None:
        """Raise ExternalServiceError when this replica acts, and Kopf hears of no change in any namespace.

        Kopf is paused while a namespace's peering, as it knew it last, names a peer of a higher rank. Where that
        namespace refuses us by now, it never learns that the peer has gone; a new process has not known it.
        """
        silent = 0
        while silent < DEAF_AFTER:
            await self._world.clock.sleep(LISTEN)
            deaf = self._loop.queue.is_open and bool(self._loop.namespaces.refusals) and not self._heard
            silent = silent + 1 if deaf else 0
        refused = ", ".join(sorted(self._loop.namespaces.refusals))
        raise ExternalServiceError(
            f"Kopf hears of no change, paused in favour of a peer that has gone, since we are refused in {refused}; "
            "the operator ends, to begin anew",
            service=SERVICE,
        )


async def _until_first(tasks: Collection[asyncio.Task[None]], stop: asyncio.Event, ending: asyncio.Event) -> None:
    """Until one of Kopf's tasks ends, then set `ending` and end the others. Raises what one of them failed with.

    Not `kopf.run_tasks`: that waits for, and then cancels, every task of the event loop, ours too. Kopf takes SIGTERM
    and SIGINT itself: it ends in order only when it was told to, and we learn it here.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
        if not failed:
            stop.set()
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=GOODBYE.total_seconds())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
