"""Applications of the stand-in: list, get, create, replace, patch, sync, terminate, delete, resource tree."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Mapping
from datetime import timedelta

from .argocd_accounts import Session
from .argocd_compare import project_of, tree
from .argocd_controller import FINALIZER, REFRESH, Controller, set_operation
from .argocd_errors import (
    FAILED_PRECONDITION,
    INTERNAL,
    PERMISSION_DENIED,
    UNKNOWN,
    GrpcError,
    denied,
    invalid,
    not_found,
)
from .argocd_git import SourceError
from .argocd_patch import patched
from .argocd_rules import Rules, normal_spec
from .argocd_state import Event, Json

KIND = "applications"
BUSY = "another operation is already in progress"
DIFFERENT = "existing application spec is different, use upsert flag to force update"
Query = Mapping[str, str]


class Applications:
    """The application service. Every method takes who asks first, and raises GrpcError."""

    def __init__(self, controller: Controller, rules: Rules) -> None:
        self._controller = controller
        self._state = controller.state
        self._rules = rules
        self.closed_windows: set[str] = set()
        """Projects whose sync window is closed now."""
        self.refresh_deadline = timedelta(seconds=5)

    def find(self, session: Session, action: str, name: str, project: str) -> Json:
        """The application, or Argo CD's answer: 403 for everything unless the project is named and permitted."""
        if project and not session.may(KIND, action, f"{project}/{name}"):
            raise denied()
        hidden = not_found(KIND, name) if project else denied()
        app = self._state.apps.get(name)
        if app is None or not session.may(KIND, action, f"{project_of(app)}/{name}"):
            raise hidden
        if project and project_of(app) != project:
            raise hidden
        self._rules.project(project_of(app))
        return app

    def list(self, session: Session, query: Query, projects: list[str]) -> Json:
        """What may be seen; `items` is null when there is nothing."""
        items = [app for app in self._state.listed() if visible(session, app, query, projects)]
        return {"metadata": {"resourceVersion": self._state.version()}, "items": items or None}

    async def get(self, session: Session, name: str, query: Query) -> Json:
        app = self.find(session, "get", name, query.get("project") or query.get("projects", ""))
        if query.get("refresh"):
            return await self._refreshed(name, "hard" if query["refresh"] == "hard" else "normal")
        return app

    async def _refreshed(self, name: str, kind: str) -> Json:
        """Blocks until the controller has taken the annotation off again."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._state.watches.add(events)
        try:
            self._state.change(name, lambda app: app["metadata"].setdefault("annotations", {}).update({REFRESH: kind}))
            self._controller.refresh(name)
            waits = (asyncio.create_task(_clean(events, name)), asyncio.create_task(self._deadline()))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
        finally:
            self._state.watches.discard(events)
        app = self._state.apps.get(name)
        if app is None:
            raise not_found(KIND, name)
        if REFRESH in app["metadata"].get("annotations", {}):
            raise GrpcError(UNKNOWN, "application refresh deadline exceeded")
        return app

    async def _deadline(self) -> None:
        await self._state.clock.sleep(self.refresh_deadline)

    async def create(self, session: Session, sent: Json, *, upsert: bool, validate: bool) -> Json:
        app = {
            "metadata": self._state.metadata(sent.get("metadata") or {}),
            "spec": normal_spec(sent.get("spec") or {}),
        }
        app |= {"status": {}}
        name = str(app["metadata"].get("name", ""))
        session.must(KIND, "create", f"{project_of(app)}/{name}")
        self._rules.project(project_of(app))
        await self._rules.check(app, validate=validate)
        existing = self._state.apps.get(name)
        if existing is None:
            self._state.add_app(app)
            self._controller.begin(name)
            return app
        if _same(existing, app):
            return existing
        if not upsert:
            raise invalid(DIFFERENT)
        session.must(KIND, "update", f"{project_of(app)}/{name}")
        return self._store(name, app, merge=True)

    async def replace(self, session: Session, name: str, sent: Json, query: Query) -> Json:
        app = {"metadata": {**(sent.get("metadata") or {}), "name": name}, "spec": normal_spec(sent.get("spec") or {})}
        self.find(session, "update", name, query.get("project") or project_of(app))
        await self._rules.check(app, validate=query.get("validate") != "false")
        return self._store(name, app, merge=False)

    async def patch(self, session: Session, name: str, body: Json) -> Json:
        for required in ("patch", "patchType"):
            if required not in body:
                raise GrpcError(INTERNAL, f'grpc: error while marshaling: proto: required field "{required}" not set')
        app = self.find(session, "update", name, str(body.get("project", "")))
        wanted = patched(app, str(body.get("patchType", "")), str(body.get("patch", "")))
        wanted["spec"] = normal_spec(wanted.get("spec") or {})
        if project_of(wanted) != project_of(app):
            session.must(KIND, "create", f"{project_of(wanted)}/{name}")
        await self._rules.check(wanted, validate=True)
        return self._store(name, wanted, merge=False)

    def _store(self, name: str, wanted: Json, *, merge: bool) -> Json:
        """Keep spec and finalizers of `wanted`, and its labels and annotations: merged, or as they are."""
        if name not in self._state.apps:
            raise not_found(KIND, name)

        def edit(app: Json) -> None:
            app["spec"] = wanted["spec"]
            metadata, sent = app["metadata"], wanted["metadata"]
            for field in ("labels", "annotations"):
                kept = {**metadata.get(field, {}), **(sent.get(field) or {})} if merge else sent.get(field)
                _set(metadata, field, kept)
            _set(metadata, "finalizers", sent.get("finalizers"))

        app = self._state.change(name, edit)
        self._controller.refresh(name)
        return app

    async def sync(self, session: Session, name: str, body: Json) -> Json:
        app = self.find(session, "get", name, str(body.get("project", "")))
        project = project_of(app)
        if project in self.closed_windows:
            raise GrpcError(PERMISSION_DENIED, "cannot sync: blocked by sync window")
        session.must(KIND, "sync", f"{project}/{name}")
        if "deletionTimestamp" in app["metadata"]:
            raise GrpcError(FAILED_PRECONDITION, "application is deleting")
        asked, target = (
            str(body.get("revision", "")),
            str((app["spec"].get("source") or {}).get("targetRevision") or "HEAD"),
        )
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        if automated is not None and automated.get("enabled") is not False and asked not in ("", target):
            text = f"Cannot sync to {asked}: auto-sync currently set to {target}"
            raise GrpcError(FAILED_PRECONDITION, text)
        try:
            commit = await self._controller.sources.resolve(app, asked)
        except SourceError as error:
            raise GrpcError(FAILED_PRECONDITION, f"rpc error: code = Unknown desc = {error}") from error
        if app.get("operation"):
            raise GrpcError(FAILED_PRECONDITION, BUSY)
        order = {"revision": commit, "syncStrategy": body.get("strategy") or {"hook": {}}}
        order |= {"prune": True} if body.get("prune") else {}
        operation = {"sync": order, "initiatedBy": {"username": session.account.name}}
        operation |= {"retry": body["retryStrategy"]} if body.get("retryStrategy") else {"retry": {}}
        operation |= {"info": body["infos"]} if body.get("infos") else {}
        self._state.change(name, lambda each: set_operation(each, operation))
        answer = copy.deepcopy(app)
        self._controller.wake(name)
        return answer

    def terminate(self, session: Session, name: str, project: str) -> Json:
        app = self.find(session, "sync", name, project)
        if not app.get("operation") or not app["status"].get("operationState"):
            raise invalid("Unable to terminate operation. No operation is in progress")
        self._state.change(name, lambda each: each["status"]["operationState"].update(phase="Terminating"))
        self._controller.wake(name)
        return {}

    def delete(self, session: Session, name: str, query: Query) -> Json:
        app = self.find(session, "delete", name, query.get("project", ""))
        cascade, policy = query.get("cascade") != "false", query.get("propagationPolicy", "")
        if policy and not cascade:
            raise invalid("cannot set propagation policy when cascading is disabled")
        if policy not in ("", "foreground", "background", "orphan"):
            raise invalid(f"invalid propagation policy: {policy}")
        finalizer = FINALIZER + (f"/{policy}" if policy == "background" else "")
        kept = [item for item in app["metadata"].get("finalizers", []) if cascade or not item.startswith(FINALIZER)]
        if cascade and not any(item.startswith(FINALIZER) for item in kept):
            kept.append(finalizer)

        def edit(each: Json) -> None:
            _set(each["metadata"], "finalizers", kept)
            each["metadata"].setdefault("deletionTimestamp", self._state.now())

        self._state.change(name, edit)
        self._controller.wake(name)
        return {}

    def tree(self, session: Session, name: str, project: str) -> Json:
        app = self.find(session, "get", name, project)
        return tree(app, self._controller.cluster.of(name))


def visible(session: Session, app: Json, query: Query, projects: list[str]) -> bool:
    """Whether a list or a watch shows this application."""
    name = app["metadata"]["name"]
    if query.get("name") and name != query["name"]:
        return False
    if projects and project_of(app) not in projects:
        return False
    if not _selected(app["metadata"].get("labels") or {}, query.get("selector", "")):
        return False
    return session.may(KIND, "get", f"{project_of(app)}/{name}")


def _selected(labels: Mapping[str, str], selector: str) -> bool:
    for term in filter(None, (part.strip() for part in selector.split(","))):
        if "!=" in term:
            name, _, value = term.partition("!=")
            if labels.get(name.strip()) == value.strip():
                return False
        elif "=" in term:
            name, _, value = term.replace("==", "=").partition("=")
            if labels.get(name.strip()) != value.strip():
                return False
        elif (term.lstrip("!") in labels) == term.startswith("!"):
            return False
    return True


async def _clean(events: asyncio.Queue[Event | None], name: str) -> None:
    """Until a change of the application shows it gone or without the refresh annotation."""
    while True:
        event = await events.get()
        if event is None or event.application["metadata"]["name"] != name:
            continue
        if event.kind == "DELETED" or REFRESH not in event.application["metadata"].get("annotations", {}):
            return


def _same(one: Json, other: Json) -> bool:
    fields = ("labels", "annotations", "finalizers")
    return one["spec"] == other["spec"] and all(
        (one["metadata"].get(field) or None) == (other["metadata"].get(field) or None) for field in fields
    )


def _set(metadata: Json, field: str, value: object) -> None:
    if value:
        metadata[field] = value
    else:
        with contextlib.suppress(KeyError):
            del metadata[field]
