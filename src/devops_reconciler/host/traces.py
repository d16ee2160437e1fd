"""The spans of passes, in the traces that their objects belong to.

An object carries its trace in an annotation, written when it was made: so passes find it after a restart and in
another replica. One that nobody traced (made with kubectl) has a trace whose id comes from its UID.

Only passes that matter are kept. A deployment is looked at again and again while it waits, and all objects every few
minutes: these looks would be most of all spans, and tell nothing that the next pass with a change does not tell.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..resources.marks import TRACEPARENT
from ..runtime import tracing
from ..runtime.tracing import NO_ORIGIN, UNTRACED, Origin, Span
from .index import key_of
from .queue import Key


class Traces:
    """Remembers the trace of each object: a pass belongs to it from its first request, which reads the object."""

    def __init__(self) -> None:
        self._origins: dict[Key, tuple[str, Origin]] = {}

    def note(self, obj: dict[str, Any]) -> None:
        """An object as it was seen."""
        if tracing.is_on():
            self._origins[key_of(obj)] = (obj["metadata"]["uid"], origin_of(obj))

    def forget(self, key: Key) -> None:
        """It is gone."""
        self._origins.pop(key, None)

    def passing(self, key: Key) -> AbstractContextManager[Span]:
        """The span of one pass. An object that was not seen yet begins a trace of its own."""
        if not tracing.is_on():
            return UNTRACED
        uid, origin = self._origins.get(key, ("", NO_ORIGIN))
        about = {
            "freeleaps.kind": key.kind,
            "k8s.namespace.name": key.namespace,
            "freeleaps.name": key.name,
            "freeleaps.uid": uid,
        }
        return tracing.attempt(f"reconcile {key.kind}", about, origin)


def origin_of(obj: dict[str, Any]) -> Origin:
    """The trace that an object belongs to. An annotation can be edited by hand: nonsense counts as none."""
    metadata = obj["metadata"]
    return Origin((metadata.get("annotations") or {}).get(TRACEPARENT), metadata["uid"])
