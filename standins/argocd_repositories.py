"""Repositories of the stand-in: registered sources, whose secrets never come out again."""

from __future__ import annotations

from datetime import timedelta

from .argocd_accounts import Session
from .argocd_compare import Sources, plain_url
from .argocd_errors import NOT_FOUND, UNKNOWN, GrpcError, denied, invalid
from .argocd_git import SourceError
from .argocd_state import Json, Repository, State

REMEMBERED = timedelta(hours=1)
"""How long the state of a connection is kept, a change of the login notwithstanding."""
DIFFERENT = "existing repository spec is different; use upsert flag to force update"
SHOWN = (
    "repo",
    "type",
    "name",
    "project",
    "insecure",
    "enableLfs",
    "proxy",
    "noProxy",
    "forceHttpBasicAuth",
)


class Repositories:
    """The repository service. A repository belongs to all projects, or is scoped to one."""

    def __init__(self, state: State, sources: Sources) -> None:
        self._state = state
        self._sources = sources

    async def list(self, session: Session, *, force_refresh: bool = False) -> Json:
        """All that may be seen. `force_refresh` tries every one of them out; else what is known is an hour old."""
        seen = [each for each in self._state.repositories.values() if _may(session, "get", each.spec)]
        return {"metadata": {}, "items": [await self._shown(each, force_refresh) for each in seen]}

    async def get(self, session: Session, url: str, project: str, *, force_refresh: bool = False) -> Json:
        found = self._find(session, url, project)
        await self.list(session, force_refresh=force_refresh)  # as Argo CD does, which looks through its list
        return await self._shown(found)

    async def create(self, session: Session, spec: Json, *, upsert: bool) -> Json:
        if not spec.get("repo"):
            raise invalid("missing payload in request")
        _must(session, "create", spec)
        spec = {**spec, "type": spec.get("type") or "git"}
        spec.pop("connectionState", None)
        if not spec.get("project"):
            try:
                await self._sources.test(spec)
            except SourceError as error:
                raise GrpcError(UNKNOWN, f"error testing repository connectivity: {error}") from error
        key = (plain_url(spec["repo"]), spec.get("project", ""))
        existing = self._state.repositories.get(key)
        if existing is not None and existing.spec != spec:
            if not upsert:
                raise invalid(f'{DIFFERENT}; difference in keys "{",".join(sorted(_changed(existing.spec, spec)))}"')
            _must(session, "update", spec)
        known = (existing.connection, existing.tested) if existing is not None else ()
        self._state.repositories[key] = Repository(spec, *known)
        return _echo(spec)

    async def update(self, session: Session, url: str, spec: Json) -> Json:
        """That of the very project which `spec` names, or of none: another one with the same URL stays as it is."""
        _must(session, "update", spec)
        key = (plain_url(url), str(spec.get("project", "")))
        found = self._state.repositories.get(key)
        if found is None:
            raise GrpcError(NOT_FOUND, f"repo '{url}' not found")
        kept = {**spec, "repo": url, "type": spec.get("type") or "git"}
        kept.pop("connectionState", None)
        self._state.repositories[key] = Repository(kept, found.connection, found.tested)
        return _echo(spec)

    def delete(self, session: Session, url: str, project: str) -> Json:
        found = self._find(session, url, project)
        _must(session, "delete", found.spec)
        del self._state.repositories[plain_url(url), found.spec.get("project", "")]
        return {}

    def _find(self, session: Session, url: str, project: str) -> Repository:
        """As `getRepository` of server/repository: 403 when none with this URL may be seen, and without a project the
        only one is taken, whosever it is."""
        found = {
            scope: each
            for (plain, scope), each in self._state.repositories.items()
            if plain == plain_url(url) and _may(session, "get", each.spec)
        }
        if not found:
            raise denied()
        if len(found) == 1 and not project:
            return next(iter(found.values()))
        if project not in found:
            raise GrpcError(UNKNOWN, f'repository not found for url "{url}" and project "{project}"')
        return found[project]

    async def _shown(self, repository: Repository, force_refresh: bool = False) -> Json:
        shown = {key: repository.spec[key] for key in SHOWN if repository.spec.get(key)}
        async with repository.testing:
            now = self._state.clock.monotonic()
            if repository.connection is None or force_refresh or now - repository.tested >= REMEMBERED.total_seconds():
                repository.connection, repository.tested = await self._connection(repository.spec), now
        return {**shown, "connectionState": repository.connection}

    async def _connection(self, spec: Json) -> Json:
        state: Json = {"status": "Successful", "message": "", "attemptedAt": self._state.now()}
        try:
            await self._sources.test(spec)
        except SourceError as error:
            state |= {"status": "Failed", "message": f"Unable to connect to repository: {error}"}
        return state


def _echo(spec: Json) -> Json:
    """What a write answers: hardly more than the address."""
    return {key: spec[key] for key in ("repo", "type", "name") if spec.get(key)}


def _changed(one: Json, other: Json) -> set[str]:
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}


def _name(spec: Json) -> str:
    return f"{spec['project']}/{spec['repo']}" if spec.get("project") else str(spec["repo"])


def _may(session: Session, action: str, spec: Json) -> bool:
    return session.may("repositories", action, _name(spec))


def _must(session: Session, action: str, spec: Json) -> None:
    session.must("repositories", action, _name(spec))
