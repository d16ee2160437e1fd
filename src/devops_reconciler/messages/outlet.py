"""What one record still has to say: pure bookkeeping of its heartbeats, in order and without gaps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ..api.heartbeat import ticked
from ..runtime.tracing import NO_ORIGIN

Entry = Mapping[str, Any]

EXPIRY = "expiry"
"""The step of news that come after the end of a deployment; they are not repeated."""


def is_sound(entry: object) -> bool:
    """Whether an entry of an outbox can be sent: it lies in status, where anybody may have edited it.

    None is a repetition: those are made from the last change (`Outlet.next`), and never saved.
    """
    payload = entry.get("payload") if isinstance(entry, Mapping) else None
    if not isinstance(payload, Mapping) or "tick" in payload:
        return False
    sequence = payload.get("sequence")
    named = all(isinstance(payload.get(key), str) for key in ("project", "deployment"))
    return named and isinstance(sequence, int) and not isinstance(sequence, bool) and sequence >= 1


def sequence_of(entry: Entry) -> int:
    """The entry's sequence."""
    return int(entry["payload"]["sequence"])


class Outlet:
    """The heartbeats of one record. Entries are kept by reference, never copied or changed."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.confirmed = 0
        """The highest sequence that the broker has confirmed to this process."""
        self.scheduled = False
        """In the queue of the workers, or at one of them."""
        self.gone = False
        """Forgotten: nothing more is to be sent."""
        self.tried = False
        """The last attempt has no confirm, or not yet: others go first."""
        self.refusals = 0
        """How often in a row the broker did not take what was sent."""
        self.refusal: str | None = None
        """Why not."""
        self.held_until: float | None = None
        """Nothing is sent until then, on the monotonic clock; None where it is not held back."""
        self.due: float | None = None
        """When the next tick is due, on the monotonic clock."""
        self.origin = NO_ORIGIN
        """The trace that they belong to."""
        self._waiting: deque[Entry] = deque()
        self._last: Entry | None = None
        self._ended = False
        self._ticks = 0
        self._tick_wanted = False

    def offer(self, entries: Iterable[Entry]) -> bool:
        """Take what is new, in order. True where there is something to send now."""
        highest = sequence_of(self._waiting[-1]) if self._waiting else self.confirmed
        for entry in sorted(entries, key=sequence_of):
            if sequence_of(entry) > highest:
                self._waiting.append(entry)
                highest = sequence_of(entry)
        return self.has_work

    @property
    def waiting(self) -> int:
        """How many changes wait for their confirmation."""
        return len(self._waiting)

    @property
    def has_work(self) -> bool:
        """Whether a worker would find something to send."""
        return not self.gone and self.held_until is None and (bool(self._waiting) or self._tick_wanted)

    def next(self) -> Entry | None:
        """What is to be sent next: a change, else a tick that was asked for, else None."""
        if self.gone:
            return None
        if self._waiting:
            return self._waiting[0]
        if self._tick_wanted and self._last is not None:
            return ticked(self._last, self._ticks + 1)
        return None

    def sent(self, entry: Entry, at: float, interval: float) -> int | None:
        """The broker has confirmed the entry. Gives its sequence where it was a change, None for a tick."""
        self._tick_wanted = self.tried = False
        self.refusals, self.refusal = 0, None
        if "tick" in entry["payload"]:
            self._ticks = int(entry["payload"]["tick"])
            self.due = at + interval
            return None
        sequence = sequence_of(entry)
        self._waiting.popleft()
        self.confirmed = max(self.confirmed, sequence)
        self._ended = self._ended or bool(entry["payload"].get("terminal"))
        goes_on = not self._ended and entry["payload"].get("step") != EXPIRY
        self._last, self._ticks = (entry, 0) if goes_on else (None, 0)
        self.due = at + interval if goes_on else None
        return sequence

    def want_tick(self, at: float, interval: float) -> bool:
        """Ask for a tick where one is due, and put the next one off. True where there is something to send."""
        if self.due is None or self.due > at:
            return False
        self.due = at + interval
        self._tick_wanted = self._last is not None and not self._waiting and self.held_until is None
        return self._tick_wanted

    def hold(self, why: str, until: float) -> None:
        """The broker does not take it: nothing is sent until then."""
        self.refusal, self.held_until = why, until

    def release(self, at: float) -> bool:
        """End the hold where it is over. True where there is something to send."""
        if self.held_until is not None and self.held_until <= at:
            self.held_until = None
        return self.has_work

    def drop_tick(self) -> None:
        """A tick that could not be sent is lost."""
        self._tick_wanted = False
