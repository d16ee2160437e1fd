"""`devops-reconciler doctor`: logs in to every service and says what it finds, a line each. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from ..api.errors import ReconcilerError
from ..host.world import Clients, Replica
from ..messages.examine import examine
from ..runtime.audit_file import AuditFile
from ..runtime.clock import SystemClock
from ..runtime.logs import configure
from ..runtime.metrics import Metrics
from ..runtime.secrets import Secrets
from ..runtime.settings import ConfigurationValidator, Settings, load
from ..services.http import AiohttpTransport
from ..services.kubernetes import DEVOPS_PROJECT, Kubernetes
from ..services.kubernetes_access import ClusterAccess, find_cluster, open_cluster, ssl_context
from ..services.kubernetes_rights import whoami
from .doctor_finding import Examination, Finding, note_clock
from .doctor_rights import missing
from .doctor_vendors import Vendors, by_host

AGENT = "devops-reconciler/doctor"


def examine_all(environ: Mapping[str, str], say: Callable[[str], None], *, as_json: bool) -> int:
    """Print the findings; 1 if one of them is bad. Raises ConfigurationError where there is nothing to begin with."""
    settings = load(environ)
    secrets = Secrets(settings, environ, SystemClock())
    configure("console", hide=secrets.hide)
    findings = asyncio.run(_examine(settings, secrets, environ))
    if as_json:
        say(json.dumps({"ok": all(f.ok for f in findings), "findings": [f.as_json() for f in findings]}, indent=2))
    else:
        for finding in findings:
            say(finding.line())
    return 0 if all(finding.ok for finding in findings) else 1


async def _examine(settings: Settings, secrets: Secrets, environ: Mapping[str, str]) -> list[Finding]:
    clock = SystemClock()
    clients = Clients(settings, secrets, clock, Metrics(), Replica(AGENT))
    redact = secrets.hide
    try:
        cluster = _Cluster(settings, clock)
        first = await asyncio.gather(
            *(each.run(redact) for each in (_configuration(settings, environ), cluster.examination()))
        )
        others = [_broker(settings, secrets), *Vendors(clients, cluster.repositories).all()]
        rest = await asyncio.gather(*(each.run(redact) for each in others))
        return [*first, *rest]
    finally:
        await clients.close()


def _configuration(settings: Settings, environ: Mapping[str, str]) -> Examination:
    async def look(finding: Finding) -> None:
        finding.version = settings.fingerprint()
        finding.notes += ConfigurationValidator(environ).warnings
        path = settings.reconciler_audit_file
        if path is not None:
            try:
                AuditFile(path).check_place()
            except OSError as error:
                finding.fail(f"RECONCILER_AUDIT_FILE: {error}", "let it be a file in a directory that we may write to")

    return Examination(Finding("configuration", "environment"), look)


def _broker(settings: Settings, secrets: Secrets) -> Examination:
    async def look(finding: Finding) -> None:
        def told(version: str) -> None:
            finding.version, finding.identity = version, secrets.current("rabbitmq_username") or ""

        found = await examine(settings, secrets, told)
        finding.may.append(f"use virtual host {settings.rabbitmq_vhost}")
        for name, (waiting, consumers) in found.queues.items():
            finding.notes.append(f"queue {name}: {waiting} messages, {consumers} consumers")
        for problem, todo in found.refusals:
            finding.fail(problem, todo)
        if found.absent:
            absent = ", ".join(found.absent)
            finding.notes.append(f"not there before the first run, which proves the permissions for them: {absent}")

    address = f"{settings.rabbitmq_host}:{settings.rabbitmq_port}"
    login = "RABBITMQ_USERNAME and RABBITMQ_PASSWORD"
    return Examination(Finding("rabbitmq", address), look, endpoint="RABBITMQ_HOST and RABBITMQ_PORT", login=login)


class _Cluster:
    """The API server; what it tells of repositories helps to look at Git hosts."""

    def __init__(self, settings: Settings, clock: SystemClock) -> None:
        self._settings = settings
        self._clock = clock
        self.repositories: dict[str, str] = {}

    def examination(self) -> Examination:
        return Examination(Finding("kubernetes"), self._look, endpoint="KUBECONFIG", login="KUBECONFIG")

    async def _look(self, finding: Finding) -> None:
        access = find_cluster(kubeconfig=self._settings.kubeconfig)
        finding.address = access.server
        async with _plain(access) as transport:
            await note_clock(finding, transport, f"{access.server}/version", self._clock)
        async with open_cluster(access, self._clock, timeout=self._settings.request_timeout, agent=AGENT) as kubernetes:
            finding.version = await kubernetes.version()
            finding.identity = await whoami(kubernetes)
            await self._rights(kubernetes, finding)
            await self._objects(kubernetes, finding)

    async def _rights(self, kubernetes: Kubernetes, finding: Finding) -> None:
        settings = self._settings
        lacking = await missing(
            kubernetes,
            settings.reconciler_namespaces,
            own=settings.operator_namespace,
            peering=settings.reconciler_peering_name,
        )
        if lacking:
            finding.fail(f"may not {'; '.join(lacking)}", "bind the roles of the chart to this account")
        else:
            finding.may.append("all that it needs in the watched namespaces and in its own")
        finding.notes.append("rights in destination namespaces show when a project is set up")

    async def _objects(self, kubernetes: Kubernetes, finding: Finding) -> None:
        projects: list[dict[str, object]] = []
        for namespace in self._settings.reconciler_namespaces:
            try:
                projects += await kubernetes.list(DEVOPS_PROJECT, namespace)
            except ReconcilerError as error:
                finding.fail(error.message, "install the CRDs: devops-reconciler crds | kubectl apply -f -")
                return
        self.repositories = by_host(projects)
        finding.notes.append(f"{len(projects)} projects")


@asynccontextmanager
async def _plain(access: ClusterAccess) -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(connections=1, tls=ssl_context(access), agent=AGENT)
    try:
        yield transport
    finally:
        await transport.close()
