"""What passes from the holder of an environment to the next: its things, and what is known of them."""

from __future__ import annotations

from typing import Any

from ..engine.ledger import Entry, Ledger
from ..resources.catalog import PLACES
from ..resources.environment import EnvironmentClaim, find
from ..resources.world import World
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT


async def inherit(world: World, record: dict[str, Any], project: str, environment: str, ledger: Ledger) -> None:
    """Enter into `ledger` what the present holder knows of the environment's things; nothing where nobody holds it.

    To be saved together with the intent to claim: whoever holds the environment then knows all there is of it, and
    everybody else may forget. Raises what reading raises, since what is not known would never be removed.
    """
    namespace = record["metadata"]["namespace"]
    held = find(await world.kubernetes.get(DEVOPS_PROJECT, namespace, project), environment) or {}
    name = held.get("holder")
    if name is None or name == record["metadata"]["name"]:
        return
    holder = await world.kubernetes.get(DEPLOYMENT_RECORD, namespace, str(name))
    known = Ledger.load(((holder or {}).get("status") or {}).get("applied") or [])
    ledger.inherit([entry for entry in known.entries if passes_on(entry)], PLACES)


def passes_on(entry: Entry) -> bool:
    """Whether it belongs to the environment; the claim is each record's own."""
    return entry.shared and entry.kind != EnvironmentClaim.__name__
