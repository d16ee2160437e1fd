"""An Argo CD in memory: applications whose syncs take their time, projects, repositories."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ConflictError, ValidationError, Waiting
from devops_reconciler.runtime.clock import Clock
from devops_reconciler.services.argocd import same_url
from standins.argocd_rules import permitted_destination, permitted_source

from .kubernetes import merged
from .line import Line, Service, call

Json = dict[str, Any]


class FakeArgo(Service):
    """A sync ends after `sync_time` with `phase`; the application is judged in the same second, as `health`."""

    name = "argocd"

    def __init__(self, line: Line, clock: Clock) -> None:
        super().__init__(line)
        self.apps: dict[str, Json] = {}
        self.app_projects: dict[str, Json] = {}
        self.repos: list[Json] = []
        self.refused: set[str] = set()
        """Passwords with which a repository cannot be read."""
        self.syncs: list[str] = []
        self.tree: Json = {"nodes": []}
        self.sync_time = timedelta(0)
        self.begins = True
        """Operations that are asked for have begun: before that, none can be told to stop."""
        self.terminating_time = timedelta(0)
        """How long an operation takes to stop after it was told to."""
        self.phase = "Succeeded"
        self.message = "successfully synced"
        self.health = "Healthy"
        self.slow_deletion = False
        """Deleted applications stay, with their finalizers, until `finish`."""
        self.commits: dict[str, dict[str, str]] = {}
        """By repository, the revisions that it has; of others nothing is known."""
        self.folders: dict[str, set[str]] = {}
        """By commit, the folders with manifests in it; one that is not named here has all."""
        self.follows_source = True
        """The live images are those of the source."""
        self._lost: set[str] = set()
        self._clock = clock
        self._ends: dict[str, datetime] = {}
        self._terminated: set[str] = set()

    def finish(self, name: str) -> None:
        self.apps.pop(name, None)

    def app(self, name: str) -> Json:
        self._tick()
        return self.apps[name]

    def _tick(self) -> None:
        now = self._clock.now()
        for name, end in list(self._ends.items()):
            app = self.apps.get(name)
            if app is None or now < end:
                continue
            del self._ends[name]
            operation = app.pop("operation")
            status = app.setdefault("status", {})
            stopped = name in self._terminated
            self._terminated.discard(name)
            status["operationState"] = {
                "phase": "Failed" if stopped else self.phase,
                "message": "Operation terminated" if stopped else self.message,
                "operation": operation,
                "startedAt": _time(end - self.sync_time),
                "finishedAt": _time(end),
                "syncResult": {"revision": app["spec"]["source"].get("targetRevision", "")},
            }
            self.judge(name)

    def judge(self, name: str) -> None:
        """Argo CD compares the application now."""
        app = self.apps[name]
        status = app.setdefault("status", {})
        status["reconciledAt"] = _time(self._clock.now())
        status["sync"] = {"status": "Synced"}
        status["health"] = {"status": self.health}
        if self.follows_source:
            source = app["spec"]["source"]
            overrides = (source.get("kustomize") or {}).get("images") or []
            images = [item.partition("=")[2] or item for item in overrides]
            parameters = (source.get("helm") or {}).get("parameters") or []
            set_ = {item["name"]: item["value"] for item in parameters}
            if "image.digest" in set_:
                images.append(f"{set_['image.repository']}@{set_['image.digest']}")
            status["summary"] = {"images": images}

    def lose_project(self, name: str) -> None:
        """Somebody removes the project under its applications: nothing is told of them by name any more."""
        del self.app_projects[name]
        self._lost.add(name)

    def _admit(self, project: str) -> None:
        if project in self._lost and project not in self.app_projects:
            text = f'app is not allowed in project "{project}", or the project does not exist'
            raise Waiting(text, after=timedelta(seconds=5), reason=Reason.DEPENDENCY_NOT_READY)

    def _render(self, app: Json) -> None:
        source = app["spec"].get("source") or {}
        revision = str(source.get("targetRevision"))
        folders = self.folders.get(revision)
        path, known = source.get("path"), self.commits.get(str(source.get("repoURL")))
        text = f"Unable to generate manifests in {path}: "
        if known is not None and revision not in known:
            text += f"unable to resolve '{revision}' to a commit SHA"
        elif folders is not None and path not in folders:
            text += "app path does not exist"
        else:
            return
        raise ValidationError(f"argocd: application spec is invalid: InvalidSpecError: {text}", status=400)

    def _permit(self, app: Json) -> None:
        """By the project, where the test has one."""
        name = app["spec"].get("project")
        if name not in self.app_projects:
            return
        source, destination = _permitted(self.app_projects[name], app)
        parts = [] if source else [f"application repo is not permitted in project '{name}'"]
        parts += [] if destination else [f"do not match any of the allowed destinations in project '{name}'"]
        if parts:
            raise ValidationError(f"argocd: application spec is invalid: {'; '.join(parts)}", status=400)

    def _check_update(self, old: Json, new: Json) -> None:
        name = new["metadata"]["name"]
        lost = [0, 0]
        for app in self.apps.values():
            if app["spec"].get("project") == name:
                now = zip(_permitted(old, app), _permitted(new, app), strict=True)
                lost = [count + (was and not still) for count, (was, still) in zip(lost, now, strict=True)]
        if any(lost):
            text = f"{lost[0]} applications source and {lost[1]} applications destination became invalid"
            raise ValidationError(f"argocd: as a result of project update {text}", status=400)

    @call
    async def applications(
        self, project: str | None = None, selector: str | None = None, *, name: str | None = None
    ) -> list[Json]:
        self._tick()
        key, _, value = (selector or "").partition("=")
        found = [app for app in self.apps.values() if project in (None, app["spec"].get("project"))]
        found = [app for app in found if not key or (app["metadata"].get("labels") or {}).get(key) == value]
        return copy.deepcopy([app for app in found if name in (None, app["metadata"]["name"])])

    @call
    async def application(self, name: str, project: str) -> Json | None:
        self._tick()
        self._admit(project)
        return copy.deepcopy(self.apps.get(name))

    @call
    async def create_application(self, app: Json) -> Json:
        name = app["metadata"]["name"]
        if name in self.apps:
            raise ConflictError(f"application {name} is there and is different", status=400)
        self._render(app)
        self._permit(app)
        self.apps[name] = copy.deepcopy(app)
        return copy.deepcopy(app)

    @call
    async def patch_application(self, name: str, project: str, merge: Json) -> Json | None:
        there = self.apps.get(name)
        if there is None or there["spec"].get("project") != project:
            return None
        patched = merged(there, merge)
        tools = [kind for kind in ("kustomize", "helm", "directory") if (patched["spec"].get("source") or {}).get(kind)]
        if len(tools) > 1:
            raise ValidationError(f"argocd: multiple application sources defined: {','.join(tools)}")
        self._render(patched)
        self._permit(patched)
        self.apps[name] = patched
        return copy.deepcopy(self.apps[name])

    @call
    async def delete_application(self, name: str, project: str, *, cascade: bool = True) -> None:
        self._admit(project)
        there = self.apps.get(name)
        if there is None or there["spec"].get("project") != project:
            return
        if self.slow_deletion:
            there["metadata"]["deletionTimestamp"] = _time(self._clock.now())
        else:
            self.finish(name)

    @call
    async def sync(
        self,
        name: str,
        project: str,
        *,
        revision: str | None = None,
        prune: bool = True,
        retry: Json | None = None,
        infos: Mapping[str, str] | None = None,
    ) -> Json | None:
        self._tick()
        app = self.apps.get(name)
        if app is None:
            return None
        if app.get("operation"):
            raise Waiting("another operation is already in progress", after=timedelta(seconds=5))
        self.syncs.append((infos or {}).get("deployment", ""))
        app["operation"] = {"sync": {}, "info": [{"name": k, "value": v} for k, v in (infos or {}).items()]}
        started = _time(self._clock.now())
        app.setdefault("status", {})["operationState"] = {
            "phase": "Running",
            "startedAt": started,
            "operation": app["operation"],
        }
        self._ends[name] = self._clock.now() + self.sync_time
        return copy.deepcopy(app)

    def sync_by_itself(self, name: str) -> None:
        """Automated sync begins an operation for what the source says now."""
        source = copy.deepcopy(self.apps[name]["spec"]["source"])
        revision = source.get("targetRevision", "")
        order = {"sync": {"revision": revision}, "initiatedBy": {"automated": True}}
        self.apps[name]["operation"] = order
        self.apps[name].setdefault("status", {})["operationState"] = {
            "phase": "Running",
            "startedAt": _time(self._clock.now()),
            "operation": order,
            "syncResult": {"revision": revision, "source": source},
        }
        self._ends[name] = self._clock.now() + self.sync_time

    @call
    async def terminate_operation(self, name: str, project: str) -> bool:
        app = self.apps[name]
        if not app.get("operation") or not self.begins:
            return False
        app["status"]["operationState"]["phase"] = "Terminating"
        self._terminated.add(name)
        self._ends[name] = self._clock.now() + self.terminating_time
        return True

    @call
    async def refresh(self, name: str, project: str, hard: bool = True) -> Json | None:
        if name in self.apps:
            self.judge(name)
        return copy.deepcopy(self.apps.get(name))

    @call
    async def resource_tree(self, name: str, project: str) -> Json | None:
        return copy.deepcopy(self.tree)

    @call
    async def project(self, name: str) -> Json | None:
        return copy.deepcopy(self.app_projects.get(name))

    @call
    async def projects(self) -> list[Json]:
        return copy.deepcopy([*self.app_projects.values()])

    @call
    async def create_project(self, project: Json) -> Json:
        self.app_projects[project["metadata"]["name"]] = copy.deepcopy(project)
        return project

    @call
    async def update_project(self, project: Json) -> Json | None:
        name = project["metadata"]["name"]
        if name not in self.app_projects:
            return None
        self._check_update(self.app_projects[name], project)
        self.app_projects[name] = copy.deepcopy(project)
        return project

    @call
    async def delete_project(self, name: str) -> None:
        inside = [app for app in self.apps.values() if app["spec"].get("project") == name]
        if inside:
            raise ValidationError(f"argocd: project is referenced by {len(inside)} applications", status=400)
        self.app_projects.pop(name, None)

    @call
    async def repositories(self) -> list[Json]:
        return [{k: v for k, v in repo.items() if k != "password"} for repo in self.repos if not repo.get("project")]

    @call
    async def repository(self, url: str) -> Json | None:
        found = self._for_all(url)
        return {k: v for k, v in found.items() if k != "password"} if found else None

    @call
    async def create_repository(self, repo: Json, upsert: bool = False) -> Json:
        if self._for_all(repo["repo"]) is not None:
            raise ConflictError("existing repository spec is different", status=400)
        self.repos.append(copy.deepcopy(repo))
        return repo

    @call
    async def update_repository(self, repo: Json) -> Json | None:
        known = self._for_all(repo["repo"])
        if known is None:
            return None
        state = known.get("connectionState")
        known.clear()
        known.update(copy.deepcopy(repo), connectionState=state)
        return repo

    @call
    async def retest_repository(self, url: str) -> None:
        for repo in self.repos:
            if same_url(repo["repo"], url):
                refused = repo.get("password") in self.refused
                repo["connectionState"] = {"status": "Failed", "message": "Unable to connect"} if refused else {}

    @call
    async def delete_repository(self, url: str) -> None:
        known = self._for_all(url)
        self.repos = [repo for repo in self.repos if repo is not known]

    def _for_all(self, url: str) -> Json | None:
        """The one with this URL that is not of one project alone."""
        return next((each for each in self.repos if same_url(each["repo"], url) and not each.get("project")), None)


def _permitted(project: Json, app: Json) -> tuple[bool, bool]:
    """Whether a project allows the source and the destination of an application."""
    source, destination = app["spec"].get("source") or {}, app["spec"].get("destination") or {}
    where = (str(destination.get("server", "")), str(destination.get("namespace", "")))
    whole = {"spec": project.get("spec") or {}}
    return permitted_source(whole, str(source.get("repoURL", ""))), permitted_destination(whole, *where)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
