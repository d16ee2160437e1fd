"""What every status has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .conditions import Condition
from .model import Opaque, StatusModel

Conditions = Annotated[
    list[Condition],
    Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class ResourceStatus(StatusModel):
    """The common part of every status: conditions, and the engine's memory."""

    observed_generation: int = -1
    """Generation of the spec that the conditions are about; -1 until the operator has seen the object."""
    conditions: Conditions = Field(default_factory=list)
    """Ready, Reconciling, Stalled and one for each step; wait for Ready."""
    last_handled_reconcile_at: str | None = None
    """The value of the annotation freeleaps.com/requestedAt that was last acted on."""
    applied: list[Opaque] = Field(default_factory=list)
    """Inventory of what was written outside, with intents saved before each write. The engine's own."""
    plan: list[Opaque] = Field(default_factory=list)
    """With mode Plan: every call that Apply would make."""
