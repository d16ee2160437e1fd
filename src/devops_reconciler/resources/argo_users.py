"""Who uses the repositories that Argo CD has for us: the ArgoSettings of a namespace, and the logins that they name.

Argo CD shows no login, and a mark is a digest: both are known only from the objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from ..api.conditions import Reason
from ..api.names import mark_for
from ..engine.ledger import EntryState
from ..engine.resource import digest_of
from ..services.kubernetes import ARGO_SETTINGS
from ..services.rounds import FRESH, InTurn
from .argo_memory import OPERATORS, Use, User
from .world import World

KIND = "ArgoRepository"
HELD = (EntryState.ACTIVE, EntryState.RETIRED, EntryState.CLEANUP_FAILED)
"""States in which a repository was proven to be there as its user wants it, and is not proven gone."""


def is_private(world: World, value: Mapping[str, Any]) -> bool:
    """Whether the value of a repository has the login of a Secret of a project.

    Values that were kept before the Secret was in them tell it by the user name.
    """
    secret, username = value.get("secret"), value.get("username")
    if secret is not None:
        return bool(secret != OPERATORS)
    return bool(username) and username != world.secrets.current("default_git_username")


async def users_in(world: World, namespace: str, age: timedelta | None = None) -> Sequence[User]:
    """The ArgoSettings of a namespace, as read by anybody no longer ago than `age`, or whenever that was.

    Who asks while they are being read waits for the next list, which serves all who wait by then, also where it fails.
    """
    lists = world.argo_memory.users.setdefault(namespace, InTurn(world.clock))
    if lists.last is not None and age is None:
        return lists.last
    read = partial(world.kubernetes.kept, ARGO_SETTINGS, namespace, partial(_user, world))
    return await lists.get(read, age or FRESH)


def as_known(world: World, namespace: str) -> Sequence[User]:
    """Those of a namespace as last read, however long ago; none where it never was."""
    lists = world.argo_memory.users.get(namespace)
    return (lists.last if lists is not None else None) or ()


async def user_now(world: World, namespace: str, name: str) -> User | None:
    """One of them as it is now: where nothing is to be written, as it was last told of."""
    found = await world.kubernetes.get(ARGO_SETTINGS, namespace, name)
    return None if found is None else _user(world, found)


def _user(world: World, obj: Mapping[str, Any]) -> User:
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    git = spec.get("git") or {}
    own, source = str(git.get("url") or ""), (spec.get("source") or {}).get("repoURL")
    pinned = source in (None, "", own)
    secret = (git.get("credentialsRef") or {}).get("name") if pinned else None
    return User(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        mark=mark_for(world.cluster_id, obj),
        deleting=bool(metadata.get("deletionTimestamp")),
        wanted=str(source or own),
        secret=str(secret or OPERATORS),
        held=tuple(_held(world, obj.get("status") or {})),
    )


def _held(world: World, status: Mapping[str, Any]) -> Iterator[Use]:
    told = {each.get("type"): (each.get("status"), each.get("reason")) for each in status.get("conditions") or ()}
    refused = told.get("Ready") == ("False", Reason.OWNERSHIP_CONFLICT)
    for entry in status.get("applied") or ():
        if entry.get("kind") != KIND or entry.get("state") not in HELD:
            continue
        if refused and entry["state"] == EntryState.ACTIVE and entry.get("started_at"):
            continue  # it had it once, and was told since that it is another's
        value = entry.get("value") or {}
        yield Use(str(value.get("url") or entry.get("key")), is_private(world, value), _proven(entry, value))


def _proven(entry: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of a value that is wanted and not yet written the digest is another one."""
    written = entry.get("digest") == digest_of({name: each for name, each in value.items() if name != "secret"})
    if entry["state"] != EntryState.ACTIVE or entry.get("intent") or not written:
        return None
    return str(value.get("username") or ""), str(value.get("password_version") or "")
