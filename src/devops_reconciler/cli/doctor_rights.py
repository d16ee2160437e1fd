"""The rights in the cluster that `doctor` asks for: those of the chart's Roles, `_rules.tpl`."""

from __future__ import annotations

from collections.abc import Iterable

from ..kinds import KINDS
from ..services.kubernetes import CONFIG_MAP, DEVOPS_PROJECT, EVENT, LEASE, PEERING, SECRET, Kubernetes
from ..services.kubernetes_rights import Right, lacking

_KINDS = [what.kind for what in KINDS.values()]
_USUAL = ("get", "list", "watch", "create", "patch")
WATCHED = (
    Right(DEVOPS_PROJECT, _USUAL),
    *(Right(kind, (*_USUAL, "delete")) for kind in _KINDS if kind != DEVOPS_PROJECT),
    *(Right(kind, ("patch",), "status") for kind in _KINDS),
    Right(DEVOPS_PROJECT, ("update",), "finalizers"),
    Right(SECRET, ("get",)),
    Right(EVENT, ("create",)),
    Right(PEERING, ("list", "watch", "create")),
)
"""What the operator needs in each watched namespace, beside its peering."""
OWN = (
    Right(LEASE, ("create",)),
    Right(LEASE, ("get", "patch"), name="devops-reconciler"),
    Right(CONFIG_MAP, ("create", "patch")),
)
"""What it needs in its own namespace."""


async def missing(kubernetes: Kubernetes, namespaces: Iterable[str], *, own: str, peering: str) -> list[str]:
    """What the operator needs and we may not do, in the watched namespaces and in its own, as sentences."""
    watched = (*WATCHED, Right(PEERING, ("get", "patch"), name=peering))
    found = [each for namespace in namespaces for each in await lacking(kubernetes, namespace, watched)]
    return found + await lacking(kubernetes, own, OWN)
