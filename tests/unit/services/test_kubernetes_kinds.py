"""Which paths of the API server are of the operator's own objects."""

from __future__ import annotations

import pytest

from devops_reconciler.services.kubernetes_kinds import is_ours


@pytest.mark.parametrize("before", ["", "/k8s/clusters/c-1"], ids=["at the root", "behind a proxy"])
@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/apis/freeleaps.com/v1alpha1/namespaces/team-a/devopsprojects/shop/status", True),
        ("/apis/coordination.k8s.io/v1/namespaces/team-a/leases/devops-reconciler", True),
        ("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/shop", False),
        ("/api/v1/namespaces/shop-pr-1", False),
    ],
)
def test_only_what_is_not_ours_is_a_change_outside(before: str, path: str, ours: bool) -> None:
    assert is_ours(before + path) is ours
