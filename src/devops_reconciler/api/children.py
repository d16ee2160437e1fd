"""What a child takes over from its project."""

from __future__ import annotations

from typing import Any

from .base import ComponentName, ManagementPolicy, effective
from .project import DevOpsProjectSpec


def inherited(project: DevOpsProjectSpec, component: ComponentName) -> dict[str, Any]:
    """The policies of a child, as arguments of its spec: the project's, with those of its component put in."""
    policy = effective(project, project.components, component)
    return {
        "suspend": project.suspend,
        "mode": project.mode,
        "management_policies": [item for item in ManagementPolicy if item in policy.management],
        "deletion_policy": policy.deletion,
        "adoption": policy.adoption,
        "drift_policy": policy.drift,
    }
