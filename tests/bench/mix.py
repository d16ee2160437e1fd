"""Children that somebody makes without a project: four kinds, in turn, each usable alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testbed.stage import ZONE
from testbed.stage_cluster import GROUP, KINDS, path

MIX = ("registrysettings", "jenkinssettings", "argosettings", "ingressresources")
ELSEWHERE = "https://elsewhere.example.test"
"""A cluster that is not ours: only the DNS record is made then, and no namespace, whose own objects cost more."""


def children(
    namespace: str, prefix: str, git: Mapping[str, str], count: int, *, mix: Sequence[str] = MIX
) -> Iterator[tuple[str, dict[str, Any]]]:
    """So many of them: where each is created, and what. `git` is the source of all."""
    for number in range(count):
        plural, name = mix[number % len(mix)], f"{prefix}-{number:05}"
        yield child(namespace, plural, name, _spec(plural, name, git))


def child(namespace: str, plural: str, name: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """One of this kind: where it is created, and what."""
    version = GROUP.removeprefix("/apis/")
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": version, "kind": KINDS[plural], "metadata": metadata, "spec": spec}
    return path(plural, namespace=namespace), body


def _spec(plural: str, name: str, git: Mapping[str, str]) -> dict[str, Any]:
    if plural == "jenkinssettings":
        return {"git": dict(git)}
    if plural == "argosettings":
        return {"git": dict(git), "source": {"path": "deploy"}}
    if plural == "ingressresources":
        return {"host": f"{name}.{ZONE}", "destination": {"server": ELSEWHERE}}
    return {}
