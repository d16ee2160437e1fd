"""`devops-reconciler run`: puts host and messages together, and takes them apart in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import platform
import secrets as random_names
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import kopf

from ..api.errors import ReconcilerError
from ..host.applications import watch_applications
from ..host.duties import Duties
from ..host.fitness import Fitness
from ..host.lease import Lease, LeasePlace
from ..host.lease_record import Candidate
from ..host.loop import Loop
from ..host.operator import KopfHost, await_kinds, ensure_peering, ttl_monitor
from ..host.world import Replica, identify, open_world
from ..messages.canary import Canary
from ..messages.check import RabbitmqCheck
from ..messages.connection import connect
from ..messages.inbox import Inbox
from ..messages.listener import MessageListener
from ..messages.sender import HeartbeatSender
from ..resources.world import World
from ..runtime.clock import Clock, SystemClock
from ..runtime.event_loop import UrgentFirstLoop
from ..runtime.fence import Fence
from ..runtime.health import HealthChecker, Probe
from ..runtime.logs import configure, get_logger
from ..runtime.manager import ReconcilerManager
from ..runtime.metrics import Metrics
from ..runtime.secrets import Secrets
from ..runtime.settings import ConfigurationValidator, Settings
from ..services.kubernetes_access import ClusterAccess, find_cluster, open_cluster
from .audit import open_trail
from .checks import VendorChecks
from .start import Start, StoppedEarly
from .traces import traced

IN_TERM = ("peers", "ttl_monitor", "heartbeat_sender", "argocd_watch")
"""Tasks that run only while this replica holds the Lease."""

LAST_TRACES = timedelta(seconds=1)
"""How long the last spans may take: the limit of a stop is nearly used up by then."""
AT_ONCE = timedelta(seconds=1)
"""Essential checks are cheap, and readiness must not lag behind: a start would look ten seconds longer than it is."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Outlook:
    """How the outside sees the process, and how it tells it to end."""

    metrics: Metrics
    health: HealthChecker
    probe: Probe
    stop: asyncio.Event


def run_operator(settings: Settings, environ: dict[str, str]) -> int:
    """Run until SIGTERM or SIGINT. 0 after a clean stop, 1 when it cannot start or breaks."""
    clock = SystemClock()
    secrets = Secrets(settings, environ, clock)
    kopf.configure(verbose=settings.reconciler_debug)
    configure(
        settings.reconciler_log_format, debug=settings.reconciler_debug, hide=secrets.hide, hide_own=secrets.hide_own
    )
    for warning in ConfigurationValidator(environ).warnings:
        _log.warning("the configuration is probably not meant so", warning=warning)
    headers = partial(secrets.current, "otel_exporter_otlp_headers")
    try:
        # Modules and classes stay: each full collection would go through them, for a tenth of a second and more.
        gc.freeze()
        with (
            traced(settings, headers=headers, hide=secrets.hide, clock=clock, flush=LAST_TRACES),
            asyncio.Runner(loop_factory=UrgentFirstLoop) as runner,
        ):
            return runner.run(_run(settings, secrets, clock))
    except StoppedEarly:
        _log.info("stopped before the start was over")
        return 0
    except ReconcilerError as error:
        sys.stderr.write(f"{secrets.hide(error.message)}\n")
        return 1


async def _run(settings: Settings, secrets: Secrets, clock: SystemClock) -> int:
    metrics, stop = Metrics(), asyncio.Event()
    metrics.configuration.info({"fingerprint": settings.fingerprint()})
    metrics.build.info(what_runs())
    _on_signals(stop)
    health = HealthChecker(clock, redact=secrets.hide, told=metrics.check_done)
    probe = Probe(health, metrics, host=settings.reconciler_http_host, port=settings.reconciler_http_port)
    await probe.start()
    try:
        return await _with_cluster(settings, secrets, clock, Outlook(metrics, health, probe, stop))
    finally:
        await probe.stop()


async def _with_cluster(settings: Settings, secrets: Secrets, clock: SystemClock, outlook: Outlook) -> int:
    access = replace(find_cluster(kubeconfig=settings.kubeconfig), connections=settings.kubernetes_connections)
    me, fence = this_replica(clock, settings.reconciler_namespaces), Fence(clock)
    trail = open_trail(settings, secrets, clock, me.identity)
    replica = Replica(f"devops-reconciler/{me.identity}", fence, trail)
    outlook.health.register("audit_trail", trail.check, essential=True, max_age=AT_ONCE)
    start = Start(clock, outlook.stop)
    outlook.health.register("start", start.check, essential=True, max_age=AT_ONCE)
    async with AsyncExitStack() as stack:
        stack.callback(trail.close)
        observer, timeout = outlook.metrics.vendor_call, settings.request_timeout
        kubernetes = await stack.enter_async_context(
            open_cluster(access, clock, observer=observer, timeout=timeout, agent=replica.agent)
        )
        cluster = await start.reach(partial(identify, kubernetes, settings))
        await start.reach(partial(await_kinds, kubernetes))
        await start.reach(partial(ensure_peering, kubernetes, settings))
        start.done()
        world = await stack.enter_async_context(open_world(settings, secrets, clock, outlook.metrics, cluster, replica))
        return await _Operator(world, access, outlook, me, fence).run()


def what_runs() -> dict[str, str]:
    """Versions of the product and of what it stands on, for the log and the metric."""
    own, kopf_version = (importlib.metadata.version(name) for name in ("freeleaps-devops-reconciler", "kopf"))
    return {"version": own, "python": platform.python_version(), "kopf": kopf_version}


def this_replica(clock: Clock, watched: Iterable[str]) -> Candidate:
    """Who we are among the replicas. The later start has the higher rank; microseconds, so that no two are equal."""
    identity = f"{socket.gethostname()}-{random_names.token_hex(3)}"
    return Candidate(identity, int(clock.now().timestamp() * 1_000_000), ",".join(sorted(watched)))


def _on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


class _Operator:
    """All that runs in the process."""

    def __init__(self, world: World, access: ClusterAccess, outlook: Outlook, me: Candidate, fence: Fence) -> None:
        self._world = world
        self._stop = outlook.stop
        metrics = outlook.metrics
        settings, clock, kubernetes = world.settings, world.clock, world.kubernetes.behind(None)
        connection = partial(
            connect,
            settings,
            world.secrets,
            certificate_ends=lambda ends: metrics.expires.labels("certificate", "rabbitmq").set(ends),
        )
        self._sender = HeartbeatSender(
            settings, connection, clock, metrics, self._confirmed, may_send=lambda: fence.is_open
        )
        self._loop = Loop(world, self._sender, metrics)
        inbox = Inbox(kubernetes, settings, clock, self._loop.made)
        self._listener = MessageListener(settings, connection, inbox, clock, metrics)
        self._canary = Canary(settings, connection, clock, self._listener)
        self._kopf = KopfHost(self._loop, world, kubernetes, access, me)
        place = LeasePlace(settings.operator_namespace, settings.lease_duration, settings.lease_renew_interval)
        in_time = kubernetes.within(settings.lease_duration / 3)
        fitness = Fitness(outlook.health, clock, but="lease")
        self._lease = Lease(in_time, clock, fence, me, place, self._kopf.peers.step_back, fitness.lacks)
        self._manager = ReconcilerManager(clock, metrics)
        self._duties = Duties(self._lease, self._loop, self._manager, clock, self._patience)
        self._health = outlook.health
        self._register_tasks()
        self._register_checks()
        outlook.probe.breakers = world.breakers.report
        outlook.probe.dead = self._manager.dead

    @property
    def _patience(self) -> timedelta:
        """For work in flight: the rest of the time for the shutdown is for giving back the Lease and for good-byes."""
        return self._world.settings.reconciler_shutdown_timeout * 0.8

    def _register_tasks(self) -> None:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "peers": self._kopf.peers.run,
            "ttl_monitor": partial(ttl_monitor, self._loop, self._world),
            "heartbeat_sender": self._sender.run,
            "argocd_watch": partial(watch_applications, self._world, self._loop.application_changed),
            "message_listener": self._listener.run,
            "canary": self._canary.run,
            "lease_keeper": self._lease.run,
            "duties": self._duties.run,
            "namespaces_check": partial(self._health.keep_told, "namespaces"),
        }
        for name, run in tasks.items():
            self._manager.register(name, run)
        self._duties.include(*IN_TERM)

    def _confirmed(self, uid: str, sequence: int) -> None:
        self._loop.heartbeat_confirmed(uid, sequence)

    def _rabbitmq_check(self) -> RabbitmqCheck:
        return RabbitmqCheck(self._listener, self._sender, lambda: self._lease.acts, self._canary)

    def _register_checks(self) -> None:
        world = self._world
        essential: dict[str, Callable[[], Awaitable[str]]] = {
            "lease": self._lease.check,
            "kopf_operator": self._kopf.check,
            "kubernetes_api": world.kubernetes.version,
            "rabbitmq_connection": self._rabbitmq_check().check,
            **{name: partial(self._manager.check, name) for name in self._manager.names},
        }
        for name, check in essential.items():
            self._health.register(name, check, essential=True, max_age=AT_ONCE)
        self._health.register("namespaces", self._loop.namespaces.check, max_age=timedelta(seconds=60))
        for name, check in VendorChecks(world).by_name().items():
            self._health.register(name, check, max_age=timedelta(seconds=60))

    async def run(self) -> int:
        """Until it is told to stop; the exit code."""
        world, stop = self._world, self._stop
        _log.info(
            "starting",
            namespaces=world.settings.reconciler_namespaces,
            cluster=world.cluster_id,
            replica=self._lease.me.identity,
            configuration=world.settings.fingerprint(),
            **what_runs(),
        )
        await self._manager.start(*(name for name in self._manager.names if name not in IN_TERM))
        leaving = asyncio.create_task(self._leave(stop), name="leave")
        try:
            await self._kopf.run(stop)
        finally:
            stop.set()
            await asyncio.wait({leaving}, timeout=world.settings.reconciler_shutdown_timeout.total_seconds())
            leaving.cancel()
            left = await self._manager.stop(within=timedelta(seconds=3))
        _log.info("stopped", left=left)
        return 0

    async def _leave(self, stop: asyncio.Event) -> None:
        """When it is time: take no more messages, end what is at work, and give the Lease back."""
        await stop.wait()
        await asyncio.gather(self._lease.resign(), self._manager.stop("message_listener", "canary"))
