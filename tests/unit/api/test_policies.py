"""Which policy counts for which component."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.api.base import (
    Adoption,
    ComponentName,
    Components,
    DeletionPolicy,
    DriftPolicy,
    EffectivePolicy,
    IngressComponents,
    ManagementPolicy,
    Policies,
    effective,
)

ALL = frozenset(ManagementPolicy)


@pytest.mark.parametrize("component", sorted(set(ComponentName) - {ComponentName.REGISTRY}))
def test_a_component_without_policies_takes_those_of_the_spec(component: ComponentName) -> None:
    spec = Policies.model_validate(
        {"managementPolicies": ["Observe"], "deletionPolicy": "Orphan", "adoption": "Always", "driftPolicy": "Report"}
    )
    expected = EffectivePolicy(
        frozenset({ManagementPolicy.OBSERVE}), DeletionPolicy.ORPHAN, Adoption.ALWAYS, DriftPolicy.REPORT
    )
    assert effective(spec, Components(), component) == expected


def test_the_defaults_do_all_with_ours_and_nothing_with_what_is_not_ours() -> None:
    expected = EffectivePolicy(ALL, DeletionPolicy.DELETE, Adoption.NEVER, DriftPolicy.REPAIR)
    assert effective(Policies(), Components(), ComponentName.ARGO) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, DeletionPolicy.ORPHAN),
        ({"registry": {}}, DeletionPolicy.ORPHAN),
        ({"registry": {"adoption": "Always"}}, DeletionPolicy.ORPHAN),
        ({"registry": {"deletionPolicy": "Delete"}}, DeletionPolicy.DELETE),
    ],
)
@pytest.mark.parametrize("of_spec", DeletionPolicy)
def test_the_image_repository_stays_whatever_the_spec_says(
    written: dict[str, Any], expected: DeletionPolicy, of_spec: DeletionPolicy
) -> None:
    components = Components.model_validate(written)
    assert effective(Policies(deletion_policy=of_spec), components, ComponentName.REGISTRY).deletion == expected


def test_an_empty_list_of_a_component_is_a_choice_and_not_an_absence() -> None:
    components = Components.model_validate({"dns": {"managementPolicies": []}})
    assert effective(Policies(), components, ComponentName.DNS).management == frozenset()
    assert effective(Policies(), components, ComponentName.INGRESS).management == ALL


def test_one_policy_of_a_component_leaves_the_others_to_the_spec() -> None:
    components = IngressComponents.model_validate({"dns": {"adoption": "IfUnowned"}})
    spec = Policies(deletion_policy=DeletionPolicy.ORPHAN)
    expected = EffectivePolicy(ALL, DeletionPolicy.ORPHAN, Adoption.IF_UNOWNED, DriftPolicy.REPAIR)
    assert effective(spec, components, ComponentName.DNS) == expected


def test_without_components_the_spec_counts() -> None:
    assert effective(Policies(), None, ComponentName.REGISTRY).deletion is DeletionPolicy.DELETE
