"""What production has of the things that a preview would take along: its spec may have been moved onto them; and the
other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.deployment_record import PRODUCTION
from ..api.names import destination_namespace
from ..engine.ledger import Entry
from ..inputs.blocks import record_type
from ..resources.dns_record import DnsRecord
from ..resources.environment import production_namespace
from ..resources.namespace import PreviewNamespace
from ..resources.secret_copy import SecretCopy
from ..runtime.settings import Settings


def is_productions(project: Mapping[str, Any] | None, settings: Settings, entry: Entry) -> bool:
    """Whether production uses it, by the project's spec of now: its namespace, the Secrets there, its DNS record.

    Both carry the project's mark, so nothing outside tells. The spec is taken as the API server has it: one that this
    version cannot read holds up no removal.
    """
    if project is None:
        return False
    namespace, ingress = production_namespace(project), (project.get("spec") or {}).get("ingress") or {}
    if entry.kind == PreviewNamespace.__name__:
        return entry.key == namespace
    if entry.kind == SecretCopy.__name__:
        return bool(entry.value.get("namespace") == namespace)
    if entry.kind == DnsRecord.__name__:
        target = ingress.get("target") or settings.ingress_target or ""
        record = f"{record_type(target)} {ingress.get('host', '')}"
        return entry.key.lower() == record.lower()
    return False


def is_a_previews(project: Mapping[str, Any] | None, entry: Entry) -> bool:
    """Whether it is the copy of a Secret in a namespace that a preview has: production was there once."""
    if project is None or entry.kind != SecretCopy.__name__:
        return False
    held = (project.get("status") or {}).get("environments") or ()
    previews = (str(each["name"]) for each in held if each["name"] != PRODUCTION)
    homes = {destination_namespace(project["metadata"]["name"], name) for name in previews}
    return entry.value.get("namespace") in homes
