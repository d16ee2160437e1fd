"""What the stand-in Argo CD checks and straightens before it keeps an application."""

from __future__ import annotations

import fnmatch
from typing import Any

from .argocd_compare import comparison_error, plain_url
from .argocd_controller import Controller
from .argocd_errors import UNKNOWN, GrpcError, invalid
from .argocd_git import SourceError, UnreachableError
from .argocd_render import explicit_types
from .argocd_state import Json

OBJECT_FIELDS = ("kustomize", "helm", "directory", "plugin")
"""Parts of a source that Argo CD takes out when nothing is left in them."""
POINTERS = frozenset({"enabled", "prune", "selfHeal", "allowEmpty"})
"""Fields that keep a false or empty value."""


def compact(value: Any) -> Any:
    """A spec as Go writes it: null, false, zero, empty text and empty lists are not there, empty objects are."""
    if isinstance(value, dict):
        return {
            key: compact(item)
            for key, item in value.items()
            if key in POINTERS or (item not in (None, False, "", 0) and item != [])
        }
    return [compact(item) for item in value] if isinstance(value, list) else value


def normal_spec(spec: Json) -> Json:
    """The spec as it is kept and read back: it need not be what was sent."""
    found: Json = compact(spec)
    found["project"] = found.get("project") or "default"
    found.setdefault("destination", {})
    source = found.get("source")
    if isinstance(source, dict):
        for field in OBJECT_FIELDS:
            if field in source and not source[field]:
                del source[field]
    return found


def no_project(name: str) -> GrpcError:
    return invalid(f'app is not allowed in project "{name}", or the project does not exist')


def permitted_source(project: Json, url: str) -> bool:
    patterns = project["spec"].get("sourceRepos") or []
    allowed = [plain_url(item) for item in patterns if not item.startswith("!")]
    refused = [plain_url(item[1:]) for item in patterns if item.startswith("!")]
    return _any(plain_url(url), allowed) and not _any(plain_url(url), refused)


def permitted_destination(project: Json, server: str, namespace: str) -> bool:
    allowed = False
    for item in project["spec"].get("destinations") or []:
        where, space = str(item.get("server") or item.get("name") or ""), str(item.get("namespace") or "")
        refusing = where.startswith("!") or space.startswith("!")
        if _any(server, [where.removeprefix("!")]) and _any(namespace, [space.removeprefix("!")]):
            if refusing:
                return False
            allowed = True
    return allowed


def _any(text: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


class Rules:
    """The checks, in Argo CD's order and words."""

    def __init__(self, controller: Controller, clusters: dict[str, str]) -> None:
        self._controller = controller
        self._state = controller.state
        self.clusters = clusters
        """Names of the known clusters by server address."""

    def project(self, name: str) -> Json:
        found = self._state.projects.get(name)
        if found is None:
            raise no_project(name)
        return found

    async def check(self, app: Json, *, validate: bool) -> None:
        name, spec = app["metadata"].get("name"), app["spec"]
        if not name:
            raise invalid("application metadata.name is required")
        project = self.project(spec["project"])
        server = self._server(name, spec.get("destination") or {})
        if validate:
            await self._check_source(app)
        self._check_permissions(name, spec, project, server)

    def _server(self, name: str, destination: Json) -> str:
        server, cluster = str(destination.get("server", "")), str(destination.get("name", ""))
        begin = f"application destination spec for {name} is invalid: "
        if server and cluster:
            raise invalid(f"{begin}application destination can't have both name and server defined: {cluster} {server}")
        if not server and not cluster:
            raise invalid(f"{begin}destination server missing from app spec")
        if server and server not in self.clusters:
            raise invalid(f'{begin}error getting cluster by server "{server}": cluster "{server}" not found')
        found = next((url for url, known in self.clusters.items() if known == cluster), server)
        if not found:
            raise invalid(f"{begin}unable to find destination server: there are no clusters with this name: {cluster}")
        return found

    async def _check_source(self, app: Json) -> None:
        source = app["spec"].get("source") or {}
        if not source.get("repoURL"):
            raise _bad_spec(app, "spec.source.repoURL is required")
        try:
            explicit_types(source)
        except SourceError as error:
            text = f"error validating the repo: error verifying source type: {error}"
            raise GrpcError(UNKNOWN, text) from error
        try:
            await self._controller.sources.render(app)
        except UnreachableError as error:
            raise _bad_spec(app, f"repository not accessible: rpc error: code = Unknown desc = {error}") from error
        except SourceError as error:
            path = source.get("path", "")
            raise _bad_spec(app, f"Unable to generate manifests in {path}: {comparison_error(error)}") from error

    def _check_permissions(self, name: str, spec: Json, project: Json, server: str) -> None:
        problems = []
        url, namespace = (
            str((spec.get("source") or {}).get("repoURL", "")),
            str(spec["destination"].get("namespace", "")),
        )
        owner = project["metadata"]["name"]
        if not url:
            problems.append("spec.source.repoURL and either source.path, source.chart, or source.ref are required")
        elif not permitted_source(project, url):
            problems.append(f"application repo {url} is not permitted in project '{owner}'")
        if not permitted_destination(project, server, namespace):
            text = f"application destination server '{server}' and namespace '{namespace}' do not match any of the"
            problems.append(f"{text} allowed destinations in project '{owner}'")
        if problems:
            text = "; ".join(f"InvalidSpecError: {problem}" for problem in problems)
            raise invalid(f"application spec for {name} is invalid: {text}")


def _bad_spec(app: Json, why: str) -> GrpcError:
    return invalid(f"application spec for {app['metadata']['name']} is invalid: InvalidSpecError: {why}")
