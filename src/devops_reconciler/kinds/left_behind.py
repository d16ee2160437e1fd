"""The ledger of what forced deletions have let go: a ConfigMap per object, in the operator's own namespace.

There it outlives the namespace of the object. It has all that is needed to find each thing again, and no secret.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..api.errors import Fenced, Waiting
from ..engine.ledger import Entry
from ..inputs.subject import FORCE_ANNOTATION
from ..resources.catalog import REMOVALS
from ..resources.world import World
from ..runtime.logs import get_logger
from ..services.kubernetes import CONFIG_MAP

LABEL = "freeleaps.com/left-behind"
"""On each of these ConfigMaps."""
THINGS, OBJECT = "things.json", "object.json"

_log = get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """Who asked for the forced deletion: by the annotation's value, and by what the API server knows of it."""

    by: str
    manager: str = ""
    at: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.by, f"with {self.manager}" if self.manager else "", self.at)))


def asked(obj: dict[str, Any]) -> Asked | None:
    """None where nobody has asked."""
    metadata = obj["metadata"]
    value = str((metadata.get("annotations") or {}).get(FORCE_ANNOTATION) or "").strip()
    if value.lower() in ("", "false"):
        return None
    for manager in metadata.get("managedFields") or ():
        annotations = ((manager.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        if f"f:{FORCE_ANNOTATION}" in annotations:
            return Asked(value, str(manager.get("manager", "")), str(manager.get("time", "")))
    return Asked(value)


def name_of(obj: dict[str, Any]) -> str:
    """The ConfigMap of an object: readable, and unique by the UID."""
    metadata = obj["metadata"]
    return f"left-behind-{obj['kind'].lower()}-{metadata['name'][:150]}-{metadata['uid'][:8]}"


async def keep(world: World, obj: dict[str, Any], mark: str, entries: Sequence[Entry], by: Asked) -> str:
    """Write the ledger of one object; the same again changes nothing. Gives where it is, in words.

    The object's namespace may be the operator's own, and be on its way out with everything in it. Then there is no
    place for a ledger, and the log has it alone. Raises what else the API server says.
    """
    namespace, name = world.settings.operator_namespace, name_of(obj)
    things = [thing_of(entry, mark) for entry in entries]
    body = {
        "metadata": {"name": name, "labels": {LABEL: "true"}},
        "data": {OBJECT: _json(_about(obj, by)), THINGS: _json(things)},
    }
    try:
        await world.kubernetes.apply(CONFIG_MAP, namespace, body, force=True)
    except Fenced:
        raise
    except Waiting as error:
        _log.error("the ledger of a forced deletion has no place", error=error.message, things=things)
        return "the operator's log"
    return f"ConfigMap {namespace}/{name}"


def thing_of(entry: Entry, mark: str) -> dict[str, Any]:
    """One thing that may remain, as JSON."""
    resource = REMOVALS.get(entry.kind)
    return {
        "service": resource.service if resource is not None else "unknown",
        "kind": entry.kind,
        "id": entry.key,
        "mark": mark,
        "error": entry.note,
        "at": entry.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ") if entry.finished_at else None,
        "url": entry.url,
        "value": entry.value,
    }


def _about(obj: dict[str, Any], by: Asked) -> dict[str, Any]:
    metadata = obj["metadata"]
    return {
        "kind": obj["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "askedBy": by.by,
        "askedWith": by.manager,
        "askedAt": by.at,
        "deletedAt": metadata.get("deletionTimestamp"),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True)
