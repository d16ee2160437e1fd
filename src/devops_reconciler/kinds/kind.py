"""What the product must know of a kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic

from ..api.base import EffectivePolicy, effective
from ..api.policies import ComponentName
from ..api.status import ResourceStatus
from ..inputs.plan import Plan
from ..resources.world import World
from ..services.kubernetes_kinds import Kind


@dataclass(frozen=True)
class KindOfResource:
    """One kind: where it lives, what its spec and status are, and what its steps are.

    `components` says to which component each step belongs, so that its removal follows the policies of that component.
    """

    kind: Kind
    spec: type[pydantic.BaseModel]
    status: type[ResourceStatus]
    plan: Callable[[World, Any], Awaitable[Plan]]
    components: Mapping[str, ComponentName] = field(default_factory=dict)

    def policies(self, spec: Any) -> dict[str, EffectivePolicy]:
        """Those of a spec by step, also of steps that its plan does not have now: what they have made may be left."""
        own = getattr(spec, "components", None)
        return {step: effective(spec, own, component) for step, component in self.components.items()}
