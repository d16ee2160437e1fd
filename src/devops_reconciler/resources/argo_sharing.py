"""Whose a repository at Argo CD is, and who may share it: projects of one namespace, or where no Secret is in it.

Argo CD knows a URL once, and lends its login to every application with that URL. A namespace is what Secrets belong to,
so no login of one namespace's Secret serves another, nor is it replaced or removed there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from ..api.errors import ConflictError, ExternalServiceError, ReconcilerError, Waiting
from ..runtime.clock import Instant
from ..runtime.logs import get_logger
from ..runtime.slots import step_aside
from ..services.argocd import plain_url
from ..services.rounds import FRESH
from .argo_memory import OPERATORS, Making, User, Written
from .argo_users import as_known, user_now, users_in
from .believing import not_credible
from .polling import LOOK_AGAIN
from .world import REFUSALS, World

_log = get_logger(__name__)

RECENT = timedelta(seconds=5)
"""A list of others that is new enough for a login that is nobody's Secret: the project whose mark a repository has is
looked up as it is now, and the login of a Secret comes with the mark of its project."""
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
    since: Instant | None
    """Since when this replica is the one that acts; None where nobody else does."""

    async def owner(self, me: str, mark: str, marked: User | None) -> str:
        """Who owns what has the `mark` of another resource of this installation: `me` where it is shared.

        `marked` is whose that is.

        Raises ConflictError where it is another namespace's, and ExternalServiceError where a list cannot be believed,
        or what we have not yet may be of a namespace that refuses us.
        Whose a mark is never changes, so that those who share already need no list.
        """
        if marked is not None and marked.namespace == self._home:
            return me
        if marked is not None and marked.uses(self.url):
            self._part(marked, self.private or marked.is_private(self.url))
            await self._part_from_holders(None if await self._is_held() else self._age)
            return me
        return await self._left_behind(me, mark, known=marked is not None or mark in self.world.argo_memory.gone)

    async def _is_held(self) -> bool:
        """Whether we have it already."""
        own = await user_now(self.world, self._home, self._name)
        return own is not None and own.holds(self.url)

    async def marked(self, mark: str) -> User | None:
        """Whose mark it is, as that is now. None where it is nobody's, for good where all namespaces tell so."""
        if mark in self.world.argo_memory.gone:
            return None
        for age in (None, FRESH):
            told = True
            for home in (self._home, *self._elsewhere):
                users = await self._users(home, age)
                known = as_known(self.world, home) if users is None else users
                found = next((each for each in known if each.mark == mark), None)
                found = found and await self._now(found)
                if found is not None and found.mark == mark:
                    return found
                told = told and users is not None
        if told:
            self.world.argo_memory.gone.add(mark)
        return None

    async def _left_behind(self, me: str, mark: str, *, known: bool) -> str:
        """What is of nobody who has it, by its mark, goes on with those who have. Whose login is in it is not known.

        `known`: whose mark it is, or that it is nobody's.
        """
        if await self._is_held():
            if not self.private:
                await self._part_from_holders(None)
            return me
        if not known:
            text = f"whose the mark {mark} on {self.url} is cannot be told while a watched namespace refuses us"
            raise ExternalServiceError(text, service="kubernetes")
        _, near = await self._near()
        if any(each.holds(self.url) for each in near):
            return me
        await self._part_from_holders(FRESH)
        for each in await self._far(None):
            if each.holds(self.url):
                raise ConflictError(
                    f"Argo CD has {self.url} from a project that has left it, and perhaps its login; {each.full_name} "
                    "of another namespace uses it. It is shared when that one has written its own login, at its next "
                    "look; else use a repository of your own, or have the administrator remove it in Argo CD"
                )
        return mark

    async def check_create(self) -> None:
        """Raises ConflictError where others who have it, though it does not show now, would read with our login, or we
        with theirs."""
        await self._part_from_holders(self.world.settings.poll_interval)

    async def may_write(self) -> bool:
        """Whether our login may be written: without a Secret, not over that of another project of the namespace.

        Raises ConflictError where it would serve another namespace, or replace the login of one.
        """
        await self._part_from_holders(self._age)
        if self.secret != OPERATORS:
            return True
        _, near = await self._near()
        return not any(each.names(self.url) for each in near)

    def is_attested(self, marked: User | None, login: tuple[str, str]) -> bool:
        """Whether the login that came with the mark of another one is ours too.

        Who writes a login sets its mark with it; so what the marked one has written last, as we know or it has proven
        in its status, is what is there.
        """
        if self.secret != OPERATORS or marked is None or not marked.wants_operators(self.url):
            return False
        ours = Written(marked.mark, login, self.since)
        return self.written == ours or marked.has_operators(self.url, login)

    async def is_made(self, login: tuple[str, str]) -> bool:
        """Whether another project has made it since we looked, with the very login that we would have written.

        Waits for who is about to, since Argo CD asks Git before it answers; raises what that one's write came to.
        """
        making = self.world.argo_memory.making.get(self._place(login))
        if making is not None and not self.private:
            step_aside()
            await making.ended.wait()
            if making.error is not None:
                raise making.error
            if self.written is None:
                raise Waiting(f"{self.url} was about to be made at Argo CD; it is looked for again", after=LOOK_AGAIN)
        written = self.written
        return not self.private and written is not None and (written.login, written.since) == (login, self.since)

    @contextmanager
    def making(self, login: tuple[str, str]) -> Iterator[None]:
        """Around its creation: who comes for the same meanwhile waits for this one."""
        making, place = Making(), self._place(login)
        if not self.private:
            self.world.argo_memory.making[place] = making
        try:
            yield
        except ReconcilerError as error:
            making.error = error
            raise
        finally:
            if self.world.argo_memory.making.get(place) is making:
                del self.world.argo_memory.making[place]
            making.ended.set()

    def wrote(self, mark: str, login: tuple[str, str]) -> None:
        """All who come after this write know what is there, before any status tells it."""
        if not self.private:
            self.world.argo_memory.logins[plain_url(self.url)] = Written(mark, login, self.since)

    def forget(self, written: Written | None) -> None:
        """It is not there, or may be written over; but what was written since."""
        if self.written is written:
            self.world.argo_memory.logins.pop(plain_url(self.url), None)

    @property
    def written(self) -> Written | None:
        """What we have written last, as far as it is known to be there still."""
        return self.world.argo_memory.logins.get(plain_url(self.url))

    def _place(self, login: tuple[str, str]) -> tuple[str, str, str]:
        return plain_url(self.url), *login

    async def is_to_mark(self, mark: str, marked: User | None) -> bool:
        """Whether what has the `mark` of another resource, and is shared, is to have our login and our mark.

        So it is where the mark is nobody's, and so may be the login: it would be closed to other namespaces for good.
        And where the marked project of our namespace has left it; or names no Secret, and we do: by its mark, others
        would share it.
        """
        if mark in self.world.argo_memory.gone:
            alone = not any(each.holds(self.url) for each in await self._far(None))
            return (alone or not self.private) and await self._is_held()
        if marked is None or marked.namespace != self._home:
            return False
        if self.secret == OPERATORS:
            return not marked.uses(self.url)
        return not marked.wants(self.url) or marked.secret == OPERATORS

    async def leaves_login(self, marked: User | None) -> bool:
        """Whether the login is that of another project of the namespace, and not ours to write: no drift for us.

        `marked` is whose mark it has, if not ours.
        """
        if self.secret != OPERATORS:
            return False
        if marked is not None and marked.namespace == self._home and marked.names(self.url):
            return True
        for known in await users_in(self.world, self._home):
            other = known.name != self._name and known.names(self.url)
            if other and (now := await self._now(known)) is not None and now.names(self.url):
                return True
        return False

    async def heirs(self, me: str, owner: str) -> Sequence[User] | None:
        """Those for whom it stays when we leave; None where it is not ours to remove.

        Those whom our login must not serve are none: they were told so, and wait for its end. Else a namespace that
        refuses us may have one, and is waited for: no absence follows from what cannot be read.
        """
        own, near = await self._near()
        private = self.private or own.is_private(self.url)
        homes = () if private and owner == me else self._elsewhere
        far = [each for home in homes for each in await users_in(self.world, home, FRESH) if each.uses(self.url)]
        if own.wants(self.url) and not own.deleting:
            return [own]  # under another spelling of the URL
        if owner != me and any(each.mark == owner and not each.deleting for each in (*near, *far)):
            # Who has dropped its Secret left ours in it, under its mark. Nobody could tell any more: it registers anew.
            lent = private and own.holds(self.url) and any(each.mark == owner for each in near)
            return [] if lent and not any(each.is_private(self.url) for each in near) else None
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
    def _age(self) -> timedelta:
        """How old a list of others may be before what is ours is written."""
        return FRESH if self.private else RECENT

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
        found: list[User] = []
        for home in self._elsewhere:
            users = await self._users(home, age)
            found += as_known(self.world, home) if users is None else users
        return [each for each in found if each.uses(self.url)]

    async def _users(self, home: str, age: timedelta | None) -> Sequence[User] | None:
        """The users of a namespace; None where it is another one that refuses us: it holds up none of the others, and
        writes nothing through us."""
        try:
            return await users_in(self.world, home, age)
        except REFUSALS as error:
            if home == self._home:
                raise
            _log.debug("who shares repositories there is as last read", namespace=home, error=error.message)
            return None

    async def _now(self, known: User) -> User | None:
        """As it is now, or was when another namespace that refuses us was last read."""
        try:
            return await user_now(self.world, known.namespace, known.name)
        except REFUSALS as error:
            if known.namespace == self._home:
                raise
            _log.debug("a project there is as last read", namespace=known.namespace, error=error.message)
            return known

    async def _part_from_holders(self, age: timedelta | None) -> None:
        """Raises ConflictError where others who have it, of another namespace, may not share it with us."""
        for known in await self._far(age):
            if known.holds(self.url) and (self.private or known.is_private(self.url)):
                now = known if age == FRESH else await self._now(known)
                if now is not None and now.holds(self.url):
                    self._part(now, self.private or now.is_private(self.url))

    def _part(self, other: User, refused: bool) -> None:
        if refused:
            raise ConflictError(
                f"Argo CD has {self.url} for {other.full_name} of another namespace, and no login of a Secret is "
                f"shared between namespaces; {WAY_OUT}"
            )
