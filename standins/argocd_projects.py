"""Projects of the stand-in: Kubernetes objects behind rights of their own."""

from __future__ import annotations

import copy

from .argocd_accounts import Session
from .argocd_compare import project_of
from .argocd_errors import invalid, not_found, stale
from .argocd_rules import compact, permitted_destination, permitted_source
from .argocd_state import IN_CLUSTER, Json, State

KIND = "appprojects"
DIFFERENT = "existing project spec is different; use upsert flag to force update"


class Projects:
    """The project service."""

    def __init__(self, state: State) -> None:
        self._state = state
        anything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
        self._state.projects["default"] = {"metadata": state.metadata({"name": "default"}), "spec": anything}

    def listed(self, session: Session) -> Json:
        items = [each for name, each in self._state.projects.items() if session.may("projects", "get", name)]
        return {"metadata": {"resourceVersion": self._state.version()}, "items": items}

    def get(self, session: Session, name: str) -> Json:
        session.must("projects", "get", name)
        if name not in self._state.projects:
            raise not_found(KIND, name)
        return self._state.projects[name]

    def create(self, session: Session, sent: Json | None, *, upsert: bool) -> Json:
        if not sent:
            raise invalid("missing payload 'project' in request")
        name = str((sent.get("metadata") or {}).get("name", ""))
        session.must("projects", "create", name)
        if not name:
            raise invalid("project metadata.name is required")
        new = {"metadata": self._state.metadata(sent["metadata"]), "spec": compact(sent.get("spec") or {})}
        existing = self._state.projects.get(name)
        if existing is None:
            self._state.projects[name] = new
            return new
        if existing["spec"] == new["spec"]:
            return existing
        if not upsert:
            raise invalid(DIFFERENT)
        session.must("projects", "update", name)
        existing["spec"] = new["spec"]
        return self._touched(existing)

    def update(self, session: Session, name: str, sent: Json | None) -> Json:
        """A Kubernetes update: everything is replaced, and the resourceVersion must be the last one."""
        if not sent:
            raise invalid("missing payload 'project' in request")
        session.must("projects", "update", name)
        existing = self._state.projects.get(name)
        if existing is None:
            raise not_found(KIND, name)
        spec = compact(sent.get("spec") or {})
        self._check_applications(name, existing, {"spec": spec})
        version = (sent.get("metadata") or {}).get("resourceVersion")
        if not version:
            text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            raise invalid(f'{KIND}.argoproj.io "{name}" is invalid: {text}')
        if version != existing["metadata"]["resourceVersion"]:
            raise stale(KIND, name)
        for field in ("labels", "annotations", "finalizers"):
            existing["metadata"].pop(field, None)
            if sent["metadata"].get(field):
                existing["metadata"][field] = sent["metadata"][field]
        existing["spec"] = spec
        return self._touched(existing)

    def delete(self, session: Session, name: str) -> Json:
        if name == "default":
            raise invalid("name 'default' is reserved and cannot be deleted")
        session.must("projects", "delete", name)
        if name not in self._state.projects:
            raise not_found(KIND, name)
        used = len(self._applications(name))
        if used:
            raise invalid(f"project is referenced by {used} applications")
        del self._state.projects[name]
        return {}

    def _applications(self, name: str) -> list[Json]:
        return [app for app in self._state.apps.values() if project_of(app) == name]

    def _check_applications(self, name: str, old: Json, new: Json) -> None:
        sources, destinations = 0, 0
        for app in self._applications(name):
            url = str((app["spec"].get("source") or {}).get("repoURL", ""))
            sources += permitted_source(old, url) and not permitted_source(new, url)
            destination = app["spec"].get("destination") or {}
            where = (str(destination.get("server") or IN_CLUSTER), str(destination.get("namespace", "")))
            destinations += permitted_destination(old, *where) and not permitted_destination(new, *where)
        parts = [f"{sources} applications source became invalid"] if sources else []
        parts += [f"{destinations} applications destination became invalid"] if destinations else []
        if parts:
            raise invalid(f"as a result of project update {' and '.join(parts)}")

    def _touched(self, project: Json) -> Json:
        project["metadata"]["resourceVersion"] = self._state.version()
        project["metadata"]["generation"] += 1
        return copy.deepcopy(project)
