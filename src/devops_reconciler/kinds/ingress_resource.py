"""IngressResource: an Ingress and its DNS record, known to every nameserver of the zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..api.base import effective
from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.ingress_resource import IngressResourceSpec, IngressResourceStatus
from ..api.names import ingress_name
from ..api.policies import ComponentName
from ..engine.conditions import Conditions, say
from ..engine.ledger import Ledger
from ..engine.outcome import Facts, Outcome
from ..engine.pipeline import Step
from ..inputs.blocks import Route, production_place, route
from ..inputs.plan import Plan
from ..inputs.route_resources import claim_of, ingress_of, published_name, record_of, waited
from ..inputs.subject import Subject
from ..resources.address import PublishedName, address_of
from ..resources.host_claim import HostTakenError
from ..resources.namespace import DestinationNamespace
from ..resources.world import World
from .former_hosts import former_hosts
from .step_conditions import step_condition


async def plan(world: World, subject: Subject[IngressResourceSpec, IngressResourceStatus]) -> Plan:
    """Steps of one IngressResource; only DNS where the destination is another cluster."""
    spec, name = subject.spec, subject.name
    place = production_place(world.settings, subject.namespace, name, spec.destination)
    wanted = route(world.settings, subject.namespace, name, spec, spec.host)
    ingress_policy = effective(spec, spec.components, ComponentName.INGRESS)
    dns_policy = effective(spec, spec.components, ComponentName.DNS)
    ledger = Ledger.load(subject.status.applied)
    claim = claim_of(wanted, ledger, dns_policy)
    namespace = DestinationNamespace(name=place.namespace, project=name, environment=PRODUCTION)
    former = await former_hosts(world, subject, ledger, wanted.host)
    steps: list[Step[World]] = []
    if place.local:
        steps = [
            Step("namespace", lambda facts: namespace, ingress_policy),
            Step(
                "ingress",
                lambda facts: ingress_of(wanted, place.namespace, name, ingress_name(name), claim, former),
                ingress_policy,
            ),
        ]
    steps.append(Step("dns", lambda facts: record_of(wanted, ledger), dns_policy))
    steps.append(
        Step(
            "published",
            published(wanted, ledger, world.clock.now()),
            dns_policy,
            deadline=world.settings.dns_timeout,
            overdue=Reason.NOT_REACHABLE,
            anew=True,
        )
    )
    url = address_of(wanted.host, tls=wanted.tls_secret is not None)

    def fields(outcome: Outcome) -> dict[str, Any]:
        record = f"{wanted.type} {wanted.host}"
        return {"url": url, "record": record, "zone": wanted.zone, "target": wanted.target}

    def conditions(into: Conditions, outcome: Outcome) -> None:
        if place.local:
            step_condition(into, "IngressReady", outcome, ("namespace", "ingress"))
        else:
            into.drop("IngressReady")
        taken = next((result for result in outcome.results if isinstance(result.error, HostTakenError)), None)
        if taken is not None:
            into.put("DNSReady", "False", taken.reason, say(taken))
            return
        step_condition(into, "DNSReady", outcome, ("dns", "published"))

    return Plan(tuple(map(paused_by_policy, steps)), fields, conditions)


def paused_by_policy(step: Step[World]) -> Step[World]:
    """A component that may do nothing is paused by itself: it does not hold up the other one."""
    return step if step.policy.management else replace(step, paused=True, gate=False)


def published(wanted: Route, ledger: Ledger, now: datetime) -> Callable[[Facts], PublishedName]:
    """The step that proves the record at every nameserver, once the record is written."""

    def build(facts: Facts) -> PublishedName:
        facts["dns"]
        return published_name(wanted, waited(ledger, "published", now))

    return build
