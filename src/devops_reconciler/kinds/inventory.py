"""What the resources of this cluster know to be theirs: by mark, by ledger, and by the environments that are held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.errors import ValidationError
from ..engine.ledger import CLOSED, Entry, Ledger
from ..inputs.subject import mark_for
from ..resources.argo_repository import ArgoRepository
from ..resources.dns_record import DnsRecord, naming
from ..resources.image import Image
from ..resources.marked import NAMESPACES, Marked, dns_mark
from ..resources.namespace import DestinationNamespace, PreviewNamespace
from ..resources.world import World
from ..services.argocd import same_url

SHARED = (ArgoRepository.__name__, Image.__name__)
"""Kinds whose mark may be another resource's: a repository is shared, a tag stands under its repository's mark."""


def identity(kind: str, key: str, value: Mapping[str, Any], world: World) -> tuple[str, str]:
    """Kind and id as `resources.marked` gives them, from an entry of a ledger."""
    if kind in (DestinationNamespace.__name__, PreviewNamespace.__name__):
        return NAMESPACES, key
    if kind == DnsRecord.__name__:
        name = naming(world).name(str(value.get("host")), str(value.get("type")))
        return kind, dns_mark(name, str(value.get("zone")))
    return kind, key


@dataclass
class Inventory:
    """Built from the objects of all kinds."""

    world: World
    objects: int = 0
    marks: dict[str, str] = field(default_factory=dict)
    """Mark to who has it, for people."""
    environments: dict[tuple[str, str], str] = field(default_factory=dict)
    """Mark and environment to the record that holds it."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digest to who runs it."""
    _held: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, objects: Iterable[dict[str, Any]]) -> Inventory:
        """Raises ValidationError for a status that cannot be read: what it has would look like nobody's."""
        found = cls(world)
        for obj in objects:
            found._add(obj)
        return found

    def _add(self, obj: dict[str, Any]) -> None:
        metadata, status = obj["metadata"], obj.get("status") or {}
        who, mark = f"{obj['kind']} {metadata['namespace']}/{metadata['name']}", mark_for(self.world.cluster_id, obj)
        self.objects += 1
        if obj["kind"] == "DevOpsProject" or mark not in self.marks:
            self.marks[mark] = who
        try:
            ledger = Ledger.load(status.get("applied") or [])
        except ValueError as error:
            raise ValidationError(f"status.applied of {who} cannot be read: {error}") from error
        for entry in ledger.entries:
            if entry.state not in CLOSED:
                self._hold(entry, who, mark)
        for held in status.get("environments") or ():
            self.environments[mark, str(held.get("name"))] = str(held.get("holder"))
            self.digests[str(held.get("digest"))] = f"{who} runs it in {held.get('name')}"

    def _hold(self, entry: Entry, who: str, mark: str) -> None:
        self._held.setdefault(identity(entry.kind, entry.key, entry.value, self.world), []).append((who, mark))

    def holder(self, thing: Marked) -> str | None:
        """The resource whose ledger has it; None where none does."""
        holders = list(self._held.get((thing.kind, thing.id), ()))
        if thing.kind == ArgoRepository.__name__:
            urls = [key for key in self._held if key[0] == thing.kind and same_url(key[1], thing.id)]
            holders = [holder for key in urls for holder in self._held[key]]
        return next((who for who, mark in holders if mark == thing.mark or thing.kind in SHARED), None)
