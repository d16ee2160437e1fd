"""Our finalizer, where Kopf has failed to put it on or to take it off.

Kopf does both, when it is told of an object. Where its patch fails it drops the event, and tells nobody: the object
would stay as it is until somebody changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..api.definitions import FINALIZER
from ..api.errors import Waiting
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..services.kubernetes import Kubernetes, Object
from ..services.kubernetes_kinds import Kind
from .queue import Key

_log = get_logger(__name__)


class Finalizers:
    """Gives Kopf its time, then does it itself, under the resourceVersion that was read."""

    def __init__(self, kubernetes: Kubernetes, clock: Clock, patience: timedelta) -> None:
        """`patience` is how long Kopf may take."""
        self._kubernetes = kubernetes
        self._clock = clock
        self._patience = patience
        self._waits: dict[Key, tuple[str, bool, float]] = {}
        """For what Kopf has something to do: UID, whether it is being deleted, and since when (monotonic)."""

    def patience(self, key: Key, obj: Object) -> timedelta:
        """How long Kopf may still take over the object, as it is now."""
        metadata, now = obj["metadata"], self._clock.monotonic()
        state = (str(metadata["uid"]), bool(metadata.get("deletionTimestamp")))
        uid, going, since = self._waits.get(key, ("", False, now))
        if (uid, going) != state:
            since = now
            self._waits[key] = (*state, since)
        return max(timedelta(0), self._patience - timedelta(seconds=now - since))

    def forget(self, key: Key) -> None:
        """Kopf has done it, or the object is gone."""
        self._waits.pop(key, None)

    def clear(self) -> None:
        """Begin anew in the next term."""
        self._waits.clear()

    async def put_on(self, kind: Kind, key: Key, obj: Object) -> Object | None:
        """The object with our finalizer; None where it is gone.

        Raises Waiting while Kopf may still do it, ConflictError where somebody else changed the object.
        """
        if (left := self.patience(key, obj)) > timedelta(0):
            raise Waiting("Kopf has not put our finalizer on yet", after=left)
        _log.warning("Kopf has put no finalizer on; done in its place", object=str(key))
        return await self._patch(kind, key, obj, [*_finalizers(obj), FINALIZER])

    async def take_off(self, kind: Kind, key: Key, obj: Object) -> timedelta | None:
        """Nothing of the object is left outside. Gives when to look again; None where we do not hold it.

        Raises ReconcilerError, ConflictError where somebody else changed the object.
        """
        if FINALIZER not in _finalizers(obj):
            return None
        if (left := self.patience(key, obj)) > timedelta(0):
            return left
        _log.warning("Kopf has not taken our finalizer off; done in its place", object=str(key))
        await self._patch(kind, key, obj, [name for name in _finalizers(obj) if name != FINALIZER])
        return self._patience

    async def _patch(self, kind: Kind, key: Key, obj: Object, finalizers: Sequence[str]) -> Object | None:
        metadata = {"finalizers": finalizers, "resourceVersion": obj["metadata"]["resourceVersion"]}
        return await self._kubernetes.merge_patch(kind, key.namespace, key.name, {"metadata": metadata})


def is_held(obj: Object) -> bool:
    """Whether our finalizer holds it: before, it could go while we make things for it. Kopf puts it on, and tells."""
    return FINALIZER in _finalizers(obj) or bool(obj["metadata"].get("deletionTimestamp"))


def _finalizers(obj: Object) -> Sequence[str]:
    return obj["metadata"].get("finalizers") or ()
