"""Argo CD's API, in its own words: applications, projects and repositories as the JSON objects that Argo CD keeps.

Source: Argo CD server/application, server/project, server/repository and its swagger. The project is part of every
call on an application: without it Argo CD answers 403 for what is not there, and a 403 never means absent. All methods
raise ExternalServiceError, CredentialsError (401, 403), ValidationError (other refusals, Argo CD's gRPC code in `code`
and its words in `details["message"]`), ConflictError (another thing has the name, or a stale resourceVersion) and
Waiting: an operation runs already, the application is being deleted, a sync window is closed, or the application's
project is not there (DependencyNotReady).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any, NamedTuple

from ..api.errors import CredentialsError, ExternalServiceError, ReconcilerError, Refused, Waiting
from ..api.plain_text import one_line
from ..runtime.logs import get_logger
from .argocd_auth import Auth, SessionAuth, TokenAuth
from .argocd_calls import BUSY_AFTER, Calls, Json, Query, flag, mixed_source, path_of, unreadable_repository
from .argocd_stream import watch_events
from .argocd_view import HiddenText
from .http import DETAIL_LIMIT, Http
from .shared_reads import SharedReads

__all__ = ["ArgoCD", "Auth", "Json", "SessionAuth", "TokenAuth"]

WATCH_IDLE = timedelta(minutes=2)
REFRESH_TIMEOUT = timedelta(seconds=30)
REPOSITORIES = "repositories"
OF_PROJECTS = "repository not found for url"
"""What Argo CD says, with 500, of a URL that several projects have registered, each for itself, and nobody for all."""
SHARE_FOR = timedelta(seconds=2)
"""How long a list of repositories serves all who look at one, unless we write to one meanwhile."""

_log = get_logger(__name__)


def unreadable(repository: Json) -> str | None:
    """Why Argo CD could not read a repository when it last tried, in its words; None where it could."""
    state = repository.get("connectionState")
    if not isinstance(state, dict) or state.get("status") != "Failed":
        return None
    return one_line(str(state.get("message") or "no cause is told"))[:DETAIL_LIMIT]


def outside_its_project(error: Refused) -> bool:
    """Whether an application is refused because its AppProject does not allow its repository or its destination."""
    words = ("is not permitted in project", "do not match any of the allowed destinations in project")
    return any(each in error.unhidden for each in words)


class _Listed(NamedTuple):
    """A list of repositories, and its first one for each `plain_url`."""

    items: list[Json]
    by_url: dict[str, Json]


class ArgoCD:
    """One Argo CD under one account. Objects go in and out as plain dicts (JSON)."""

    def __init__(self, http: Http, auth: Auth) -> None:
        self._http = http
        self._auth = auth
        self._calls = Calls(http, auth)
        self._lists: SharedReads[_Listed] = SharedReads(http.clock, SHARE_FOR)

    # Applications

    async def application(self, name: str, project: str) -> Json | None:
        """The application, or None when it is proven that no application has this name.

        One call when it is there; after a 404 the list tells an absence from an application that lives in another
        project, which is returned as it is: `spec.project` and its annotations say that it is not ours.
        """
        found = await self._calls.get("get application", path_of("applications", name, query=_project(project)))
        if found is not None:
            return self._hiding_words(self._named("get application", found, name))
        for item in await self._list_applications([("name", name)]):
            elsewhere = item.get("spec", {}).get("project") != project
            if elsewhere and item.get("metadata", {}).get("name") == name:
                return item
        return None

    async def applications(
        self, project: str | None = None, selector: str | None = None, *, name: str | None = None
    ) -> list[Json]:
        """The applications that our account may see: of one project, with a label selector, of one name.

        There are no pages: without any of these the answer is as long as Argo CD has applications.
        """
        wanted = [("projects", project or ""), ("selector", selector or ""), ("name", name or "")]
        return await self._list_applications(wanted)

    async def create_application(self, app: Json) -> Json:
        """Create it, without a look into the repository (`validate=false`); its manifests are judged by the sync.

        The identical application already there is success, so a create may be repeated; a different one with this name
        raises ConflictError, and one that is just being deleted Waiting. `operation` in it would be dropped by Argo CD:
        use `sync`.
        """
        path = path_of("applications", query=[("validate", flag(False))])
        created = await self._calls.must_write("create application", "POST", path, app)
        metadata = created.get("metadata")
        if isinstance(metadata, dict) and metadata.get("deletionTimestamp"):
            name = metadata.get("name")
            raise Waiting(
                f"{self._http.service}: create application: its predecessor {name!r} is still being deleted",
                after=BUSY_AFTER,
            )
        return created

    async def patch_application(self, name: str, project: str, merge: Json) -> Json | None:
        """Apply a JSON merge patch (null removes, lists are replaced whole); the result, or None if it is not there.

        Only `spec`, labels, annotations and finalizers can be changed. Argo CD renders the manifests on each patch:
        ValidationError when it cannot (RepositoryUnreadable, RevisionNotFound, or the spec, as where the source has
        blocks for two tools), ExternalServiceError when Git does not answer.
        """
        body = {"name": name, "project": project, "patchType": "merge", "patch": _text(merge)}
        try:
            return await self._calls.write("patch application", "PATCH", path_of("applications", name), body)
        except ExternalServiceError as error:
            raise self._meant(error, mixed_source(error)) from error

    async def delete_application(self, name: str, project: str, *, cascade: bool = True) -> None:
        """Ask for its deletion; gone already is fine.

        It stays, with `deletionTimestamp`, until its finalizers are done. `cascade=False` leaves what it deployed in
        the cluster.
        """
        path = path_of("applications", name, query=[("cascade", flag(cascade)), *_project(project)])
        await self._calls.write("delete application", "DELETE", path)

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
        """Start a sync, by default to the application's targetRevision; None if the application is not there.

        The answer has `operation` set and `status.operationState` cleared. `retry` is Argo CD's retryStrategy; `infos`
        stay with the operation and tell later whose it was. Raises
        Waiting while another operation runs and outside of its sync windows; ValidationError when `revision` cannot be
        resolved, or differs from targetRevision while automated sync is on.
        """
        body: Json = {"name": name, "project": project, "prune": prune}
        if revision is not None:
            body["revision"] = revision
        if retry is not None:
            body["retryStrategy"] = retry
        if infos:
            body["infos"] = [{"name": key, "value": value} for key, value in infos.items()]
        return await self._calls.write("sync application", "POST", path_of("applications", name, "sync"), body)

    async def terminate_operation(self, name: str, project: str) -> bool:
        """Ask the running operation to stop, which takes its time. False when none runs (or it is only just queued)."""
        path = path_of("applications", name, "operation", query=_project(project))
        try:
            return await self._calls.write("terminate operation", "DELETE", path) is not None
        except Refused as error:
            if error.status == 400 and "No operation is in progress" in error.unhidden:
                return False
            raise

    async def refresh(
        self, name: str, project: str, hard: bool = True, *, timeout: timedelta = REFRESH_TIMEOUT
    ) -> Json | None:
        """Let Argo CD compare the application with Git now (`hard`: without its caches), and wait for the result.

        None if it is not there. Raises ExternalServiceError when the controller does not answer in time; the refresh
        happens later all the same. Not to be used where waiting hurts: patch the annotation
        `argocd.argoproj.io/refresh` instead, and watch.
        """
        query = [("refresh", "hard" if hard else "normal"), *_project(project)]
        path = path_of("applications", name, query=query)
        found = await self._calls.get("refresh application", path, timeout=timeout)
        return None if found is None else self._hiding_words(found)

    async def resource_tree(self, name: str, project: str) -> Json | None:
        """The live objects of an application (`nodes`), its pods among them, with health and messages."""
        path = path_of("applications", name, "resource-tree", query=_project(project))
        found = await self._calls.get("get resource tree", path)
        return None if found is None else self._hiding_words(found)

    async def watch_applications(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        selector: str | None = None,
        idle: timedelta = WATCH_IDLE,
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """(ADDED | MODIFIED | DELETED, application): first ADDED for all that are there, then each change.

        Not for people: here the messages of an application are as Argo CD has them, with secrets that they may quote.

        Of one project, one name, or with the labels that `selector` says. Ends by itself when the stream ends, is cut,
        or was silent for `idle`: there is no heartbeat, so silence may be a dead connection. Callers open it again, and
        treat ADDED as a state and not as news. Applications that we may not see are silent too. Close it
        (`contextlib.aclosing`) when leaving early. Raises only when it cannot be opened, or when Argo CD reports an
        error in it.
        """
        query = [("name", name or ""), ("projects", project or ""), ("selector", selector or "")]
        path = path_of("stream", "applications", query=query)
        async with aclosing(watch_events(self._calls, "watch applications", path, idle)) as events:
            async for event in events:
                yield event

    # Projects

    async def project(self, name: str) -> Json | None:
        """The AppProject, or None."""
        found = await self._calls.get("get project", path_of("projects", name))
        return None if found is None else self._named("get project", found, name)

    async def projects(self) -> list[Json]:
        """All AppProjects that our account may see. There are no pages."""
        return await self._calls.items("list projects", path_of("projects"))

    async def create_project(self, project: Json) -> Json:
        """Create it. One with the same spec already there is success, a different one raises ConflictError."""
        body = {"project": project, "upsert": False}
        return await self._calls.must_write("create project", "POST", path_of("projects"), body)

    async def update_project(self, project: Json) -> Json | None:
        """Replace it; None if it is not there. It must carry the `metadata.resourceVersion` that was read.

        Raises ConflictError when it changed since, ValidationError when applications would become invalid by it.
        """
        path = path_of("projects", str(project.get("metadata", {}).get("name", "")))
        return await self._calls.write("update project", "PUT", path, {"project": project})

    async def delete_project(self, name: str) -> None:
        """Delete it; gone already is fine. Raises ValidationError while applications (also dying ones) are in it."""
        await self._calls.write("delete project", "DELETE", path_of("projects", name))

    # Repositories

    async def repositories(self) -> list[Json]:
        """All repositories that we may see, but those of one project alone. Passwords and keys are never in it.

        Who asks while the list is on its way, or within `SHARE_FOR` after it, gets the same, unless we have written to
        a repository meanwhile: there is one for each project, and each look at one asks for all.
        """
        return (await self._lists.get(REPOSITORIES, self._list_repositories)).items

    async def _list_repositories(self) -> _Listed:
        every = await self._calls.items("list repositories", path_of("repositories"))
        items = [each for each in every if not each.get("project")]
        by_url: dict[str, Json] = {}
        for item in items:
            by_url.setdefault(plain_url(str(item.get("repo", ""))), item)
        return _Listed(items, by_url)

    async def repository(self, url: str) -> Json | None:
        """The repository with this URL; absent is what the list lacks and a GET does not know either.

        The GET alone tells nothing: it answers 403 for one that is not there. And a list that is empty for a moment, or
        that our account may not see, is no absence: what was made would be forgotten, and left behind.

        Its `connectionState` is up to an hour old (`retest_repository`).
        """
        listed = (await self._lists.get(REPOSITORIES, self._list_repositories)).by_url.get(plain_url(url))
        return self._hiding(listed if listed is not None else await self._by_itself(url))

    def _hiding(self, repository: Json | None) -> Json | None:
        """The same without secrets in the words of its connection: Git may quote what it was sent."""
        state = repository.get("connectionState") if repository is not None else None
        if repository is None or not isinstance(state, dict):
            return repository
        return {**repository, "connectionState": {**state, "message": self._http.hidden(str(state.get("message", "")))}}

    async def _by_itself(self, url: str) -> Json | None:
        """As a GET of our own shows it: where all that have this URL are of one project each, that is one, or 500."""
        try:
            found = await self._calls.get("get repository", path_of("repositories", url))
        except CredentialsError as error:
            if error.status != 403:
                raise
            return None
        except ExternalServiceError as error:
            if OF_PROJECTS not in error.unhidden:
                raise
            self._http.acquit()
            return None
        if found is not None and not same_url(str(found.get("repo", "")), url):
            raise self._http.malformed("get repository", f"it is not about {url!r}")
        return None if found is None or found.get("project") else found

    async def create_repository(self, repo: Json, upsert: bool = False) -> Json:
        """Register a repository: `repo` (the URL), `type`, `name`, `username`, `password`, …. Argo CD connects first.

        Raises ValidationError with reason RepositoryUnreadable when that fails, ConflictError when it is there with
        other values and `upsert` is off.
        """
        path = path_of("repositories", query=[("upsert", flag(upsert))])
        try:
            with self._lists.writing(REPOSITORIES):
                return await self._calls.must_write("create repository", "POST", path, repo)
        except ExternalServiceError as error:
            raise self._meant(error, unreadable_repository(error)) from error

    def _meant(self, error: ExternalServiceError, meant: ReconcilerError) -> ReconcilerError:
        """What looked like an illness of Argo CD, and counts as none where it means something else."""
        if meant is not error:
            self._http.acquit()
        return meant

    async def update_repository(self, repo: Json) -> Json | None:
        """Replace a repository's name and credentials, without a test. None if it is not there."""
        path = path_of("repositories", str(repo.get("repo", "")))
        with self._lists.writing(REPOSITORIES):
            return await self._calls.write("update repository", "PUT", path, repo)

    async def retest_repository(self, url: str) -> None:
        """Have Argo CD connect anew; `connectionState` says from then on what came of it.

        It remembers that for an hour, across a change of the login too, and tries all its repositories when it is asked
        for one (server/repository and --connection-status-cache-expiration of 3.5): so this is for the moment after a
        change. That may take longer than our time limit: nothing depends on it, and nothing is raised for it.
        """
        path = path_of("repositories", url, query=[("forceRefresh", flag(True))])
        try:
            with self._lists.writing(REPOSITORIES):
                await self._calls.get("retest repository", path)
        except ExternalServiceError as error:
            self._http.acquit()
            _log.info("Argo CD has not tried the repository out yet", repository=url, error=error.message)

    async def delete_repository(self, url: str) -> None:
        """Remove a repository; gone already is fine.

        A DELETE takes the one of another team's project alone where no other has this URL, so a look comes just before.
        Where there is none it answers 403, also where somebody else was quicker: that is held against a new look.
        """
        if await self._by_itself(url) is None:
            return
        try:
            with self._lists.writing(REPOSITORIES):
                await self._calls.write("delete repository", "DELETE", path_of("repositories", url))
        except CredentialsError as error:
            if error.status != 403 or await self._by_itself(url) is not None:
                raise

    # The server

    async def version(self) -> str:
        """The server's version; needs no account."""
        response = await self._http.request("get version", "GET", "/api/version")
        try:
            answer: Any = response.json()
        except ValueError as error:
            raise self._http.malformed("get version", "not JSON") from error
        version = answer.get("Version") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise self._http.malformed("get version", "no `Version`")
        return version

    async def whoami(self) -> Json:
        """Who we are to Argo CD (`username`, `groups`, `iss`).

        Argo CD answers 200 to strangers too, with `loggedIn` false: that raises CredentialsError here.
        """
        for _ in range(2):
            token = await self._auth.token(self._http)
            info = await self._calls.get("get user info", path_of("session", "userinfo"))
            if info is None:
                raise self._http.malformed("get user info", "404; is the endpoint right?")
            if info.get("loggedIn"):
                return info
            if not self._auth.drop(token):
                break
        raise CredentialsError(f"{self._http.service}: the token is not accepted; check ARGOCD_TOKEN", status=401)

    async def can_i(self, resource: str, action: str, subresource: str) -> bool:
        """Whether our account may do this, for example `can_i("repositories", "create", "*")`."""
        answer = await self._calls.get("ask permission", path_of("account", "can-i", resource, action, subresource))
        return answer is not None and answer.get("value") == "yes"

    async def _list_applications(self, query: Query) -> list[Json]:
        found = await self._calls.items("list applications", path_of("applications", query=query))
        return [self._hiding_words(each) for each in found]

    def _hiding_words(self, found: Json) -> Json:
        """An application or a tree without secrets in its messages: they quote Git, Helm, and what runs.

        All are searched at once: as a rule there is nothing to hide in hundreds of them. A spec stays as it is.
        """
        said = {part: found[part] for part in ("status", "nodes") if part in found}
        text = "\n".join(_messages(said))
        if self._http.hidden(text) == text:
            return found
        return {**found, **_with_messages(said, lambda each: HiddenText(self._http.hidden(each), each))}

    def _named(self, operation: str, found: Json, name: str) -> Json:
        metadata = found.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("name") != name:
            raise self._http.malformed(operation, f"it is not about {name!r}")
        return found


def same_url(one: str, other: str) -> bool:
    """Whether Argo CD takes two repository URLs for one: case, a final `.git` and slashes make no difference."""
    return plain_url(one) == plain_url(other)


def plain_url(url: str) -> str:
    """One spelling of all that Argo CD takes for one repository URL."""
    return url.strip().lower().removesuffix("/").removesuffix(".git")


def _messages(value: Any) -> Iterator[str]:
    """What stands under `message` at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "message" and isinstance(inner, str):
                yield inner
            else:
                yield from _messages(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _messages(inner)


def _with_messages(value: Any, change: Callable[[str], str]) -> Any:
    """The same with each of its `_messages` changed."""
    if isinstance(value, dict):
        return {
            name: change(inner) if name == "message" and isinstance(inner, str) else _with_messages(inner, change)
            for name, inner in value.items()
        }
    return [_with_messages(inner, change) for inner in value] if isinstance(value, list) else value


def _project(project: str) -> list[tuple[str, str]]:
    return [("project", project)]


def _text(value: Json) -> str:
    return json.dumps(value)
