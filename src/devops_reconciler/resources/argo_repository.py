"""The repository as Argo CD knows it. Projects with the same URL share it; it goes with the last of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from ..api.errors import ConflictError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.argocd import same_url, unreadable
from ..services.argocd_view import ApplicationView
from ..services.kubernetes import ARGO_SETTINGS
from .believing import not_credible
from .marks import PROJECT_LABEL, mark_in, mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World


class ArgoRepository(ExternalResource):
    """The repository credentials for `<url>`. Its `name` is the mark of whoever made it.

    What is observed says in `message` why Argo CD cannot read it, and nothing where it can.
    """

    service: ClassVar[str] = "argocd"
    blind: ClassVar[bool] = True

    url: str
    username: str
    password: SecretStr = Field(default=SecretStr(""), exclude=True)
    password_version: str
    user: str
    """Namespace and name of the ArgoSettings that wants it."""

    @property
    def key(self) -> str:
        return self.url

    @property
    def hides(self) -> bool:
        return bool(self.username)

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.argocd.repository(self.url)
        if found is None:
            return ABSENT
        owner = mark_in(found.get("name"))
        cluster = me.rsplit(":", 1)[0]
        if owner is not None and owner != me and owner.startswith(cluster):
            owner = me  # another project of this cluster made it: it is shared
        # Argo CD 3.5 shows no user name, older ones do: what is not shown is no drift, or it would be written for ever.
        shown = found.get("username")
        drift = ("username",) if shown and self.username and shown != self.username else ()
        said = unreadable(found) or ""
        return Observation(exists=True, owner=owner, drift=drift, external_id=self.url, message=said)

    def _body(self, me: str) -> dict[str, Any]:
        login = {"username": self.username, "password": self.password.get_secret_value()} if self.username else {}
        return {"repo": self.url, "type": "git", "name": me, **login}

    async def create(self, world: World, me: str, seen: Observation) -> None:
        try:
            await world.argocd.create_repository(self._body(me))
        except ConflictError as error:
            text = f"Argo CD has {self.url} since a moment ago; whose it is shows at the next look"
            raise Waiting(text, after=LOOK_AGAIN) from error

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await world.argocd.update_repository(self._body(me))
        await world.argocd.retest_repository(self.url)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.argocd.delete_repository(self.url)

    async def wanted(self, world: World) -> bool:
        """Whether an ArgoSettings still uses the repository: another one, or our own under another spelling of its URL.

        Raises ExternalServiceError where our own, which is held until this is done, does not show: a list that lacks
        it may lack others.
        """
        own = False
        for namespace in world.settings.reconciler_namespaces:
            for item in await world.kubernetes.list(ARGO_SETTINGS, namespace):
                metadata, spec = item["metadata"], item.get("spec", {})
                own = own or f"{namespace}/{metadata['name']}" == self.user
                if metadata.get("deletionTimestamp"):
                    continue
                url = (spec.get("source") or {}).get("repoURL") or (spec.get("git") or {}).get("url")
                if url and same_url(url, self.url):
                    return True
        if not own:
            raise not_credible(f"the list of ArgoSettings lacks {self.user}")
        return False


class ArgoRepositoryRemoval(ArgoRepository):
    """The same repository, looked at for its removal: what is still wanted counts as not ours.

    One that was wanted before stays while an application of its project uses it (a preview, until its next deployment).
    """

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        if not seen.exists or seen.owner != me:
            return seen
        if await self.wanted(world):
            return ABSENT
        user = await self._used_by(world, me)
        if user is None:
            return seen
        text = f"application {user} still uses it; it goes when that has moved"
        return replace(seen, deleting=True, message=text, after=world.settings.poll_interval)

    async def _used_by(self, world: World, me: str) -> str | None:
        namespace, _, name = self.user.partition("/")
        settings = await world.kubernetes.get(ARGO_SETTINGS, namespace, name)
        if settings is None or "deletionTimestamp" in settings["metadata"]:
            return None
        apps = [ApplicationView(app) for app in await world.argocd.applications(selector=f"{PROJECT_LABEL}={name}")]
        ours = (app for app in apps if mark_of(app.annotations) == me)
        return next((app.name for app in ours if same_url(app.repo_url, self.url)), None)
