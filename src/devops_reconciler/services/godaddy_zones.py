"""Reads of whole zones, which many share: a write at one name says nothing of the others.

GoDaddy allows for 60 requests a minute to list records, and each page of a zone is one. Were a shared read thrown away
with each write, as many reads would be needed as records are written.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ..runtime.clock import Clock
from .godaddy_types import Record, ZoneRecords, full_name, plain_name
from .rounds import Rounds

Read = Callable[[], Coroutine[Any, Any, tuple[Record, ...]]]


class ZoneReads:
    """One read of a zone at a time, and one that waits for it; each is shared as long as those who ask allow.

    Who looks at a name that was written here gets what was read after that. Only writes since the last read began are
    remembered: no older read is given out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rounds: Rounds[ZoneRecords] = Rounds(clock)
        self._written: dict[str, dict[str, float]] = {}
        """When each name was written last, by zone; seconds of the monotonic clock."""

    async def get(self, zone: str, read: Read, names: Iterable[str] | None, max_age: timedelta) -> ZoneRecords:
        """What `read` brings for the zone, for who looks at these names in it (full ones); None means at all.

        It began at most `max_age` ago. Raises what `read` raises.
        """
        key = plain_name(zone)

        async def begun() -> ZoneRecords:
            self._forget_before(key, self._clock.monotonic())
            return ZoneRecords(zone, await read())

        return await self._rounds.get(key, begun, min(max_age, self._since_written(key, names)))

    @contextmanager
    def writing(self, zone: str, name: str) -> Iterator[None]:
        """What is written inside, at this relative name, is in what is given out afterwards to who looks at it.

        However it ends: what failed may have been done. A read that runs beside it may show either state.
        """
        try:
            yield
        finally:
            self._written.setdefault(plain_name(zone), {})[full_name(name, zone)] = self._clock.monotonic()

    def _since_written(self, key: str, names: Iterable[str] | None) -> timedelta:
        written = self._written.get(key, {})
        looked_at = written if names is None else written.keys() & {plain_name(each) for each in names}
        if not looked_at:
            return timedelta.max
        return timedelta(seconds=self._clock.monotonic() - max(written[each] for each in looked_at))

    def _forget_before(self, key: str, moment: float) -> None:
        """A read began at this moment: an older one is never given out again."""
        left = {name: at for name, at in self._written.pop(key, {}).items() if at >= moment}
        if left:
            self._written[key] = left
