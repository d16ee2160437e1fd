"""The Argo CD project: from which repositories and to which destinations the applications may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from ..api.errors import ConflictError, ValidationError
from ..engine.decide import whose
from ..engine.resource import ABSENT, Intent, Observation
from ..services.argocd import same_url
from ..services.argocd_view import ApplicationView
from .marks import ANNOTATION, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

NAMED = 5
"""How many of the applications in the way a message names."""


OWN = "default"
"""The project that Argo CD makes itself, for all applications, with all rights."""

HARMLESS = frozenset(
    {
        "description",
        "sourceRepos",
        "destinations",
        "clusterResourceBlacklist",
        "namespaceResourceBlacklist",
        "namespaceResourceWhitelist",
        "orphanedResources",
        "permitOnlyProjectScopedClusters",
        "signatureKeys",
        "syncWindows",
    }
)
"""Fields of a spec that we write, or that only forbid: what else stands in one gives rights that ours has not."""


@dataclass(frozen=True)
class Allowed:
    """What an AppProject allows, as far as we would keep it: with refusals (`!…`) of somebody else's in it, nothing."""

    repos: frozenset[str]
    places: frozenset[tuple[str, str]]
    """Pairs of server and namespace (patterns)."""

    @classmethod
    def by(cls, project: Mapping[str, Any]) -> Allowed:
        spec = project.get("spec") or {}
        places = ((str(d.get("server", "")), str(d.get("namespace", ""))) for d in spec.get("destinations") or ())
        return cls(frozenset(spec.get("sourceRepos") or ()), frozenset(places))

    @property
    def fields(self) -> dict[str, Any]:
        """As Argo CD has it."""
        places = [{"server": server, "namespace": namespace} for server, namespace in sorted(self.places)]
        return {"sourceRepos": sorted(self.repos), "destinations": places}

    def takes(self, url: str) -> bool:
        """Whether an application may have this repository."""
        return not self._refuses and any(each == "*" or same_url(each, url) for each in self.repos)

    def goes(self, server: str, namespace: str) -> bool:
        """Whether an application may go there."""
        fits = any(fnmatchcase(server, where) and fnmatchcase(namespace, space) for where, space in self.places)
        return not self._refuses and bool(server) and (fits or (server, namespace) in self.places)

    @property
    def _refuses(self) -> bool:
        return any(each.startswith("!") for each in (*self.repos, *(part for place in self.places for part in place)))


class ArgoProject(ExternalResource):
    """AppProject `<name>`, restricted to its own repositories and destinations.

    After a change of the spec also to those where applications of ours in it still are: Argo CD refuses an update that
    takes them away from under an application. They go when the application has moved, or gone.
    """

    service: ClassVar[str] = "argocd"

    name: str
    source_repos: tuple[str, ...]
    destinations: tuple[tuple[str, str], ...]
    """Pairs of server and namespace (patterns)."""

    @property
    def key(self) -> str:
        return self.name

    @property
    def _allowed(self) -> Allowed:
        return Allowed(frozenset(self.source_repos), frozenset(self.destinations))

    async def _allowed_now(self, world: World, me: str, there: Allowed) -> Allowed:
        """What the spec wants, and what our applications in it use of what is `there`. Nothing is added for them: who
        can edit an application cannot widen its project."""
        wanted = self._allowed
        if there.repos <= wanted.repos and there.places <= wanted.places:
            return wanted
        repos, places = set(wanted.repos), set(wanted.places)
        for app in await world.argocd.applications(project=self.name):
            view = ApplicationView(app)
            if mark_of(view.annotations) != me:
                continue
            if there.takes(view.repo_url) and not wanted.takes(view.repo_url):
                repos.add(view.repo_url)
            if there.goes(*view.destination) and not wanted.goes(*view.destination):
                places.add(view.destination)
        return Allowed(frozenset(repos), frozenset(places))

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.argocd.project(self.name)
        if found is None:
            return ABSENT
        metadata, there = found.get("metadata") or {}, Allowed.by(found)
        owner = mark_of(metadata.get("annotations"))
        wanted = await self._allowed_now(world, me, there) if owner == me else self._allowed
        drift = [] if there.repos == wanted.repos else ["sourceRepos"]
        drift += [] if there.places == wanted.places else ["destinations"]
        return Observation(
            exists=True,
            owner=owner,
            kept="" if owner == me else _kept(self.name, found),
            drift=tuple(drift),
            interim=wanted != self._allowed,
            deleting=bool(metadata.get("deletionTimestamp")),
            after=LOOK_AGAIN,
            external_id=self.name,
        )

    async def create(self, world: World, me: str, seen: Observation) -> None:
        spec = {"description": "Made by devops-reconciler", **self._allowed.fields}
        await world.argocd.create_project(
            {"metadata": {"name": self.name, "annotations": {ANNOTATION: me}}, "spec": spec}
        )

    async def update(self, world: World, me: str, seen: Observation) -> None:
        found = await world.argocd.project(self.name)
        if found is None:
            return
        metadata = found.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: me}
        wanted = await self._allowed_now(world, me, Allowed.by(found))
        found["spec"] = {**(found.get("spec") or {}), **wanted.fields}
        try:
            await world.argocd.update_project(found)
        except ValidationError as error:
            apps = await world.argocd.applications(project=self.name)
            theirs = [str(app["metadata"]["name"]) for app in apps if mark_of(ApplicationView(app).annotations) != me]
            if "as a result of project update" not in error.unhidden or not theirs:
                raise
            raise ConflictError(
                f"{error.message}. Not ours are in it: {_named(theirs)}. Move or delete them"
            ) from error

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Raises ConflictError while applications are in it: Argo CD refuses then, without saying which."""
        inside = [str(app["metadata"]["name"]) for app in await world.argocd.applications(project=self.name)]
        if inside:
            raise ConflictError(
                f"argocd: project {self.name} is not deleted, since applications are in it: "
                f"{_named(inside)}. Move or delete them; a preview moves with its next deployment"
            )
        await world.argocd.delete_project(self.name)


def _kept(name: str, project: Mapping[str, Any]) -> str:
    """Why it is not taken over: an update changes only what we write, and all else that it gives would be ours."""
    instead = "name another one in argo.project, or none: then it is made for this project"
    if name == OWN:
        return f"Argo CD's own project {OWN} is for all applications, and no adoption takes it over; {instead}"
    more = sorted(field for field, value in (project.get("spec") or {}).items() if value and field not in HARMLESS)
    # By its labels a project gets what a global one has.
    more += ["labels"] if (project.get("metadata") or {}).get("labels") else []
    if not more:
        return ""
    text = f"Argo CD project {name} is not ours and has more than ours would have ({', '.join(more)})"
    return f"{text}, so no adoption takes it over; {instead}, or take that out of it first"


async def check_ours(world: World, name: str, me: str) -> None:
    """Raises ConflictError for an Argo CD project without our mark: what it allows is what an application may do.

    Who writes an application asks, since nobody else has for sure: the ArgoSettings that refuses such a project may be
    paused, or not have seen the spec of this moment. Into one that is not there Argo CD puts nothing.
    """
    found = await world.argocd.project(name)
    owner = mark_of((found.get("metadata") or {}).get("annotations")) if found is not None else me
    if owner != me:
        raise ConflictError(
            f"argocd: Argo CD project {name} carries {whose(owner)}, so no application of ours is put into it; correct "
            "argo.project, or let ArgoSettings take it over (adoption), and deploy again when that is Ready"
        )


def _named(applications: list[str]) -> str:
    return ", ".join(sorted(applications)[:NAMED])


class ArgoProjectRemoval(ArgoProject):
    """The same project, looked at for its removal: it goes after its applications, which cannot go without it."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        if seen.exists or not await world.argocd.applications(project=self.name):
            return seen
        message = "it is gone before its applications, and is made again for their deletion"
        return Observation(exists=True, owner=me, deleting=True, message=message, after=LOOK_AGAIN)
