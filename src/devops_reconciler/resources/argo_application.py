"""The Argo CD application of an environment, without what a deployment sets (`argo_release`)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import ValidationError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.argocd import outside_its_project
from ..services.argocd_view import ApplicationView
from .argo_project import Allowed, check_ours
from .argo_release import ArgoRelease
from .marks import ANNOTATION, ENVIRONMENT_LABEL, PROJECT_LABEL, mark_of
from .namespace import DestinationNamespace
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

FINALIZER = "resources-finalizer.argocd.argoproj.io"


class ArgoApplication(ExternalResource):
    """Application `<name>`. Owned: project, destination, automated sync, and the source unless it is released.

    A deployment sets repository, folder and commit at once: Argo CD refuses a patch after which it cannot render the
    manifests, so none of them moves by itself.
    """

    service: ClassVar[str] = "argocd"

    name: str
    project: str
    devops_project: str
    environment: str
    repo_url: str
    path: str
    target_revision: str
    server: str
    namespace: str
    release: dict[str, Any] = Field(default_factory=dict)
    """What the environment's holder had set (`Release.source_patch`): put back when the application is made anew."""
    pin: ArgoRelease | None = Field(default=None, exclude=True)
    """What a deployment sets: for another tool than before, it goes with the path at which that one's files are."""
    released: bool = False
    """A deployment has pinned the source to its commit: what the spec says of it since waits for the next one."""
    cascade: bool = True
    enters: DestinationNamespace | None = Field(default=None, exclude=True)
    """Where it goes, where nobody has looked at that before: asked before it goes there."""

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await self._find(world)
        if self.enters is not None and not self._is_there(found):
            await self.enters.check(world, me)
        if found is None:
            return ABSENT
        view = ApplicationView(found)
        owner = mark_of(view.annotations)
        return Observation(
            exists=True,
            owner=owner,
            kept="" if owner == me else self._kept(found),
            drift=self._drift(found),
            deleting=view.deleting,
            after=LOOK_AGAIN,
            message=_deleting(view),
            external_id=self.name,
            url=f"{world.settings.argocd_endpoint}/applications/{world.settings.argocd_namespace}/{self.name}",
            facts={"application": self.name},
        )

    def _is_there(self, app: dict[str, Any] | None) -> bool:
        return app is not None and ApplicationView(app).destination == (self.server, self.namespace)

    def _kept(self, app: dict[str, Any]) -> str:
        """Why it is not taken over: what no preview made would go with this one, and all that it has deployed."""
        made_for = ((app.get("metadata") or {}).get("labels") or {}).get(ENVIRONMENT_LABEL, PRODUCTION)
        if self.environment == PRODUCTION or made_for != PRODUCTION:
            return ""
        text = f"application {self.name} is there, and no preview made it, so no adoption takes it over"
        return f"{text}: it would go with this one; give the preview another name"

    def _drift(self, app: dict[str, Any]) -> tuple[str, ...]:
        spec = app.get("spec") or {}
        source, destination = spec.get("source") or {}, spec.get("destination") or {}
        pairs = {
            "project": (spec.get("project") or "default", self.project),
            **{name: (source.get(name), wanted) for name, wanted in self._manifests(source).items()},
            "server": (destination.get("server"), self.server),
            "namespace": (destination.get("namespace"), self.namespace),
        }
        drift = tuple(name for name, (there, wanted) in pairs.items() if there != wanted)
        return (*drift, "automated") if self._turns_automated(spec) else drift

    def _turns_automated(self, spec: dict[str, Any]) -> bool:
        """Whether automated sync is to be turned on or off between deployments.

        Off at once; on only where what has been deployed is in the source: Argo CD would sync without an image.
        """
        if self.pin is None or "syncPolicy" not in self.release or not self.pin.turns_automated(spec):
            return False
        return not self.pin.auto_sync or self.pin.is_in(spec.get("source") or {})

    def _manifests(self, there: dict[str, Any]) -> dict[str, str]:
        """Repository, folder and revision as we want them in the source that is `there`.

        Of one that a deployment has pinned only what belongs to its very commit: before a deployment has set its own,
        or where Argo CD has refused that, it would be refused here, too.
        """
        if not self.released:
            return {"repoURL": self.repo_url, "path": self.path, "targetRevision": self.target_revision}
        if self.pin is None or there.get("targetRevision") != self.pin.target_revision:
            return {}
        known = {"repoURL": self.pin.repo_url, "path": self.pin.path}
        return {name: value for name, value in known.items() if value is not None}

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await check_ours(world, self.project, me)
        spec: dict[str, Any] = {
            "project": self.project,
            "source": {**self._first_source(), **(self.release.get("source") or {})},
            "destination": {"server": self.server, "namespace": self.namespace},
        }
        if self.release.get("syncPolicy"):
            spec["syncPolicy"] = self.release["syncPolicy"]
        labels = {PROJECT_LABEL: self.devops_project, ENVIRONMENT_LABEL: self.environment}
        metadata = {
            "name": self.name,
            "annotations": {ANNOTATION: me},
            "labels": labels,
            "finalizers": [FINALIZER],
        }
        await world.argocd.create_application({"metadata": metadata, "spec": spec})

    def _first_source(self) -> dict[str, str]:
        """Where a deployment makes it: at once its commit, whose folder the head of the branch may not have.

        Not where the repository has changed since: the Argo CD project may not allow the one of before yet.
        """
        source = {"repoURL": self.repo_url, "path": self.path, "targetRevision": self.target_revision}
        if self.released and self.pin is not None and self.pin.repo_url == self.repo_url:
            source |= self.pin.manifests
        return source

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await check_ours(world, self.project, me)
        found = await self._find(world)
        now = (found or {}).get("spec") or {}
        there = now.get("source") or {}
        source: dict[str, Any] = self._manifests(there)
        if not self.released and self.pin is not None and self.pin.turns(there):
            source |= self.pin.tools_patch(there)
        spec: dict[str, Any] = {
            "project": self.project,
            "source": source,
            "destination": {"server": self.server, "namespace": self.namespace},
        }
        if self._turns_automated(now):
            spec["syncPolicy"] = self.release["syncPolicy"]
        patch = {"metadata": {"annotations": {ANNOTATION: me}}, "spec": spec}
        try:
            await world.argocd.patch_application(self.name, self._project_of(found), patch)
        except ValidationError as error:
            if not outside_its_project(error) or not await self._is_allowed(world):
                raise
            # What it judges by is a moment older than what it answers: the project was changed just before.
            raise Waiting(error.message, after=LOOK_AGAIN) from error

    async def _is_allowed(self, world: World) -> bool:
        found = await world.argocd.project(self.project)
        allowed = Allowed.by(found or {})
        return allowed.takes(self.repo_url) and allowed.goes(self.server, self.namespace)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        project = self._project_of(await self._find(world))
        if await world.argocd.project(project) is None:
            await self._give_back_project(world, me, project)
        await world.argocd.delete_application(self.name, project, cascade=self.cascade)

    def _project_of(self, found: dict[str, Any] | None) -> str:
        """The Argo CD project that it is in: another one where the spec has changed, or somebody moved it."""
        return ApplicationView(found).project if found is not None else self.project

    async def _find(self, world: World) -> dict[str, Any] | None:
        """Argo CD refuses every word by name about an application whose project is gone; its list has it still."""
        try:
            return await world.argocd.application(self.name, self.project)
        except Waiting:
            if await world.argocd.project(self.project) is not None:
                raise
        listed = await world.argocd.applications(name=self.name)
        return next((app for app in listed if (app.get("metadata") or {}).get("name") == self.name), None)

    async def _give_back_project(self, world: World, me: str, project: str) -> None:
        """Nor does it delete such an application: the project is made again, and goes after it (it has our mark).

        Raises Waiting for a preview: the project is of another owner, who makes it again.
        """
        if self.environment != PRODUCTION or project != self.project:
            text = f"argocd: project {project} is gone, and without it the application cannot be deleted"
            raise Waiting(text, after=LOOK_AGAIN, reason=Reason.DEPENDENCY_NOT_READY)
        place = {"server": self.server, "namespace": self.namespace}
        spec = {"description": "Made by devops-reconciler", "sourceRepos": [self.repo_url], "destinations": [place]}
        await world.argocd.create_project(
            {"metadata": {"name": project, "annotations": {ANNOTATION: me}}, "spec": spec}
        )


def _deleting(view: ApplicationView) -> str:
    if not view.deleting:
        return ""
    waits = ", ".join(view.finalizers) or "no finalizer"
    said = "; ".join(view.conditions)
    return f"Argo CD is deleting it (finalizers: {waits})" + (f": {said}" if said else "")
