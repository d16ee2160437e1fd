"""What the engine works on: a frozen value that describes one external thing, and what was observed of it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from ..api.conditions import Reason
from ..api.nulls import without_nulls
from ..runtime.clock import Instant

World = TypeVar("World")
"""What the verbs need to reach the outside: the clients. The engine only passes it on."""


class Intent(BaseModel):
    """What is about to be done, saved before it is done."""

    model_config = ConfigDict(frozen=True)

    op: str
    """create, update or delete."""
    at: datetime
    digest: str = ""
    """Of the value that is written."""
    preimage: Any = None
    """What was there before: tells our own value from a foreign one after a crash (DNS values)."""


@dataclass(frozen=True)
class Observation:
    """What is there. Resources report; they never decide.

    A read that fails raises: an error is not an absence.
    """

    exists: bool = False
    owner: str | None = None
    """The mark found on it, None when it has none."""
    drift: tuple[str, ...] = ()
    """Names of owned fields that differ from the value. Never their contents."""
    attested: bool = False
    """What cannot be read back of it (`blind`) is known to be as wanted from another one of ours that has it."""
    surplus: tuple[str, ...] = ()
    """What is there of ours beyond the one that counts, and must go: their ids at the service (a second build)."""
    ready: bool = True
    """For things that take time: whether it has come to its good end."""
    interim: bool = False
    """As it has to be for now, not yet as the value says: what is left to do is no drift, however late it is done."""
    proving: bool = False
    """Not `ready` yet, but at its good end, and watched for a bounded time whether it stays so."""
    deleting: bool = False
    paused: bool = False
    """It says of itself that it is paused: it stays as it is, and what it has been counts."""
    kept: str = ""
    """Of what is not ours: why no `adoption` takes it over, and what to do instead, for people."""
    wanted_by: str = ""
    """Who else of ours wants it, for people: it is let go instead of being removed, and found by its mark again."""
    failed: tuple[Reason, str] | None = None
    """Set when it has come to a bad end by itself: a red build, a failed sync."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What later steps and the status need: JSON values only."""
    message: str = ""
    """What it is doing or what blocks it, for people."""
    percent: int | None = None
    eta: timedelta | None = None
    external_id: str | None = None
    url: str | None = None
    preimage: Any = None
    after: timedelta | None = None
    """When the resource knows best when to look again."""


ABSENT = Observation()


class Resource(BaseModel, ABC, Generic[World]):
    """One external thing as it should be.

    Fields are the value: JSON, without secrets (a secret field is excluded from the dump and stands beside a
    `…_version` that changes with it). A field that a kind gets later has a default: what was so before it. The verbs
    get the world to act in and the mark that says whose it is. They raise the taxonomy of `api.errors`. `create` and
    `update` are told what was observed just before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: ClassVar[str]
    """Name of the breaker of the service that holds it."""
    settle: ClassVar[timedelta] = timedelta(seconds=3)
    """How long an absence after an attempt means "not visible yet", before it is tried again: short, since the service
    refuses a name twice, whenever the first attempt arrives. See `settles_in`, and for removals `arrives_in`."""
    once: ClassVar[bool] = False
    """Made once per object and never repaired: its facts are kept when it has come to its good end."""
    blind: ClassVar[bool] = False
    """Part of it cannot be read back (a password): a changed value is written though no drift is seen."""
    removable: ClassVar[bool] = True
    """False for what is only looked at, or belongs to another resource: removal has nothing to do."""
    made_elsewhere: ClassVar[bool] = False
    """Somebody else makes it (the build pushes the image): its absence means wait, never create."""
    repeatable: ClassVar[bool] = False
    """A `once` thing that may be made again when it has vanished before its good end (a sync)."""
    place: ClassVar[tuple[str, ...]] = ()
    """Fields that say where it is, where the key does not: the same key at another place is another thing."""
    owned_by_mark: ClassVar[bool] = True
    """False where existence itself proves ownership (a tag or a build with our unique name)."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Its identity at the service. Another key is another thing."""

    @abstractmethod
    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        """What is there now. Raises when that cannot be told."""

    async def create(self, world: World, me: str, seen: Observation) -> None:
        """Make it, with our mark."""
        raise NotImplementedError(f"{type(self).__name__} is never created")

    async def update(self, world: World, me: str, seen: Observation) -> None:
        """Bring the owned fields in line, and take away what is surplus; everything else stays as it is."""
        raise NotImplementedError(f"{type(self).__name__} is never updated")

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Remove it. Absent already is success."""
        raise NotImplementedError(f"{type(self).__name__} is never deleted")

    def reminded(self, facts: Mapping[str, Any]) -> Self:
        """The same, told the facts of the last look that the ledger has, where the next look needs them to find it."""
        return self

    async def check_takeover(self, world: World, me: str, owner: str | None) -> None:
        """Raise ConflictError where `adoption` would take it over from an owner whom it may not be taken from."""

    @property
    def hides(self) -> bool:
        """Whether a `blind` value has a part now that cannot be read back. One that has none is written only in place
        of one that may have had: what somebody else made is enough as it is."""
        return True

    def settles_in(self, world: World) -> timedelta:
        """`settle`, where it depends on how the operator is set up: longer for things that could be made twice."""
        return self.settle

    def arrives_in(self, world: World) -> timedelta:
        """From an intent until what was asked for has had its effect and shows, at the longest.

        Before that an absence is no proof that nothing is left of an attempt whose outcome is not known.
        """
        return self.settles_in(world)

    def comes_in(self, world: World) -> timedelta:
        """From when it is waited for until it shows what others have made, at the longest (`made_elsewhere`).

        Before that an absence is no proof that there is nothing to remove.
        """
        return timedelta(0)

    def acting_since(self, world: World) -> Instant | None:
        """When the time began in which nobody but this process acts; None where nobody else ever does.

        Whatever another has done was done before, whenever that was by its clock: `memory.age_of`.
        """
        return None

    def value(self) -> dict[str, Any]:
        """The value as JSON, enough to observe and delete it later. Holds no secret, and nothing that is null."""
        found: dict[str, Any] = without_nulls(self.model_dump(mode="json", exclude_none=True))
        return found

    def nulls(self) -> list[str]:
        """The names of what is null in the value."""
        fields = type(self).model_fields.items()
        return sorted(name for name, field in fields if not field.exclude and getattr(self, name) is None)

    @classmethod
    def recall(cls, value: Mapping[str, Any]) -> Self:
        """The resource of a value that was kept in the status, where nulls do not survive. Raises ValueError."""
        missing = dict.fromkeys(name for name, field in cls.model_fields.items() if field.is_required())
        return cls.model_validate({**missing, **value})

    def digest(self) -> str:
        """Changes exactly when the value changes."""
        return digest_of(self.value())


def digest_of(value: Mapping[str, Any]) -> str:
    """Of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
