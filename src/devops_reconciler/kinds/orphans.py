"""Which marked things no resource of this cluster owns, and what became of what forced deletions have let go."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..api.deployment_record import PRODUCTION
from ..api.errors import CredentialsError, ReconcilerError
from ..api.names import mark as mark_text
from ..engine.ledger import Ledger
from ..resources.catalog import RESOURCES
from ..resources.hub_repository import HubRepository
from ..resources.image import Image, ImageRemoval
from ..resources.marked import NAMESPACES, Marked, scans
from ..resources.world import ExternalResource, World
from ..services.kubernetes import CONFIG_MAP, Object
from ..services.kubernetes_kinds import Kind
from .inventory import Inventory, identity
from .left_behind import LABEL, OBJECT, THINGS

LOOKS: dict[str, type[ExternalResource]] = {
    **{resource.__name__: resource for resource in RESOURCES},
    Image.__name__: ImageRemoval,
}
"""By kind: how it is looked for. A tag goes with its repository."""
LEDGERS = "ledgers of forced deletions"
"""Their name among the failures."""


@dataclass(frozen=True)
class Judged:
    """A marked thing and what is thought of it: `held`, `kept` on purpose, or `orphan`."""

    thing: Marked
    state: str
    why: str


@dataclass(frozen=True)
class LeftThing:
    """A thing that a forced deletion has let go, and how it is `now`: `gone`, `there`, `not ours` or `unknown`."""

    ledger: str
    owner: str
    thing: Mapping[str, Any]
    now: str
    detail: str = ""


@dataclass
class Report:
    """What was found. `failures` are lists that could not be read, with the cause."""

    ledger_namespace: str
    """Where ledgers of forced deletions were looked for."""
    things: list[Judged] = field(default_factory=list)
    left: list[LeftThing] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Things of other clusters or installations, by the cluster in the mark."""
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def orphans(self) -> list[Judged]:
        return [judged for judged in self.things if judged.state == "orphan"]

    @property
    def found(self) -> bool:
        return bool(self.orphans) or any(item.now in ("there", "unknown") for item in self.left)


async def find_orphans(world: World, kinds: Sequence[Kind]) -> Report:
    """Read all lists side by side. A list that fails is told, and the others still count.

    Raises ReconcilerError where the resources of this cluster cannot be listed: everything would look like nobody's.
    """
    report = Report(world.settings.operator_namespace)
    objects = await _objects(world, kinds, report)
    inventory = Inventory.of(world, objects)
    ledgers = await _ledgers(world, report)
    wanted = scans(world, _hub_namespaces(world, objects), _zones(world, objects))
    results = await asyncio.gather(*(scan() for scan in wanted.values()), return_exceptions=True)
    forced = {
        identity(str(thing["kind"]), str(thing["id"]), thing.get("value") or {}, world): _who(owner)
        for _, owner, things in ledgers
        for thing in things
    }
    for name, result in zip(wanted, results, strict=True):
        if isinstance(result, ReconcilerError):
            report.failures[name] = result.message
        elif isinstance(result, BaseException):
            raise result
        else:
            _judge_all(result, inventory, forced, report)
    for name, owner, things in ledgers:
        report.left += [await _now(world, name, _who(owner), thing) for thing in things]
    return report


async def _objects(world: World, kinds: Sequence[Kind], report: Report) -> list[Object]:
    try:
        return [obj for kind in kinds for obj in await world.kubernetes.list(kind, None)]
    except CredentialsError as error:
        watched = world.settings.reconciler_namespaces
        report.notes.append(
            f"resources could be listed in {', '.join(watched)} only, so what belongs to resources elsewhere in this "
            f"cluster looks like nobody's: {error.message}"
        )
    return [obj for kind in kinds for each in watched for obj in await world.kubernetes.list(kind, each)]


async def _ledgers(world: World, report: Report) -> list[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    namespace = report.ledger_namespace
    try:
        maps = await world.kubernetes.list(CONFIG_MAP, namespace, labels=LABEL)
    except ReconcilerError as error:
        report.failures[LEDGERS] = error.message
        return []
    found = []
    for each in maps:
        name, data = f"ConfigMap {namespace}/{each['metadata']['name']}", each.get("data") or {}
        try:
            found.append((name, dict(json.loads(data[OBJECT])), [dict(item) for item in json.loads(data[THINGS])]))
        except (KeyError, ValueError, TypeError) as error:
            report.failures[name] = f"cannot be read: {error}"
    return found


def _who(owner: Mapping[str, Any]) -> str:
    return f"{owner.get('kind')} {owner.get('namespace')}/{owner.get('name')}"


def _hub_namespaces(world: World, objects: Iterable[Object]) -> set[str]:
    """Those of the settings that are no patterns, and those that resources have used."""
    known = world.settings.known_registry_namespaces
    return set(known) | {str(value["namespace"]) for value in _values(objects, HubRepository.__name__)}


def _zones(world: World, objects: Iterable[Object]) -> set[str]:
    known = world.settings.dns_allowed_zones.names()
    return set(known) | {str(value["zone"]) for value in _values(objects, "DnsRecord")}


def _values(objects: Iterable[Object], kind: str) -> list[dict[str, Any]]:
    applied = [item for obj in objects for item in (obj.get("status") or {}).get("applied") or ()]
    return [entry.value for entry in Ledger.load(applied).entries if entry.kind == kind]


def _judge_all(
    things: Iterable[Marked], inventory: Inventory, forced: Mapping[tuple[str, str], str], report: Report
) -> None:
    world = inventory.world
    ours = mark_text(world.cluster_id, "", "").rsplit(":", 1)[0]
    owner_id = world.settings.dns_txt_owner_id or world.cluster_id
    judged: dict[str, Judged] = {}
    for thing in things:
        cluster = thing.mark.rsplit(":", 1)[0]
        if cluster != ours or thing.owner_id not in ("", owner_id):
            report.others[cluster.partition(":")[2]] += 1
            continue
        found = judge(thing, inventory, forced)
        judged[thing.id] = found
        repository = judged.get(thing.id.rpartition(":")[0]) if thing.kind == Image.__name__ else None
        if repository is None or repository.state == "held":
            report.things.append(found)  # tags of a repository that is nobody's go with it


def judge(thing: Marked, inventory: Inventory, forced: Mapping[tuple[str, str], str]) -> Judged:
    """What is thought of one thing of this cluster. Pure."""
    holder = inventory.holder(thing)
    if holder is not None:
        return Judged(thing, "held", f"held by {holder}")
    if (thing.kind, thing.id) in forced:
        return Judged(thing, "orphan", f"let go by the forced deletion of {forced[thing.kind, thing.id]}")
    if thing.digest is not None and thing.digest in inventory.digests:
        return Judged(thing, "held", inventory.digests[thing.digest])
    if thing.kind == NAMESPACES and thing.environment == PRODUCTION:
        return Judged(thing, "kept", "the namespace of production is never removed")
    owner = inventory.marks.get(thing.mark)
    if owner is not None:
        record = inventory.environments.get((thing.mark, thing.environment or ""))
        held = f"; its environment {thing.environment} is held by DeploymentRecord {record}" if record else ""
        return Judged(thing, "orphan", f"has the mark of {owner}, which does not know of it{held}")
    if thing.kind == HubRepository.__name__:
        return Judged(thing, "kept", "its project is gone; deletionPolicy of an image repository is Orphan by default")
    return Judged(thing, "orphan", "no resource has its mark; deletionPolicy: Orphan leaves things so, too")


async def _now(world: World, ledger: str, owner: str, thing: Mapping[str, Any]) -> LeftThing:
    """Look at one thing again."""
    try:
        resource = LOOKS[str(thing["kind"])].recall(thing.get("value") or {})
        seen = await resource.observe(world, str(thing["mark"]), None)
    except (ReconcilerError, LookupError, ValueError) as error:
        return LeftThing(ledger, owner, thing, "unknown", str(error))
    if not seen.exists:
        return LeftThing(ledger, owner, thing, "gone")
    if resource.owned_by_mark and seen.owner != thing["mark"]:
        return LeftThing(ledger, owner, thing, "not ours", "it does not carry its mark any more")
    return LeftThing(ledger, owner, thing, "there", seen.message)
