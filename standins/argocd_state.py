"""What the stand-in Argo CD keeps: its objects with their versions, the watches on them, and what runs.

Times are cut to whole seconds, as in every Kubernetes object.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from devops_reconciler.runtime.clock import Clock

Json = dict[str, Any]
NAMESPACE = "argocd"
IN_CLUSTER = "https://kubernetes.default.svc"


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Event:
    """A change of an application, and the monotonic time from which on watches show it."""

    kind: str
    application: Json
    due: float


@dataclass
class Repository:
    """A registered repository with its secrets; `spec` is what was sent. The state of its connection is kept."""

    spec: Json
    connection: Json | None = None
    tested: float = 0.0
    """When, by the monotonic clock."""
    testing: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)
    """Held while its connection is tried out, so that what many ask for at one time is tried out once."""


class State:
    """All objects. Applications are changed through `change` only, so that versions and watches are right."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lag = timedelta(0)
        """How far lists and watches, which come from an informer, are behind."""
        self.apps: dict[str, Json] = {}
        self.projects: dict[str, Json] = {}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.watches: set[asyncio.Queue[Event | None]] = set()
        self._versions = itertools.count(1000)
        self._journal: dict[str, list[tuple[float, Json | None]]] = {}

    def now(self) -> str:
        return stamp(self.clock.now())

    def version(self) -> str:
        return str(next(self._versions))

    def metadata(self, sent: Json) -> Json:
        """The metadata of a new object, of what was sent for it."""
        kept = {key: sent[key] for key in ("name", "labels", "annotations", "finalizers") if sent.get(key)}
        new = {"namespace": NAMESPACE, "uid": str(uuid.uuid4()), "resourceVersion": self.version(), "generation": 1}
        return {**kept, **new, "creationTimestamp": self.now()}

    def add_app(self, app: Json) -> None:
        name = app["metadata"]["name"]
        self.apps[name] = app
        self._tell("ADDED", name, app)

    def change(self, name: str, edit: Callable[[Json], None]) -> Json:
        """Apply an edit to an application; a change that leaves everything as it is makes no version and no event.

        One that is being deleted goes when its last finalizer goes.
        """
        app = self.apps[name]
        before = copy.deepcopy(app)
        edit(app)
        if app != before:
            if app["spec"] != before["spec"] or app.get("operation") != before.get("operation"):
                app["metadata"]["generation"] += 1
            app["metadata"]["resourceVersion"] = self.version()
            if "deletionTimestamp" in app["metadata"] and not app["metadata"].get("finalizers"):
                self.remove_app(name)
            else:
                self._tell("MODIFIED", name, app)
        return app

    def remove_app(self, name: str) -> None:
        self._tell("DELETED", name, self.apps.pop(name))

    def listed(self) -> list[Json]:
        """The applications as lists show them: `lag` ago."""
        if not self.lag:
            return list(self.apps.values())
        at = self.clock.monotonic() - self.lag.total_seconds()
        shown = (self._at(entries, at) for entries in self._journal.values())
        return [app for app in shown if app is not None]

    def _at(self, entries: list[tuple[float, Json | None]], at: float) -> Json | None:
        seen = [app for when, app in entries if when <= at]
        return seen[-1] if seen else None

    def _tell(self, kind: str, name: str, app: Json) -> None:
        snapshot = copy.deepcopy(app)
        now = self.clock.monotonic()
        entries = self._journal.setdefault(name, [])
        entries.append((now, None if kind == "DELETED" else snapshot))
        del entries[:-200]
        event = Event(kind, snapshot, now + self.lag.total_seconds())
        for watch in self.watches:
            watch.put_nowait(event)


@dataclass
class Live:
    """What one application has in the cluster: its objects by (kind, namespace, name), and how far the rollout is.

    `serving` are the objects whose pods answer: they stay the old ones until the new are healthy.
    """

    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    serving: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    phase: str = "Missing"
    """Missing, Healthy, Progressing, Degraded: health as Argo CD reports it."""
    message: str = ""
    rollout: int = 0
    applied: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    """What the informers have seen: `objects` after the health lag. Images are reported from here."""


def key_of(manifest: Json, namespace: str) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return (manifest["kind"], metadata.get("namespace") or namespace, str(metadata.get("name")))


class Cluster:
    """What runs, by application: enough of a cluster to say which image answers for a Service."""

    def __init__(self) -> None:
        self.live: dict[str, Live] = {}

    def of(self, application: str) -> Live:
        return self.live.setdefault(application, Live())

    def remove(self, application: str) -> None:
        self.live.pop(application, None)

    def running(self, namespace: str, service: str) -> str | None:
        """The image that answers for a Service: of the workload with the labels that it selects."""
        for live in self.live.values():
            found = live.serving.get(("Service", namespace, service))
            selector = (found or {}).get("spec", {}).get("selector")
            if not selector:
                continue
            for (_, where, _), manifest in live.serving.items():
                template = manifest.get("spec", {}).get("template") or {}
                labels = (template.get("metadata") or {}).get("labels") or {}
                if where == namespace and selector.items() <= labels.items():
                    return next((image for image in pod_images(manifest)), None)
        return None


def pod_images(manifest: Json) -> Iterator[str]:
    """The images of a workload's containers, the first container's first."""
    spec = manifest.get("spec") or {}
    pod = spec if manifest.get("kind") == "Pod" else (spec.get("template") or {}).get("spec") or {}
    for container in pod.get("containers") or []:
        if container.get("image"):
            yield str(container["image"])
