"""What a kind makes of an object: its steps, and what its status says besides conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..api.base import EffectivePolicy
from ..engine.conditions import Conditions
from ..engine.outcome import Outcome
from ..engine.pipeline import Step
from ..resources.world import World


def no_fields(outcome: Outcome) -> dict[str, Any]:
    """A status without fields of its own."""
    return {}


def no_conditions(conditions: Conditions, outcome: Outcome) -> None:
    """No conditions besides the summary."""


@dataclass(frozen=True)
class Plan:
    """The steps of one pass, and how their outcome shows in the status."""

    steps: Sequence[Step[World]]
    fields: Callable[[Outcome], dict[str, Any]] = no_fields
    conditions: Callable[[Conditions, Outcome], None] = no_conditions

    @property
    def policies(self) -> dict[str, EffectivePolicy]:
        return {step.name: step.policy for step in self.steps}
