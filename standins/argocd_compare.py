"""The stand-in's comparison: what an application's source wants, against what it has in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .argocd_git import Credentials, GitSources, SourceError
from .argocd_render import render, source_type
from .argocd_state import Json, Live, State, key_of, pod_images

Objects = Mapping[tuple[str, str, str], Json]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod")
COMPARISON = (
    "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc"
)


def plain_url(url: str) -> str:
    """The form in which Argo CD compares repository URLs."""
    return url.strip().lower().removesuffix("/").removesuffix(".git")


@dataclass(frozen=True)
class Rendered:
    """The manifests of a source at a commit."""

    commit: str
    kind: str
    objects: dict[tuple[str, str, str], Json]


class Sources:
    """Renders applications, with the credentials of the registered repository where there is one."""

    def __init__(self, state: State, git: GitSources) -> None:
        self._state = state
        self._git = git

    def credentials(self, url: str, project: str) -> Credentials:
        """Those of the repository of the application's project, else of the shared one."""
        for scope in (project, ""):
            found = self._state.repositories.get((plain_url(url), scope))
            if found is not None:
                return credentials_of(found.spec)
        return Credentials()

    async def test(self, spec: Json) -> None:
        await self._git.test(spec["repo"], credentials_of(spec))

    async def resolve(self, app: Json, revision: str = "") -> str:
        source = app["spec"].get("source") or {}
        url = str(source.get("repoURL", ""))
        wanted = revision or str(source.get("targetRevision") or "HEAD")
        return await self._git.resolve(url, wanted, self.credentials(url, project_of(app)))

    async def render(self, app: Json, revision: str = "") -> Rendered:
        """SourceError says what Argo CD's repo-server would."""
        source = app["spec"].get("source") or {}
        commit = await self.resolve(app, revision)
        credentials = self.credentials(source["repoURL"], project_of(app))
        files = await self._git.tree(source["repoURL"], commit, credentials)
        namespace = namespace_of(app)
        manifests = render(files, source, app["metadata"]["name"])
        objects = {key_of(manifest, namespace): manifest for manifest in manifests}
        return Rendered(commit, source_type(files, source), objects)


def credentials_of(spec: Json) -> Credentials:
    return Credentials(spec.get("username", ""), spec.get("password", ""), bool(spec.get("insecure")))


def project_of(app: Json) -> str:
    return str(app["spec"].get("project") or "default")


def namespace_of(app: Json) -> str:
    return str((app["spec"].get("destination") or {}).get("namespace") or "default")


def comparison_error(error: SourceError) -> str:
    return f"{COMPARISON} = {error}"


def annotation(manifest: Json, name: str) -> str:
    """An annotation of an object or of its pod template."""
    template = (manifest.get("spec") or {}).get("template") or {}
    for metadata in (manifest.get("metadata") or {}, template.get("metadata") or {}):
        value = (metadata.get("annotations") or {}).get(name)
        if value:
            return str(value)
    return ""


def resources(wanted: Objects, live: Live) -> list[Json]:
    """`status.resources`: each object with its sync status and, for what has one, its health."""
    found = []
    for key in sorted({*wanted, *live.objects}):
        manifest = wanted.get(key) or live.objects[key]
        synced = key in wanted and live.objects.get(key) == wanted[key]
        item = identity(key, manifest) | {"status": "Synced" if synced else "OutOfSync"}
        if key not in wanted:
            item["requiresPruning"] = True
        if key[0] in WORKLOADS:
            item["health"] = health(live) if key in live.objects else {"status": "Missing"}
        elif key[0] == "Service":
            item["health"] = {"status": "Healthy" if key in live.objects else "Missing"}
        found.append(item)
    return found


def health(live: Live) -> Json:
    return {"status": live.phase} | ({"message": live.message} if live.message else {})


def identity(key: tuple[str, str, str], manifest: Json) -> Json:
    group, _, version = str(manifest.get("apiVersion", "v1")).rpartition("/")
    item: Json = {"kind": key[0], "name": key[2], "namespace": key[1], "version": version}
    return {"group": group, **item} if group else item


def images(live: Live) -> list[str]:
    """`status.summary.images` comes from the pods: of the old and the new ones while a rollout is under way."""
    shown = [*live.applied.values()]
    if live.phase in ("Progressing", "Degraded"):
        shown += live.serving.values()
    return sorted({image for manifest in shown for image in pod_images(manifest)})


def tree(app: Json, live: Live) -> Json:
    """The resource tree: the objects, and below each workload its replica set and pod."""
    nodes: list[Json] = []
    for key, manifest in live.applied.items():
        node = identity(key, manifest) | {"uid": f"{key[0]}-{key[2]}", "resourceVersion": "1"}
        if key[0] in WORKLOADS:
            node["health"] = health(live)
            nodes += _below(key, manifest, live)
        elif key[0] == "Service":
            node["health"] = {"status": "Healthy"}
        nodes.append(node)
    return {"nodes": nodes, "orphanedNodes": [], "hosts": []}


def _below(key: tuple[str, str, str], manifest: Json, live: Live) -> list[Json]:
    kind, namespace, name = key
    if kind != "Deployment":
        return []
    parent = {"kind": "Deployment", "name": name, "namespace": namespace, "uid": f"{kind}-{name}"}
    sets = {
        "group": "apps",
        "version": "v1",
        "kind": "ReplicaSet",
        "namespace": namespace,
        "name": f"{name}-{live.rollout}",
    }
    pod: dict[str, Any] = {"version": "v1", "kind": "Pod", "namespace": namespace, "name": f"{name}-{live.rollout}-x"}
    pod |= {"images": list(pod_images(manifest)), "health": health(live), "parentRefs": [sets]}
    reason = {"Healthy": "Running", "Progressing": "ContainerCreating"}.get(live.phase, live.message.partition(":")[0])
    pod["info"] = [{"name": "Status Reason", "value": reason or "CrashLoopBackOff"}]
    return [{**sets, "parentRefs": [parent], "health": health(live)}, pod]
