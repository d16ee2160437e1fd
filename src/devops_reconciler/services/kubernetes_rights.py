"""Who we are to the API server, and what we may do there. Nothing is stored by these questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .kubernetes import Kubernetes
from .kubernetes_kinds import RULES_REVIEW, SELF_REVIEW, Kind


@dataclass(frozen=True)
class Right:
    """Verbs on a resource of one namespace. `name`: only this object need be allowed."""

    kind: Kind
    verbs: tuple[str, ...]
    subresource: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


async def whoami(kubernetes: Kubernetes) -> str:
    """The user that the API server takes us for (1.28 and newer)."""
    found = await kubernetes.create(SELF_REVIEW, None, {})
    return str(((found.get("status") or {}).get("userInfo") or {}).get("username", "unknown"))


async def lacking(kubernetes: Kubernetes, namespace: str, rights: Iterable[Right]) -> list[str]:
    """What of these we may not do in the namespace, as sentences; by SelfSubjectRulesReview.

    Where the server cannot list all rules (some authorizers), each right that was not found is asked for by itself.
    """
    review = await kubernetes.create(RULES_REVIEW, None, {"spec": {"namespace": namespace}})
    status: Mapping[str, Any] = review.get("status") or {}
    rules = [rule for rule in status.get("resourceRules") or () if isinstance(rule, dict)]
    missing: list[str] = []
    for right in rights:
        verbs = [verb for verb in right.verbs if not any(_allows(rule, right, verb) for rule in rules)]
        if verbs and status.get("incomplete"):
            verbs = [
                verb
                for verb in verbs
                if not await kubernetes.can_i(verb, right.kind, namespace, subresource=right.subresource)
            ]
        if verbs:
            group = f".{right.kind.group}" if right.kind.group else ""
            missing.append(f"{', '.join(verbs)} {right.resource}{group} in {namespace}")
    return missing


def _allows(rule: Mapping[str, Any], right: Right, verb: str) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        _has(rule.get("verbs"), verb)
        and _has(rule.get("apiGroups"), right.kind.group)
        and _has(rule.get("resources"), right.resource, f"*/{right.subresource}" if right.subresource else "*")
        and (not names or right.name in names)
    )


def _has(listed: Any, *wanted: str) -> bool:
    return any(each in (listed or ()) for each in ("*", *wanted))
