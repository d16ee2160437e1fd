"""`mode: Plan`: nothing is written but `status.plan`, and to the children of a project that they plan, too.

They are planned in-process, by the spec that they would have.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..api.conditions import Reason
from ..api.errors import ReconcilerError
from ..engine.conditions import READY, RECONCILING, STALLED, Conditions
from ..engine.ledger import Ledger
from ..engine.lifecycle import release
from ..engine.preview import preview
from ..inputs.subject import Subject, mark_for, parse_spec, parse_status
from ..resources.belonging import NOT_OF_THIS, is_foreign
from ..resources.catalog import REMOVALS
from ..resources.child import CHILD_KINDS
from ..resources.world import World
from .kind import KindOfResource

WRITES = frozenset({"Create", "Update", "Delete"})


async def plan_of(world: World, what: KindOfResource, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """Every call that applying one object would make, in order."""
    status: Any = parse_status(what.status, obj)
    spec: Any = parse_spec(what.spec, obj)
    me = mark_for(world.cluster_id, obj)
    subject: Subject[Any, Any] = Subject(what.kind, obj, spec, status, me)
    try:
        plan = await what.plan(world, subject)
    except ReconcilerError as error:
        return [{"step": "spec", "action": "Refused", "message": error.message}]
    ledger, policies = Ledger.load(status.applied), what.policies(spec)
    release(ledger, partial(is_foreign, obj), NOT_OF_THIS)
    return await preview(plan.steps, ledger, world, world.clock, me, REMOVALS, policies)


async def plan_of_project(
    world: World, project: dict[str, Any], own: list[dict[str, Any]], kinds: dict[str, KindOfResource]
) -> list[dict[str, Any]]:
    """The project's own calls, each followed by those of its child."""
    calls: list[dict[str, Any]] = []
    what = kinds["DevOpsProject"]
    subject: Subject[Any, Any] = Subject(
        what.kind,
        project,
        parse_spec(what.spec, project),
        parse_status(what.status, project),
        mark_for(world.cluster_id, project),
    )
    wanted = {step.name: step.resource for step in (await what.plan(world, subject)).steps}
    for kind in CHILD_KINDS:
        calls += [call for call in own if call["step"] == kind]
        child: Any = wanted[kind](None)  # type: ignore[arg-type]  # a child depends on no facts
        calls += [
            {**call, "object": kind} for call in await plan_of(world, kinds[kind], await _child(world, project, child))
        ]
    return calls


async def _child(world: World, project: dict[str, Any], child: Any) -> dict[str, Any]:
    """The child as it would be: its new spec on what is there of it."""
    there = await world.kubernetes.get(CHILD_KINDS[child.child_kind], child.namespace, child.name)
    metadata = project["metadata"]
    owner = {"kind": "DevOpsProject", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    made = {"name": child.name, "namespace": child.namespace, "uid": metadata["uid"], "generation": 1}
    return {
        "kind": child.child_kind,
        "metadata": {**((there or {}).get("metadata") or made), "ownerReferences": [owner]},
        "spec": child.spec,
        "status": (there or {}).get("status") or {},
    }


def say_planned(conditions: Conditions, calls: list[dict[str, Any]]) -> None:
    """Planned is neither ready nor under way: somebody decides."""
    writes = sum(1 for call in calls if call["action"] in WRITES)
    refused = [call for call in calls if call["action"] == "Refused"]
    text = f"mode is Plan: {writes} writes are listed in status.plan; set mode to Apply to make them"
    if refused:
        text = f"{text}; {len(refused)} would be refused: {refused[0]['message']}"
    conditions.drop(RECONCILING)
    conditions.drop(STALLED)
    conditions.put(READY, "Unknown", Reason.PLANNED, text)
