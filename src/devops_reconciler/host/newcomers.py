"""Objects of which nothing has been saved yet, as they were told: the first pass over one need not read it.

Before anything is made for an object its intents are saved, and a save is refused where the object is no longer at the
version that was told. So what is told of a new object is as good as a read, once; who was refused reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .copies import packed, unpacked
from .queue import Key

MOST = 2000
"""So many are kept while they wait for their first pass, 2 KB each. The others are read."""
UNSEEN: tuple[dict[str, int], ...] = ({}, {"observedGeneration": -1})
"""A status in which nothing was saved."""


class Newcomers:
    """Each is kept until its first pass, a newer word, or the end of the term."""

    def __init__(self) -> None:
        self._waiting: dict[Key, bytes] = {}

    def note(self, key: Key, obj: Mapping[str, Any]) -> None:
        """The object as it is told to be now."""
        self._waiting.pop(key, None)
        if len(self._waiting) < MOST and _is_new(obj):
            self._waiting[key] = packed(obj)

    def take(self, key: Key) -> dict[str, Any] | None:
        """The object, if it is new and was not taken before."""
        text = self._waiting.pop(key, None)
        return None if text is None else unpacked(text)

    def forget(self, key: Key) -> None:
        """It is gone, or has been saved."""
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """What was told may be old by the time of the next term."""
        self._waiting.clear()


def _is_new(obj: Mapping[str, Any]) -> bool:
    return (obj.get("status") or {}) in UNSEEN and not obj["metadata"].get("deletionTimestamp")
