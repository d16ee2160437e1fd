"""Everything that one project has at all services, as a flat list of facts that two runs can be compared by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from testbed.kube_api import KubeApi, Object
from testbed.stage import ZONE, Stage
from testbed.stage_cluster import KINDS

from .effects import FOREIGN, builds_in
from .names import common

Facts = dict[str, str]
CLUSTER = {
    "namespaces": "/api/v1/namespaces",
    "secrets": "/api/v1/secrets",
    "ingresses": "/apis/networking.k8s.io/v1/ingresses",
}
KEPT_METADATA = ("labels", "annotations", "finalizers")
FORGOTTEN_STATUS = ("applied", "heartbeat", "outbox", "startedAt", "finishedAt", "steps")
"""The operator's own memory, which may differ by the way that led here."""


async def facts_of(stage: Stage, project: str) -> Facts:
    """All facts about what bears the name of the project."""
    found: dict[str, Any] = {
        "jenkins": _jenkins(stage, project),
        "argocd": _argocd(stage, project),
        "dockerhub": _dockerhub(stage, project),
        "dns": _dns(stage, project),
        "cluster": await _cluster(stage.kube, project),
        "own": await _own(stage, project),
    }
    flat = ((path, "{lane}" if value == stage.lane else value) for path, value in _flat("", found))
    return {common(path, project): common(value, project) for path, value in flat}


def _jenkins(stage: Stage, project: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at, item in stage.jenkins.items.items():
        if at and project in at[0]:
            found["/".join(at)] = ElementTree.tostring(item.config, encoding="unicode")
            for id, credential in item.credentials.items():
                found[f"{'/'.join(at)} {id}"] = ElementTree.tostring(credential.config, encoding="unicode")
    for number, build in enumerate(sorted(each.name for each in builds_in(stage.jenkins) if project in each.name)):
        found[f"build {number}"] = build
    return found


def _argocd(stage: Stage, project: str) -> dict[str, Any]:
    state = stage.argocd.state
    found: dict[str, Any] = {}
    for kind, kept in (("application", state.apps), ("project", state.projects)):
        for name, each in kept.items():
            if project in name:
                status = each.get("status") or {}
                found[f"{kind} {name}"] = {
                    "metadata": {key: each["metadata"].get(key) for key in KEPT_METADATA},
                    "spec": each.get("spec"),
                    "health": (status.get("health") or {}).get("status"),
                    "sync": (status.get("sync") or {}).get("status"),
                }
    for repository in state.repositories.values():
        if project in str(repository.spec.get("repo")):
            found[f"repository {repository.spec['repo']}"] = repository.spec
    return found


def _dockerhub(stage: Stage, project: str) -> dict[str, Any]:
    return {
        name: {"private": record.private, "description": record.description, "tags": stage.hub.registry.tags_of(name)}
        for name, record in stage.hub.repositories.items()
        if project in name
    }


def _dns(stage: Stage, project: str) -> list[str]:
    records = stage.godaddy.zone(ZONE).records
    foreign = {data for data, _ in FOREIGN.values()}
    ours = (each for each in records if project in each["name"] and each["data"] not in foreign)
    return sorted(json.dumps(each, sort_keys=True) for each in ours)


async def _cluster(api: KubeApi, project: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, path in CLUSTER.items():
        for each in (await api.get(path))["items"]:
            metadata = each["metadata"]
            if project in metadata["name"] or project in metadata.get("namespace", ""):
                found[f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"] = _object(each)
    return found


def _object(each: Object) -> dict[str, Any]:
    kept = {key: each["metadata"].get(key) for key in KEPT_METADATA}
    return {
        **kept,
        "deleting": "deletionTimestamp" in each["metadata"],
        "spec": each.get("spec"),
        "data": each.get("data"),
    }


async def _own(stage: Stage, project: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for plural in KINDS:
        for each in await stage.kube.every(plural, stage.namespace):
            if project in each["metadata"]["name"]:
                found[f"{plural} {each['metadata']['name']}"] = {**_object(each), "status": _status(each)}
    return found


def _status(each: Object) -> dict[str, Any]:
    status = {key: value for key, value in (each.get("status") or {}).items() if key not in FORGOTTEN_STATUS}
    conditions = status.pop("conditions", None) or ()
    status["conditions"] = {each["type"]: f"{each['status']} {each['reason']}" for each in conditions}
    return status


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(f"{path}/{key}", each)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _flat(f"{path}/{number}", each)
    else:
        yield path, str(value)


def differences(expected: Facts, found: Facts, masked: frozenset[str] = frozenset()) -> list[str]:
    """What two states do not have in common, in words."""
    said = []
    for path in sorted(expected.keys() | found.keys()):
        if path not in masked and expected.get(path) != found.get(path):
            said.append(f"{path}: {found.get(path, '(absent)')!r} instead of {expected.get(path, '(absent)')!r}")
    return said
