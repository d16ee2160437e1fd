"""A look at an object that rests, without reading again what is known: it can find only that there is nothing to do.

The look is a whole pass, but our own objects come from copies, Ingresses from one list for all, and nothing can be
written, neither outside nor to the status. A pass that would write is no look any more: it is given up, and one that
reads everything afresh takes its place. So no act ever rests on a copy, and a copy that is old costs at worst that what
differs is seen later: when the watch tells of it, or when its copy has counted for an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from ..api.errors import ReconcilerError
from ..kinds import KINDS, Context, Verdict, reconciliation
from ..kinds.reconcile import Reconciliation
from ..resources.world import World
from ..runtime.fence import only_reading
from ..runtime.logs import get_logger
from ..services.kubernetes import DEPLOYMENT_RECORD, INGRESS, NAMESPACE, Object
from ..services.kubernetes_kinds import Kind
from .confirmations import Confirmations
from .copies import Copies
from .destinations import Destinations
from .index import key_of
from .queue import Key
from .store import differing

_log = get_logger(__name__)


class Looked(NamedTuple):
    """A pass that has come to its end: the object as it was seen, the pass, and its verdict."""

    obj: Object
    pass_: Reconciliation[Any, Any]
    verdict: Verdict


class NotAtRest(ReconcilerError):
    """The look would write, or needs what only a read can tell."""


class Rest:
    """Looks at objects that rest."""

    def __init__(self, world: World, copies: Copies, confirmed: Callable[[str], int]) -> None:
        self._world = world
        self._copies = copies
        self._confirmed = confirmed
        self._confirmations = Confirmations(world.kubernetes, world.clock, copies)
        self._destinations = Destinations(world.kubernetes, world.clock, world.settings.poll_interval)

    async def copy(self, key: Key) -> Object | None:
        """The object, if it rests and its copy counts; else None. Raises what a list raises."""
        if not self._copies.rests(key):
            return None
        return await self._confirmations.copy(KINDS[key.kind].kind, key)

    async def look(self, obj: Object) -> Looked | None:
        """What the look found, or None where it was given up. Raises what a fault of our own raises."""
        reads = _Reads(self._world, self._copies, self._confirmations, self._destinations)
        world = replace(self._world, kubernetes=cast(Any, reads))
        rec = reconciliation(Context(world, _Saved(obj), self._confirmed), obj)
        try:
            with only_reading() as block:
                verdict: Verdict = await rec.run()
        except ReconcilerError as error:
            _log.debug("a look is given up", object=str(key_of(obj)), why=error.message)
            return None  # whatever it is, the pass that follows meets it too, and tells it
        return None if reads.refused is not None or block.stopped else Looked(obj, rec, verdict)


class _Saved:
    """The status as it is: there is nothing to save."""

    def __init__(self, obj: Object) -> None:
        self._obj = obj

    async def save(self, fields: Mapping[str, Any]) -> None:
        if changed := differing(self._obj, fields):
            raise NotAtRest(f"would save {', '.join(changed)}")


class _Reads:
    """The API server as a look sees it. Whatever else is asked of it ends the look, also where the error is caught."""

    def __init__(self, world: World, copies: Copies, confirmations: Confirmations, destinations: Destinations) -> None:
        self._real = world.kubernetes
        self._clock = world.clock
        self._copies = copies
        self._confirmations = confirmations
        self._destinations = destinations
        self._read: dict[tuple[Kind, str | None, str], Object | None] = {}
        self.refused: NotAtRest | None = None

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """As `Kubernetes.get`; what has neither copies nor a list (Secrets) is read, once in a look."""
        if namespace is not None and kind.kind in KINDS:
            return await self._ours(kind, Key(kind.kind, namespace, name))
        if kind == NAMESPACE:
            return await self._destinations.namespace(name)
        if kind == INGRESS:
            return await self._destinations.ingress(str(namespace), name)
        if (kind, namespace, name) not in self._read:
            self._read[kind, namespace, name] = await self._real.get(kind, namespace, name)
        return self._read[kind, namespace, name]

    async def _ours(self, kind: Kind, key: Key) -> Object | None:
        known = await self._confirmations.copy(kind, key)
        if known is not None:
            return known
        asked = self._clock.monotonic()
        found = await self._real.get(kind, key.namespace, key.name)
        if found is not None:
            self._copies.read({"kind": kind.kind, **found}, asked)
        return found

    async def list(self, kind: Kind, namespace: str | None, *, labels: str | None = None) -> Sequence[Object]:
        """Records to prune: none. One that ends, or goes, has the next pass over its project read afresh."""
        if kind != DEPLOYMENT_RECORD:
            raise self._refuse(f"the list of {kind.plural}")
        return ()

    def decoded(self, secret: Mapping[str, Any]) -> dict[str, bytes]:
        return self._real.decoded(secret)

    def __getattr__(self, name: str) -> Any:
        raise self._refuse(name)

    def _refuse(self, what: str) -> NotAtRest:
        self.refused = NotAtRest(f"would need {what}")
        return self.refused
