"""Everything that the kinds have in common, in one place to import from."""

from __future__ import annotations

from .durations import Duration, format_duration, parse_duration
from .model import Model, Opaque, Rule, StatusModel, Timestamp
from .policies import (
    Adoption,
    ComponentName,
    ComponentPolicies,
    Components,
    DeletionPolicy,
    DriftPolicy,
    EffectivePolicy,
    IngressComponents,
    ManagementPolicy,
    Mode,
    Policies,
    RegistryPolicies,
    effective,
)
from .references import ProjectRef, SecretRef
from .status import ResourceStatus

__all__ = [
    "Adoption",
    "ComponentName",
    "ComponentPolicies",
    "Components",
    "DeletionPolicy",
    "DriftPolicy",
    "Duration",
    "EffectivePolicy",
    "IngressComponents",
    "ManagementPolicy",
    "Mode",
    "Model",
    "Opaque",
    "Policies",
    "ProjectRef",
    "RegistryPolicies",
    "ResourceStatus",
    "Rule",
    "SecretRef",
    "StatusModel",
    "Timestamp",
    "effective",
    "format_duration",
    "parse_duration",
]
