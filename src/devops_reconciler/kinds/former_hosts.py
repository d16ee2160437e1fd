"""The hosts that an address had before: they are served until their DNS records are gone, so that a move cuts nobody
off while the new host is not known everywhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..api.deployment_record import PRODUCTION
from ..api.errors import ExternalServiceError, Refused
from ..api.ingress_resource import IngressResourceSpec, IngressResourceStatus
from ..engine.ledger import Entry, Ledger
from ..inputs.subject import Subject, controller
from ..resources.dns_record import DnsRecord
from ..resources.world import World
from ..services.kubernetes import DEVOPS_PROJECT


async def former_hosts(
    world: World, subject: Subject[IngressResourceSpec, IngressResourceStatus], ledger: Ledger, host: str
) -> dict[str, str]:
    """Those whose records are still ours to remove, with the TLS Secret of each, "" for none.

    Not what has become another's: who has the mark of the record now, or a preview of the same project.
    """
    ingress = ledger.current("ingress")
    if ingress is None:
        return {}
    served = {**ingress.value.get("former", {}), ingress.value["host"]: ingress.value.get("tls_secret", "")}
    records = [
        entry
        for entry in ledger.remaining
        if entry.kind == DnsRecord.__name__ and entry.value["host"] != host and entry.value["host"] in served
    ]
    if not records:
        return {}
    taken = await _hosts_of_previews(world, subject)
    mine = [each for each in records if not await _is_anothers(world, subject.me, each)]
    return {old: served[old] for old in (entry.value["host"] for entry in mine) if old not in taken}


async def _is_anothers(world: World, me: str, entry: Entry) -> bool:
    """A record without any mark is nobody's, and so is one that cannot be read, which its removal tells: neither takes
    an Ingress down."""
    try:
        seen = await DnsRecord.recall(entry.value).observe(world, me, entry.intent)
    except (ExternalServiceError, Refused):
        return False
    return seen.owner not in (None, me)


async def _hosts_of_previews(
    world: World, subject: Subject[IngressResourceSpec, IngressResourceStatus]
) -> set[str | None]:
    """Their records carry the project's mark, as production's do."""
    if controller(subject.obj) is None:
        return set()
    project = await world.kubernetes.get(DEVOPS_PROJECT, subject.namespace, subject.name)
    held = ((project or {}).get("status") or {}).get("environments") or ()
    return {urlsplit(str(each.get("url", ""))).hostname for each in held if each["name"] != PRODUCTION}
