"""Whether the registry takes what a project's builds push with: asked a few times a day per login."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from ..api.base import SecretRef
from ..api.errors import CredentialsError, ReconcilerError
from ..resources.world import World
from .logins import Login

REFUSED_AGAIN = timedelta(hours=1)
"""When a refused login is tried again. Failed ones lock an account for minutes, and a locked one refuses right ones."""

TAKEN_FOR = timedelta(hours=6)
"""How long a login that was taken is believed, also for projects that come later: it may be revoked meanwhile."""


@dataclass(frozen=True)
class PushCheck:
    """What came of a login. `refusal` is None where it was taken."""

    version: str
    refusal: str | None


async def check_push(world: World, ref: SecretRef | None, login: Login | None) -> PushCheck | None:
    """The result for the login of a project's own Secret; None where there is none, or nothing is known of it yet.

    What is known stays told while the registry cannot be asked again, as while logins of its user name are paused.
    In memory, by the login itself, which many projects may name: after a restart each is tried once more.
    """
    if ref is None or login is None:
        return None
    password = login.password.get_secret_value()
    this = hashlib.sha256("\0".join((login.username, password)).encode()).hexdigest()
    known, now = world.push_logins.get(this), world.clock.monotonic()
    if known is not None:
        again = TAKEN_FOR if known[0] is None else REFUSED_AGAIN
        if now - known[1] < again.total_seconds():
            return _told(ref, login, known[0])
    said = None
    try:
        await world.registry.check_login(login.username, password)
    except CredentialsError as error:
        said = error.message
    except ReconcilerError:
        # It is asked again with the next look; whoever pulls and pushes tells of the trouble.
        return None if known is None else _told(ref, login, known[0])
    refused_since = now - REFUSED_AGAIN.total_seconds()
    # What is forgotten is tried once more, which does no harm with a login that was taken.
    world.push_logins.put(this, (said, now), keep=lambda tried: tried[0] is not None and tried[1] > refused_since)
    return _told(ref, login, said)


def _told(ref: SecretRef, login: Login, said: str | None) -> PushCheck:
    """`said` is what the registry has refused it with; None where it has taken it."""
    if said is None:
        return PushCheck(login.version, None)
    return PushCheck(login.version, f"the registry refuses the login of Secret {ref.name}; renew it ({said})")
