"""A memory with a bound: what was used last, and before that what must not be forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _of_none(value: object) -> bool:
    return False


class Recent(Generic[K, V]):
    """The last `size` entries by use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, which is used by that; None where there is none."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: K, value: V, keep: Callable[[V], bool] = _of_none) -> V:
        """Remember `value`. Where there is no room, the oldest goes that is not to be kept, else the oldest of all."""
        self._entries.pop(key, None)
        if len(self._entries) >= self._size:
            oldest = next(iter(self._entries))
            del self._entries[next((each for each, held in self._entries.items() if not keep(held)), oldest)]
        self._entries[key] = value
        return value
