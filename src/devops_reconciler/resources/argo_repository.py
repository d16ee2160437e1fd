"""The repository as Argo CD knows it. Projects with the same URL share it (`argo_sharing`); it goes with the last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from ..api.errors import ConflictError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.argocd import same_url, unreadable
from ..services.argocd_view import ApplicationView
from ..services.kubernetes import ARGO_SETTINGS
from .argo_memory import OPERATORS
from .argo_sharing import Sharing
from .argo_users import is_private
from .marks import PROJECT_LABEL, mark_in, mark_of, of_one_installation
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

HEIR = "heir"
"""In what is observed for a removal: the mark of who goes on with it."""


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
    secret: str | None = None
    """The project's Secret that the login is from; OPERATORS where it is the operator's own, None without a login."""
    user: str
    """Namespace and name of the ArgoSettings that wants it."""

    @property
    def key(self) -> str:
        return self.url

    @property
    def hides(self) -> bool:
        return bool(self.username)

    def digest(self) -> str:
        """Without the name of the Secret: the version changes with it, and values of before have it not."""
        return ExternalResource.digest(self.model_copy(update={"secret": None}))

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        """Raises ConflictError where it is another namespace's, and no login may be shared."""
        seen, sharing = await self._there(world), self._sharing(world)
        mark, marked = seen.owner, None
        if mark is not None and _is_siblings(mark, me):
            marked = await sharing.marked(mark)
            seen = replace(seen, owner=await sharing.owner(me, mark, marked))
            if seen.owner == me and await sharing.is_to_mark(mark, marked):
                return replace(seen, drift=("name", *seen.drift))
        if seen.owner != me:
            return seen
        if await sharing.leaves_login(marked):
            # Nobody can tell later whether the other one's is still there: so ours is not taken for written.
            return replace(seen, drift=(), attested=True, interim=True)
        return replace(seen, attested=sharing.is_attested(marked, self._login))

    async def _there(self, world: World) -> Observation:
        """What is there, with the very mark that it has."""
        sharing = self._sharing(world)
        before = sharing.written
        found = await world.argocd.repository(self.url)
        if found is None:
            sharing.forget(before)  # and not what was written while this was asked
            return ABSENT
        # Argo CD 3.5 shows no user name, older ones do: what is not shown is no drift, or it would be written for ever.
        shown = found.get("username")
        drift = ("username",) if shown and self.username and shown != self.username else ()
        said = unreadable(found) or ""
        owner = mark_in(found.get("name"))
        return Observation(exists=True, owner=owner, drift=drift, external_id=self.url, message=said)

    def _sharing(self, world: World) -> Sharing:
        private = is_private(world, {"secret": self.secret, "username": self.username})
        return Sharing(world, self.url, self.user, self.secret or OPERATORS, private, self.acting_since(world))

    @property
    def _login(self) -> tuple[str, str]:
        return self.username, self.password_version

    def _body(self, me: str) -> dict[str, Any]:
        login = {"username": self.username, "password": self.password.get_secret_value()} if self.username else {}
        return {"repo": self.url, "type": "git", "name": me, **login}

    async def create(self, world: World, me: str, seen: Observation) -> None:
        """Raises ConflictError where its login would serve another namespace, or would be that one's.

        Whose it is shows at the next look, also where another project has made it meanwhile.
        """
        sharing = self._sharing(world)
        await sharing.check_create()
        if await sharing.is_made(self._login):
            return
        with sharing.making(self._login):
            try:
                await world.argocd.create_repository(self._body(me))
            except ConflictError as error:
                text = f"Argo CD has {self.url} since a moment ago; whose it is shows at the next look"
                raise Waiting(text, after=LOOK_AGAIN) from error
            sharing.wrote(me, self._login)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        """Without a Secret the login of another project of the namespace stays. Raises ConflictError as `create`."""
        sharing = self._sharing(world)
        if await sharing.may_write():
            sharing.forget(sharing.written)
            if await world.argocd.update_repository(self._body(me)) is None:
                return  # gone since the look: nothing is written
            sharing.wrote(me, self._login)
            await world.argocd.retest_repository(self.url)


class ArgoRepositoryRemoval(ArgoRepository):
    """The same repository, looked at for its removal: what is still wanted counts as not ours.

    One that was wanted before stays while an application of its project uses it (a preview, until its next deployment).
    """

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await self._there(world)
        if not seen.exists or not (seen.owner == me or _is_siblings(seen.owner, me)):
            return seen
        heirs = await self._sharing(world).heirs(me, str(seen.owner))
        if heirs is None:
            return seen
        if heirs:
            heir = heirs[0].mark
            handed = seen.owner == me != heir and not any(each.is_private(self.url) for each in heirs)
            return replace(seen, facts={HEIR: heir}) if handed and self._bequest(world, heir) else ABSENT
        user = await self._used_by(world, me)
        if user is None:
            return replace(seen, owner=me)
        text = f"application {user} still uses it; it goes when that has moved"
        return replace(seen, owner=me, deleting=True, message=text, after=world.settings.poll_interval)

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """For those who go on with it, it gets the mark of one of them instead."""
        heir = seen.facts.get(HEIR)
        if heir is None:
            await world.argocd.delete_repository(self.url)
        elif (body := self._bequest(world, str(heir))) is not None:
            await world.argocd.update_repository(body)

    def _bequest(self, world: World, heir: str) -> dict[str, Any] | None:
        """What it is under the mark of an heir, who has the same login as we; None where that is not known any more.

        A write replaces the whole. Who has a login of a Secret writes it, with its mark, when that changes.
        """
        if not self.username:
            return self._body(heir)
        username, password = (world.secrets.current(f"default_git_{part}") for part in ("username", "token"))
        if self.secret != OPERATORS or username != self.username or not password:
            return None
        return self.model_copy(update={"password": SecretStr(password)})._body(heir)

    async def _used_by(self, world: World, me: str) -> str | None:
        namespace, _, name = self.user.partition("/")
        settings = await world.kubernetes.get(ARGO_SETTINGS, namespace, name)
        if settings is None or "deletionTimestamp" in settings["metadata"]:
            return None
        apps = [ApplicationView(app) for app in await world.argocd.applications(selector=f"{PROJECT_LABEL}={name}")]
        ours = (app for app in apps if mark_of(app.annotations) == me)
        return next((app.name for app in ours if same_url(app.repo_url, self.url)), None)


def _is_siblings(owner: str | None, me: str) -> bool:
    """Whether it is the mark of another resource of this installation."""
    return owner is not None and owner != me and of_one_installation(me, owner)
