"""Kopf: its events wake the objects. The handlers decide nothing; the loop works from the status."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain, repeat, takewhile
from pathlib import Path
from typing import Any

import kopf

from ..api.definitions import FINALIZER, GROUP, VERSION
from ..kinds import KINDS
from ..runtime.settings import Settings
from ..services.kubernetes_access import ClusterAccess
from ..services.kubernetes_session import OpenWatches, kopf_session
from .diffbase import NothingCompared
from .loop import Loop

ANNOTATIONS = "kopf.freeleaps.com"
CHUNK = 100
"""Objects in each answer to a list of Kopf's: by default one answer has all, some 100 KB for each record."""
IDLE_TIMEOUT = 1.0
"""Seconds for which Kopf keeps an object after it has told of it. By default so long that a start holds nearly all."""
EXIT_TIMEOUT = 2.0
"""Seconds for handlers to end: they have nothing to end but their waiting, the work is in our loop."""

REQUEST_TIMEOUT = timedelta(seconds=30)
"""Of one request of Kopf, once it goes out."""
LONGEST_TURN = 600.0
"""Seconds after which a request of Kopf fails that had no turn to go out; it is tried again."""


class Patience:
    """Seconds between the tries of one request of Kopf's, without an end until we stop, anew for each request.

    With an end, Kopf gives up: a watch or a sign of life then ends the process, after half a minute without the API
    server, and the change of an object is never handled (`kopf._cogs.clients.api.request`). When we stop it must give
    up: its good-bye to the peers would take as long as the API server is away.
    """

    FIRST = (0.2, 0.5, 1.0, 2.0, 3.0)
    LONGEST = 5.0

    def __init__(self, over: Callable[[], bool]) -> None:
        self._over = over

    def __iter__(self) -> Iterator[float]:
        return takewhile(lambda _: not self._over(), chain(self.FIRST, repeat(self.LONGEST)))


HELD_FOR = timedelta(minutes=10)
"""How long one call holds a deletion: meanwhile Kopf keeps the whole object anew for each event of it."""


def registry_of(loop: Loop, access: ClusterAccess, watches: OpenWatches) -> kopf.OperatorRegistry:
    """All handlers, for one loop: of each kind one for all events, and one that holds a deletion.

    None for creation, update and resumption: their events say the same, and for each one Kopf would take three times
    as long. No timers and daemons: for each object Kopf would keep a task, and the whole object for it. The loop comes
    back by itself.
    """
    registry, identity = kopf.OperatorRegistry(), Login(access, watches)

    async def changed(event: Any, **_: Any) -> None:
        loop.noticed(dict(event["object"]), deleted=event["type"] == "DELETED")

    async def deleted(body: kopf.Body, **_: Any) -> None:
        if not await loop.wait_released(_plain(body), HELD_FOR):
            raise kopf.TemporaryError("it is not removed yet: its conditions say why", delay=0.1)

    async def login(**_: Any) -> kopf.AiohttpSession:
        return identity.session()

    kopf.on.login(registry=registry)(login)
    for what in KINDS.values():
        resource = (GROUP, VERSION, what.kind.plural)
        kopf.on.delete(*resource, registry=registry, id="deleted")(deleted)
        kopf.on.event(*resource, registry=registry, id="changed")(changed)
    return registry


def _plain(body: kopf.Body) -> dict[str, Any]:
    return {"kind": body["kind"], "metadata": dict(body.metadata), "spec": dict(body.spec), "status": dict(body.status)}


class Login:
    """The same cluster and identity that our own client uses.

    One session for each token, so that Kopf knows a token again that was refused, and does not try it for ever.
    """

    def __init__(self, access: ClusterAccess, watches: OpenWatches) -> None:
        self._access = access
        self._watches = watches
        self._sessions: dict[str | None, kopf.AiohttpSession] = {}

    def session(self) -> kopf.AiohttpSession:
        """The one of the token of now. To be called where an event loop runs."""
        token = self._token()
        if token not in self._sessions:
            session = kopf_session(self._access, token, REQUEST_TIMEOUT, self._watches)
            self._sessions = {token: kopf.AiohttpSession(server=self._access.server, aiohttp_session=session)}
        return self._sessions[token]

    def _token(self) -> str | None:
        if self._access.token is not None or self._access.token_file is None:
            return self._access.token
        return Path(self._access.token_file).read_text(encoding="utf-8").strip()


def operator_settings(settings: Settings, over: Callable[[], bool] = lambda: False) -> kopf.OperatorSettings:
    """How Kopf runs, until it is `over`; each value has its story in Kopf's issues (docs/architecture.md).

    Its priority among its peers is for `Peers` to say.
    """
    found = kopf.OperatorSettings()
    found.persistence.finalizer = FINALIZER
    found.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=ANNOTATIONS)
    found.persistence.diffbase_storage = NothingCompared()
    found.posting.enabled = False
    found.peering.name = settings.reconciler_peering_name
    # As the Lease: a holder must not be paused for longer than it takes to become one.
    found.peering.lifetime = max(1, math.ceil(settings.lease_duration.total_seconds()))
    # Else a namespace without its peering would pause Kopf in all of them. The Lease decides who acts.
    found.peering.mandatory = False
    found.watching.chunk_size = CHUNK
    found.watching.connect_timeout = 10
    found.networking.connect_timeout = 10
    found.networking.request_timeout = LONGEST_TURN
    found.networking.enforce_retry_after = True
    found.networking.error_backoffs = Patience(over)
    found.queueing.exit_timeout = EXIT_TIMEOUT
    found.queueing.idle_timeout = IDLE_TIMEOUT
    found.process.ultimate_exiting_timeout = settings.reconciler_shutdown_timeout.total_seconds() + 4
    found.scanning.disabled = True
    return found
