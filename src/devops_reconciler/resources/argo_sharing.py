"""Whose a repository at Argo CD is, and who may share it: projects of one namespace, or where no Secret is in it.

Argo CD knows a URL once, and lends its login to every application with that URL. A namespace is what Secrets belong to,
so no login of one namespace's Secret serves another, nor is it replaced or removed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ..api.errors import ConflictError
from .argo_users import OPERATORS, User, user_now, users_in
from .believing import not_credible
from .world import World

FRESH = timedelta(0)
WAY_OUT = (
    "use a repository of your own, or name no Secret for it on either side: then the operator's account reads it, or a "
    "credential template that the administrator gives Argo CD"
)


@dataclass(frozen=True)
class Sharing:
    """A repository as one of its users sees it: `user` is namespace and name of the ArgoSettings.

    `near` are the other users of its namespace, `far` those of other ones.
    """

    world: World
    url: str
    user: str
    secret: str
    """The project's Secret that is wanted for it, or OPERATORS."""
    private: bool

    async def owner(self, me: str, mark: str) -> str:
        """Who owns what has the `mark` of another resource of this installation: `me` where it is shared.

        Raises ConflictError where it is another namespace's, and ExternalServiceError where a list cannot be believed.
        Whose a mark is never changes, so that those who share already need no list.
        """
        marked = await self._marked(mark)
        if marked is not None and marked.namespace == self._home:
            return me
        if marked is not None and marked.uses(self.url):
            self._part(marked, self.private or marked.is_private(self.url))
            await self._part_from_holders(None if await self._is_held() else FRESH)
            return me
        return await self._left_behind(me, mark)

    async def _is_held(self) -> bool:
        """Whether we have it already."""
        own = await user_now(self.world, self._home, self._name)
        return own is not None and own.holds(self.url)

    async def _marked(self, mark: str) -> User | None:
        """Whose mark it is; of another namespace as it is now. None for good where it is nobody's."""
        for age in (None, FRESH) if mark not in self.world.argo_gone else ():
            for home in (self._home, *self._elsewhere):
                found = next((each for each in await users_in(self.world, home, age) if each.mark == mark), None)
                if found is not None and home != self._home:
                    found = await user_now(self.world, home, found.name)
                if found is not None and found.mark == mark:
                    return found
        self.world.argo_gone.add(mark)
        return None

    async def _left_behind(self, me: str, mark: str) -> str:
        """What is of nobody who has it, by its mark, goes on with those who have. Whose login is in it is not known."""
        if await self._is_held():
            if not self.private:
                await self._part_from_holders(None)
            return me
        _, near = await self._near()
        if any(each.holds(self.url) for each in near):
            return me
        await self._part_from_holders(FRESH)
        for each in await self._far(None):
            if each.holds(self.url):
                raise ConflictError(
                    f"Argo CD has {self.url} from a project that is gone, and perhaps with its login; {each.full_name} "
                    "of another namespace uses it. Use a repository of your own, or have the administrator remove it "
                    "in Argo CD: those that use it register it anew"
                )
        return mark

    async def check_create(self) -> None:
        """Raises ConflictError where others who have it, though it does not show now, would read with our login, or we
        with theirs."""
        await self._part_from_holders(self.world.settings.poll_interval)

    async def may_write(self) -> bool:
        """Whether our login may be written; False where that of another project of the namespace is to stay.

        Raises ConflictError where it would replace a login of others, or serve another namespace.
        """
        await self._part_from_holders(FRESH)
        named = self._naming((await self._near())[1])
        if self.secret == OPERATORS:
            return not named
        for each in named:
            if each.secret != self.secret:
                raise ConflictError(
                    f"{each.full_name} has registered {self.url} in Argo CD with another Secret, and Argo CD keeps one "
                    "login per repository; name the same Secret in git.credentialsRef of both"
                )
        return True

    async def lacks_login(self, mark: str) -> bool:
        """Whether it has the mark of a project of our namespace that names no Secret for it, and we do: it is to have
        ours, since the mark tells others whether there is a login in it."""
        if self.secret == OPERATORS:
            return False
        marked = [each for each in await users_in(self.world, self._home) if each.mark == mark]
        return any(not each.wants(self.url) or each.secret == OPERATORS for each in marked)

    async def leaves_login(self) -> bool:
        """Whether the login is that of another project of the namespace, and not ours to write: no drift for us."""
        return self.secret == OPERATORS and bool(self._naming(await users_in(self.world, self._home)))

    def _naming(self, users: Iterable[User]) -> list[User]:
        """Those of our namespace that have it with a Secret."""
        found = [each for each in users if each.holds(self.url) and each.wants(self.url)]
        return [each for each in found if each.secret != OPERATORS and each.name != self._name]

    async def heirs(self, me: str, owner: str) -> Sequence[User] | None:
        """Those for whom it stays when we leave; None where it is not ours to remove.

        Those whom our login must not serve are none: they were told so, and wait for its end.
        """
        own, near = await self._near()
        far = await self._far(FRESH)
        if own.wants(self.url) and not own.deleting:
            return [own]  # under another spelling of the URL
        if owner != me and any(each.mark == owner and not each.deleting for each in (*near, *far)):
            return None
        private = self.private or own.is_private(self.url)
        found = [each for each in near if each.wants(self.url) and not each.deleting]
        for each in far:
            shared = not (private or each.is_private(self.url)) or (owner != me and each.holds(self.url))
            if shared and each.wants(self.url) and not each.deleting:
                found.append(each)
        return found

    @property
    def _home(self) -> str:
        return self.user.partition("/")[0]

    @property
    def _name(self) -> str:
        return self.user.partition("/")[2]

    @property
    def _elsewhere(self) -> list[str]:
        return [each for each in self.world.settings.reconciler_namespaces if each != self._home]

    async def _near(self) -> tuple[User, list[User]]:
        """Ours, and the other users of its namespace, as they are now.

        Raises ExternalServiceError where ours does not show, which is there while this is done: a list that lacks it
        may lack others.
        """
        found = await users_in(self.world, self._home, FRESH)
        own = next((each for each in found if each.name == self._name), None)
        if own is None:
            raise not_credible(f"the list of ArgoSettings lacks {self.user}")
        return own, [each for each in found if each is not own and each.uses(self.url)]

    async def _far(self, age: timedelta | None) -> list[User]:
        found = [each for home in self._elsewhere for each in await users_in(self.world, home, age)]
        return [each for each in found if each.uses(self.url)]

    async def _part_from_holders(self, age: timedelta | None) -> None:
        """Raises ConflictError where others who have it, of another namespace, may not share it with us."""
        for known in await self._far(age):
            if known.holds(self.url) and (self.private or known.is_private(self.url)):
                now = known if age == FRESH else await user_now(self.world, known.namespace, known.name)
                if now is not None and now.holds(self.url):
                    self._part(now, self.private or now.is_private(self.url))

    def _part(self, other: User, refused: bool) -> None:
        if refused:
            raise ConflictError(
                f"Argo CD has {self.url} for {other.full_name} of another namespace, and no login of a Secret is "
                f"shared between namespaces; {WAY_OUT}"
            )
