"""Which Service a request belongs to, by the rules of ``networking.k8s.io/v1`` Ingress objects. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Backend:
    """The Service behind an address, and the Ingress that says so."""

    namespace: str
    ingress: str
    service: str


@dataclass(frozen=True)
class Rule:
    """One path of one host of one Ingress. An empty host stands for all."""

    host: str
    path: str
    exact: bool
    backend: Backend

    def matches_host(self, host: str) -> bool:
        """``*`` stands for exactly one label, as the API says."""
        if self.host.startswith("*."):
            label, _, rest = host.partition(".")
            return bool(label) and rest == self.host[2:]
        return self.host in ("", host)

    def matches_path(self, path: str) -> bool:
        """A prefix counts by whole path elements: ``/a`` is no prefix of ``/ab``."""
        if self.exact:
            return path == self.path
        prefix = self.path.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")

    @property
    def rank(self) -> tuple[bool, bool, int, bool]:
        """Greater wins: a whole host before a wildcard before none, then the longest path, then an exact one."""
        return (bool(self.host), not self.host.startswith("*."), len(self.path), self.exact)


def rules_of(ingress: Mapping[str, Any]) -> Iterator[Rule]:
    """The rules of one Ingress object, its default backend as a rule for everything."""
    metadata, spec = ingress["metadata"], ingress.get("spec", {})

    def backend(block: Mapping[str, Any]) -> Backend:
        service = block.get("service", {}).get("name", "")
        return Backend(metadata["namespace"], metadata["name"], service)

    if "defaultBackend" in spec:
        yield Rule("", "/", False, backend(spec["defaultBackend"]))
    for rule in spec.get("rules") or ():
        for path in rule.get("http", {}).get("paths") or ():
            exact = path.get("pathType") == "Exact"
            yield Rule(rule.get("host", "").lower(), path.get("path") or "/", exact, backend(path["backend"]))


def class_of(ingress: Mapping[str, Any]) -> str:
    """The class, from the field or from the old annotation; empty if neither is there."""
    annotations = ingress["metadata"].get("annotations") or {}
    name: str = ingress.get("spec", {}).get("ingressClassName") or annotations.get("kubernetes.io/ingress.class", "")
    return name


def route(rules: Iterable[Rule], host: str, path: str) -> Backend | None:
    """The backend for a request; ``host`` may carry a port. ``None`` when no rule matches."""
    name = host.partition(":")[0].rstrip(".").lower()
    matching = [rule for rule in rules if rule.matches_host(name) and rule.matches_path(path)]
    return max(matching, key=lambda rule: rule.rank).backend if matching else None
