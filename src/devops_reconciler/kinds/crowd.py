"""Several deployments of one environment: who goes first, who gives way. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..api.deployment_record import PRODUCTION, ConcurrencyPolicy
from ..resources.marks import order_of


@dataclass(frozen=True)
class Rival:
    """What must be known of a record beside ours."""

    name: str
    created_at: datetime
    triggered_at: datetime
    """When its message was made: creation is known to the second only, and two may fall into one."""
    environment: str
    finished: bool
    result: str | None
    deleting: bool
    policy: ConcurrencyPolicy

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        return (self.created_at, self.triggered_at, self.name)

    @property
    def active(self) -> bool:
        return not self.finished and not self.deleting


def rival(obj: dict[str, Any]) -> Rival:
    """From a DeploymentRecord as read."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    done = next((c for c in status.get("conditions") or () if c["type"] == "Finished" and c["status"] == "True"), None)
    created_at, triggered_at, name = order_of(metadata)
    policy = spec.get("concurrencyPolicy")
    return Rival(
        name=name,
        created_at=created_at,
        triggered_at=triggered_at,
        environment=spec.get("environment", PRODUCTION),
        finished=done is not None,
        result=done["reason"] if done else None,
        deleting=bool(metadata.get("deletionTimestamp")),
        # One that only a newer version knows must not stop the others from looking at it.
        policy=next((known for known in ConcurrencyPolicy if known == policy), ConcurrencyPolicy.QUEUE),
    )


@dataclass(frozen=True)
class Turn:
    """Whether it is our turn."""

    go: bool
    superseded_by: str | None = None
    forbidden_by: str | None = None
    waits_for: str | None = None


def turn(me: Rival, all_records: Iterable[Rival]) -> Turn:
    """Our turn among the records of one environment. The newer record's policy decides."""
    others = [r for r in all_records if r.name != me.name and r.environment == me.environment and r.active]
    newer = [r for r in others if r.order > me.order and r.policy is ConcurrencyPolicy.REPLACE]
    if newer:
        return Turn(False, superseded_by=max(newer, key=lambda r: r.order).name)
    older = sorted((r for r in others if r.order < me.order), key=lambda r: r.order)
    if not older:
        return Turn(True)
    if me.policy is ConcurrencyPolicy.FORBID:
        return Turn(False, forbidden_by=older[-1].name)
    return Turn(False, waits_for=older[-1].name)


def previews_taken(me: Rival, all_records: Iterable[Rival], held: Iterable[str]) -> set[str]:
    """The other previews that exist, or are under way because an older record asked for them."""
    asked = {r.environment for r in all_records if r.active and r.order < me.order}
    return (asked | set(held)) - {PRODUCTION, me.environment}
