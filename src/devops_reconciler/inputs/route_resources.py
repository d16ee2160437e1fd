"""The resources of an address: the same for production (IngressResource) and for previews (a deployment)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from ..api.base import EffectivePolicy
from ..engine.ledger import Ledger
from ..resources.address import PublishedName
from ..resources.dns_record import DnsRecord, applied_before
from ..resources.host_claim import HostClaim
from ..resources.ingress import IngressRoute
from .blocks import Route


def claim_of(wanted: Route, ledger: Ledger, dns: EffectivePolicy) -> HostClaim:
    """What is asked before the host of a route is served."""
    record, entry = record_of(wanted, ledger), ledger.current("dns")
    # What was there before an attempt at another host, or in another zone, tells nothing of this one.
    intent = entry.intent if entry is not None and entry.is_of(record) else None
    return HostClaim(record, intent, dns.adoption)


def ingress_of(
    wanted: Route, namespace: str, project: str, name: str, claim: HostClaim, former: Mapping[str, str] | None = None
) -> IngressRoute:
    """The Ingress of a route; `former` hosts are served besides, with the TLS Secret of each."""
    return IngressRoute(
        claim=claim,
        namespace=namespace,
        name=name,
        project=project,
        host=wanted.host,
        class_name=wanted.class_name,
        backend=wanted.service,
        port=wanted.port,
        tls_secret=wanted.tls_secret,
        former=dict(former) if former else None,
    )


def record_of(wanted: Route, ledger: Ledger) -> DnsRecord:
    """The DNS record of a route. What was applied before is taken from the ledger (step `dns`), to be replaced."""
    return DnsRecord(
        zone=wanted.zone,
        host=wanted.host,
        type=wanted.type,
        data=wanted.target,
        ttl=wanted.ttl,
        previous=applied_before(ledger, "dns", wanted.zone, wanted.host, wanted.target),
    )


def published_name(wanted: Route, waiting: timedelta) -> PublishedName:
    """The record as every nameserver must give it."""
    return PublishedName(zone=wanted.zone, host=wanted.host, type=wanted.type, data=wanted.target, waited=waiting)


def waited(ledger: Ledger, step: str, now: datetime) -> timedelta:
    """For how long a step has been looked at without success."""
    entry = ledger.current(step)
    return now - entry.started_at if entry is not None and entry.started_at is not None else timedelta(0)
