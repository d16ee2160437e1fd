"""Whether the registry takes what a project's builds push with: asked once per login, and rarely with a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..api.base import SecretRef
from ..api.errors import CredentialsError, ReconcilerError
from ..resources.world import World
from .logins import Login

REFUSED_AGAIN = timedelta(hours=1)
"""When a refused login is tried again. Failed ones lock an account for minutes, and a locked one refuses right ones."""


@dataclass(frozen=True)
class PushCheck:
    """What came of a login. `refusal` is None where it was taken."""

    version: str
    refusal: str | None


async def check_push(world: World, uid: str, ref: SecretRef | None, login: Login | None) -> PushCheck | None:
    """The result for the login of a project's own Secret; None where there is none, or the registry could not be asked.

    In memory, by UID of the resource: after a restart each login is tried once more.
    """
    if ref is None or login is None:
        return None
    known, now = world.push_logins.get(uid), world.clock.monotonic()
    if known is not None and known[0] == login.version:
        version, refusal, tried = known
        if refusal is None or now - tried < REFUSED_AGAIN.total_seconds():
            return PushCheck(version, refusal)
    refusal = None
    try:
        await world.registry.check_login(login.username, login.password.get_secret_value())
    except CredentialsError as error:
        refusal = f"the registry refuses the login of Secret {ref.name}; renew it ({error.message})"
    except ReconcilerError:
        return None  # it is asked again with the next look; whoever pulls and pushes tells of the trouble
    world.push_logins[uid] = (login.version, refusal, now)
    return PushCheck(login.version, refusal)
