"""The clients of all services, made from the settings, on shared pools."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..api.errors import ExternalServiceError
from ..resources.world import World
from ..runtime.audit import AuditTrail
from ..runtime.clock import Clock
from ..runtime.every import Every
from ..runtime.fence import Fence
from ..runtime.metrics import Metrics
from ..runtime.reservations import Reservations
from ..runtime.secrets import Secrets
from ..runtime.settings import Settings
from ..runtime.slots import Slots
from ..runtime.turns import Turns
from ..services.addresses import CheckedResolver, literal
from ..services.argocd import ArgoCD, SessionAuth, TokenAuth
from ..services.argocd_auth import claims_of
from ..services.audited import Audit
from ..services.breakers import Breakers
from ..services.budget import RequestBudget
from ..services.dns import Nameservers
from ..services.dockerhub import DockerHub
from ..services.git import Git
from ..services.godaddy import GoDaddy
from ..services.http import AiohttpTransport, Http
from ..services.jenkins import Jenkins
from ..services.kubernetes import NAMESPACE, Kubernetes
from ..services.probe import Prober
from ..services.registry import Registry
from .certificates import Certificates

CLUSTER_NAMESPACE = "kube-system"
"""Its UID tells clusters apart."""
LOOKS_MISSED = 3
"""After how many looks that nobody took at a service its breaker counts no longer: what is wanted is looked at each
`POLL_INTERVAL`, and after a failure each `RETRY_EXTERNAL_DELAY`; a busy operator may be late."""


@dataclass(frozen=True)
class Replica:
    """Who calls, until when it may change something (without a fence: always), and where changes are recorded."""

    agent: str = "devops-reconciler"
    fence: Fence | None = None
    trail: AuditTrail | None = None


@dataclass(frozen=True)
class Cluster:
    """The API server, and which cluster it is of: part of every mark."""

    kubernetes: Kubernetes
    id: str


class Clients:
    """Builds each client with its own budget and breaker, on one pool per kind of TLS."""

    def __init__(self, settings: Settings, secrets: Secrets, clock: Clock, metrics: Metrics, replica: Replica) -> None:
        self.settings = settings
        self.secrets = secrets
        self.clock = clock
        self.metrics = metrics
        self.fence = replica.fence
        self.audit = None if replica.trail is None else Audit(replica.trail)
        certificates = Certificates(settings, clock, metrics)
        self.pool = AiohttpTransport(connections=100, agent=replica.agent, on_certificate=certificates.note)
        self.unchecked = AiohttpTransport(connections=20, tls=_unchecked(), agent=replica.agent)
        # Where users say where to: a laptop's ingress on this very host is the operator's own saying.
        self.ingress_is_here = _is_loopback(settings.ingress_target)
        self.visits = AiohttpTransport(
            connections=20,
            tls=_unchecked(),
            agent=replica.agent,
            resolver=CheckedResolver(loopback=self.ingress_is_here),
        )
        self.breakers = Breakers(
            clock,
            failure_threshold=settings.breaker_failure_threshold,
            timeout=settings.breaker_timeout,
            forget_after=LOOKS_MISSED * max(settings.poll_interval, settings.retry_external_delay),
            show=metrics.watch_breaker,
        )

    def _watch_argocd_token(self) -> None:
        """Of all our tokens only Argo CD's can tell its end; one without an end shows none."""

        def ends() -> float:
            found = claims_of(self.text("argocd_token")()).get("exp")
            return float(found) if isinstance(found, (int, float)) else math.inf

        self.metrics.expires.labels("token", "argocd").set_function(ends)

    def text(self, name: str) -> Callable[[], str]:
        return lambda: self.secrets.current(name) or ""

    def http(self, service: str, base: str, per_minute: int, *, insecure: bool = False) -> Http:
        http = Http(
            service,
            base,
            self.unchecked if insecure else self.pool,
            self.clock,
            timeout=self.settings.request_timeout,
            budget=RequestBudget(self.clock, per_minute),
            observer=self.metrics.vendor_call,
            breaker=self.breakers.of(service),
            places=Slots(max(1, self.settings.max_concurrent_reconciles // 2)),
        )
        return http.hiding(self.secrets.hide).behind(self.fence).recorded(self.audit)

    def jenkins(self) -> Jenkins:
        s = self.settings
        http = self.http("jenkins", s.jenkins_endpoint, s.jenkins_request_budget)
        return Jenkins(http, username=self.text("jenkins_username"), token=self.text("jenkins_token"))

    def argocd(self) -> ArgoCD:
        s = self.settings
        http = self.http("argocd", s.argocd_endpoint, s.argocd_request_budget, insecure=s.argocd_insecure)
        if s.argocd_token is not None:
            self._watch_argocd_token()
            return ArgoCD(http, TokenAuth(self.text("argocd_token")))
        username, password = self.text("argocd_username"), self.text("argocd_password")
        return ArgoCD(http, SessionAuth(username, password, self.clock))

    def hub(self) -> DockerHub:
        s = self.settings
        http = self.http("dockerhub", s.dockerhub_endpoint, s.dockerhub_request_budget)
        username, secret = self.text("dockerhub_username"), self.text("dockerhub_token")
        return DockerHub(http, username=username, secret=secret, clock=self.clock)

    def registry(self, account: str = "dockerhub") -> Registry:
        """As the operator, or (`registry_push`) as the account that Jenkins pushes with."""
        s = self.settings
        http = self.http("registry", s.registry_endpoint, s.registry_request_budget)
        username, secret = self.text(f"{account}_username"), self.text(f"{account}_token")
        return Registry(http, username=username, secret=secret, clock=self.clock)

    def godaddy(self) -> GoDaddy:
        s = self.settings
        http = self.http("godaddy", s.godaddy_endpoint, s.godaddy_request_budget)
        key, secret = self.text("godaddy_api_key"), self.text("godaddy_api_secret")
        # A drift is seen a tenth later, and a zone read a few times between two looks instead of once for each.
        return GoDaddy(http, key=key, secret=secret, clock=self.clock, share_at_rest=s.poll_interval / 10)

    def git(self) -> Git:
        hosts = self.settings.git_allowed_hosts
        breaker_of = partial(self.breakers.of, "git")
        git = Git(hosts, self.clock, observer=self.metrics.vendor_call, breaker_of=breaker_of, ca_file=_authorities())
        self.metrics.expires.labels("certificate", "git").set_function(git.certificates.earliest)
        return git

    async def close(self) -> None:
        await self.pool.close()
        await self.unchecked.close()
        await self.visits.close()


def _authorities() -> Path | None:
    """The file that everything else here trusts, `SSL_CERT_FILE` where it is set: git would not look there."""
    found = ssl.get_default_verify_paths().cafile
    return Path(found) if found else None


def _is_loopback(target: str | None) -> bool:
    address = literal(target or "")
    return address is not None and address.is_loopback


@asynccontextmanager
async def open_world(
    settings: Settings,
    secrets: Secrets,
    clock: Clock,
    metrics: Metrics,
    cluster: Cluster,
    replica: Replica = Replica(),
) -> AsyncIterator[World]:
    """All clients, behind the replica's fence; their connections are closed at the end. Nothing is asked yet."""
    async with AsyncExitStack() as stack:
        clients = Clients(settings, secrets, clock, metrics, replica)
        stack.push_async_callback(clients.close)
        yield World(
            settings=settings,
            secrets=secrets,
            cluster_id=cluster.id,
            clock=clock,
            kubernetes=cluster.kubernetes.behind(replica.fence).recorded(replica.trail),
            jenkins=clients.jenkins(),
            argocd=clients.argocd(),
            hub=clients.hub(),
            registry=clients.registry(),
            godaddy=clients.godaddy(),
            nameservers=Nameservers(settings.dns_resolvers, clock),
            git=clients.git(),
            hosts=Reservations(clock),
            prober=Prober(clients.visits, loopback=clients.ingress_is_here),
            project_files=Every(clock, settings.poll_interval),
            expiries=Turns(clock, settings.expiry_rate),
            breakers=clients.breakers,
            fence=replica.fence,
        )


async def identify(kubernetes: Kubernetes, settings: Settings) -> Cluster:
    """By `RECONCILER_CLUSTER_ID`, else the UID of namespace kube-system.

    Raises ExternalServiceError when it cannot be told, CredentialsError where the login is refused.
    """
    if settings.reconciler_cluster_id:
        return Cluster(kubernetes, settings.reconciler_cluster_id)
    found = await kubernetes.get(NAMESPACE, None, CLUSTER_NAMESPACE)
    if found is None:
        raise ExternalServiceError(f"the cluster has no namespace {CLUSTER_NAMESPACE}", service="kubernetes")
    return Cluster(kubernetes, str(found["metadata"]["uid"]))


def _unchecked() -> ssl.SSLContext:
    """TLS without checking: only where the settings ask for it, and to see whether an address answers at all."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
