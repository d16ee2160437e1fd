"""What this replica remembers of the repositories at Argo CD: who uses them, and what it has written to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..api.errors import ReconcilerError
from ..runtime.clock import Instant
from ..services.argocd import same_url
from ..services.rounds import InTurn

OPERATORS = ""
"""In place of the name of a Secret: the login is the operator's own account."""


@dataclass(frozen=True, slots=True)
class Use:
    """A repository that somebody has, or once had, as wanted."""

    url: str
    private: bool
    login: tuple[str, str] | None = None
    """User name and version of the login that is proven to have been written; None where that is not known."""


@dataclass(frozen=True, slots=True)
class User:
    """One ArgoSettings, and its repositories."""

    namespace: str
    name: str
    mark: str
    deleting: bool
    wanted: str
    """The URL that its spec names."""
    secret: str
    """The project's Secret that its spec names for that URL, or OPERATORS."""
    held: tuple[Use, ...]

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    def wants(self, url: str) -> bool:
        return bool(self.wanted) and same_url(self.wanted, url)

    def holds(self, url: str) -> bool:
        return any(same_url(each.url, url) for each in self.held)

    def uses(self, url: str) -> bool:
        return self.wants(url) or self.holds(url)

    def names(self, url: str) -> bool:
        """Whether it has it, and goes on to have it, with a Secret."""
        return self.secret != OPERATORS and self.wants(url) and self.holds(url) and not self.deleting

    def wants_operators(self, url: str) -> bool:
        """Whether it goes on to have it with the operator's account."""
        return self.wants(url) and self.secret == OPERATORS and not self.deleting

    def has_operators(self, url: str, login: tuple[str, str]) -> bool:
        """Whether it has proven to have it with just that login of the operator's account."""
        return any(each.login == login and not each.private for each in self.held if same_url(each.url, url))

    def is_private(self, url: str) -> bool:
        """Whether it reads the repository with a login of its own, or did so last."""
        spec = self.wants(url) and self.secret != OPERATORS
        return spec or any(each.private for each in self.held if same_url(each.url, url))


@dataclass(frozen=True, slots=True)
class Written:
    """The mark and the login of the last write to a repository, answered while this replica was the one that acts.

    `since` is when it had become that: in a time of another one, that one may have written over it.
    """

    mark: str
    login: tuple[str, str]
    since: Instant | None


@dataclass
class Making:
    """A repository that is being made, and what came of it."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    error: ReconcilerError | None = None


@dataclass(frozen=True)
class ArgoMemory:
    """One per process; what is done with it is in `argo_users` and `argo_sharing`."""

    users: dict[str, InTurn[Sequence[User]]] = field(default_factory=dict)
    """By namespace: who uses which repository, as last read."""
    gone: set[str] = field(default_factory=set)
    """The marks on repositories that are nobody's: a UID never comes again."""
    logins: dict[str, Written] = field(default_factory=dict)
    """By URL: which login of the operator's account was written to a repository there."""
    making: dict[tuple[str, str, str], Making] = field(default_factory=dict)
    """By URL and login of the operator's account: the repository that is being made there."""
