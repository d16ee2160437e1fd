"""The newest copies of our objects that we know of: from the watch, from our own reads, and as our own saves gave them.

They spare the reads of a look at an object that rests (`host/rest.py`). Nothing is ever done because of a copy: who
wants to write reads first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..runtime.clock import Clock
from ..services.kubernetes import DEPLOYMENT_RECORD
from .index import key_of
from .queue import Key

COUNTS_FOR = timedelta(hours=1)
"""How long a copy counts after it was told, read, or found again in a list: so late at most shows what the watch has
missed."""


@dataclass(slots=True)
class _Copy:
    version: str
    text: bytes
    """As JSON: a fifth of the memory, and nobody can change it."""
    at: float
    """When it was last known to be the newest (monotonic)."""


class Copies:
    """One copy of each object, and which objects rest: a pass over what is there now has found nothing to do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Key, _Copy] = {}
        self._at_work: set[Key] = set()
        """Under a pass that has read them, with nothing told or saved since."""
        self._resting: set[Key] = set()

    # Copies

    def learn(self, obj: Mapping[str, Any]) -> bool:
        """The object as somebody has told it. False where it is no news: known, or older than what is known.

        Records are left out: they are many, and have passes only as long as there is something to do.
        """
        if obj["kind"] == DEPLOYMENT_RECORD.kind:
            return False
        key, version = key_of(obj), str(obj["metadata"]["resourceVersion"])
        known = self._known.get(key)
        if known is not None and not _is_newer(version, known.version):
            return False
        self._known[key] = _Copy(version, packed(obj), self._clock.monotonic())
        return True

    def get(self, key: Key) -> dict[str, Any] | None:
        """A copy to keep; None where there is none that counts: then it has to be read."""
        known = self._known.get(key)
        return unpacked(known.text) if known is not None and self.counts(key) else None

    def knows(self, key: Key) -> bool:
        """Whether there is a copy, however old."""
        return key in self._known

    def counts(self, key: Key) -> bool:
        """Whether it was known to be the newest not long ago."""
        known = self._known.get(key)
        return known is not None and self._clock.monotonic() - known.at < COUNTS_FOR.total_seconds()

    def read(self, obj: Mapping[str, Any], asked: float) -> None:
        """The object as the API server has given it to who asked for it then (monotonic)."""
        self.learn(obj)
        self.confirm([obj], asked)

    def confirm(self, listed: Iterable[Mapping[str, Any]], asked: float) -> None:
        """What a list has that was asked for then (monotonic): the copies that say the same count anew."""
        for obj in listed:
            known = self._known.get(key_of(obj))
            if known is not None and known.version == obj["metadata"]["resourceVersion"]:
                known.at = max(known.at, asked)

    def forget(self, key: Key) -> None:
        """It is gone, or not to be trusted."""
        self._known.pop(key, None)
        self.doubt(key)

    def clear(self) -> None:
        """Know nothing: everything is read once before it is left alone."""
        self._known.clear()
        self._at_work.clear()
        self._resting.clear()

    # Who rests

    def begin(self, key: Key) -> None:
        """A pass is about to read the object."""
        self._resting.discard(key)
        self._at_work.add(key)

    def settle(self, key: Key, version: str) -> None:
        """The pass has found nothing to do for the object as it is at `version`.

        It rests, unless something was told meanwhile that the pass may not have seen.
        """
        known = self._known.get(key)
        if key in self._at_work and known is not None and known.version == version:
            self._resting.add(key)

    def doubt(self, key: Key) -> None:
        """Something has changed that a pass has to see which reads afresh."""
        self._resting.discard(key)
        self._at_work.discard(key)

    def rests(self, key: Key) -> bool:
        return key in self._resting


def _is_newer(version: str, known: str) -> bool:
    """The API server counts versions up (KEP-5504). Where it does not, another version may be the newer one."""
    if version.isdecimal() and known.isdecimal():
        return int(version) > int(known)
    return version != known


def packed(obj: Mapping[str, Any]) -> bytes:
    """An object to be kept, without `managedFields`, which nobody asks for and which are often the larger half."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return json.dumps({**obj, "metadata": metadata}, separators=(",", ":")).encode()


def unpacked(text: bytes) -> dict[str, Any]:
    """The object that was kept."""
    return dict(json.loads(text))
