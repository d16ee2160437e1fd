"""Deliveries that nothing can be written for, and whether that is the API server's state or their own.

An error alone does not tell: where the admission webhook of one project is down, the API server answers 500 or not at
all, as it does when it is ill itself. What tells is what becomes of the others. While nobody's message can be written,
all are held without limit, and hardly any is taken. As soon as one of another project is written, those that are held
are so for a reason of their own: they wait, as for a project that is being deleted, and hold up nobody else. Their time
runs only while others are written: where nothing else comes, an API server that has gone away since looks the same.

A dead letter that the broker does not take is held as well, until it does. That says nothing of what can be written:
it stops nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..runtime.clock import Clock
from ..runtime.manager import Backoff

Place = tuple[str, str]
"""Namespace and project of a message."""
PROBE = Backoff(first=timedelta(seconds=5), longest=timedelta(minutes=1))
"""Waits, while messages are held, before one more of another project is tried: what is in flight may prove nothing."""
VOUCHES = timedelta(minutes=1)
"""For how long a write shows that the API server is well."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class _Held:
    place: Place | None
    why: str
    is_write: bool


class Holding:
    """What is held, and which places fail alone. Works are known by identity."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[object, _Held] = {}
        self._alone: set[Place] = set()
        """Places that fail while others are answered."""
        self._answered_at = NEVER
        self._probes = 0
        self._probed_at = NEVER
        self._probing = False
        self.answers = 0
        """Counts what was written, of all places."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def why(self) -> str:
        """The error of one of them."""
        return next((it.why for it in self._held.values()), "")

    @property
    def places(self) -> set[Place | None]:
        """The places of what is held."""
        return {it.place for it in self._held.values()}

    @property
    def writes(self) -> bool:
        """Whether a write is held, not only dead letters."""
        return any(it.is_write for it in self._held.values())

    @property
    def stops(self) -> bool:
        """Whether no more is to be taken: a write is held, and no probe is due."""
        return self.writes and not self._probing

    def hold(self, work: object, place: Place | None, why: str, *, is_write: bool) -> None:
        """Hold what has failed. What is no write to the API server (a dead letter) is not released by another one's."""
        now = self._clock.monotonic()
        if is_write and not self.writes:
            self._probes, self._probed_at = 0, now
        elif is_write and now - self._probed_at >= PROBE.delay(self._probes + 1).total_seconds():
            self._probing = True
        self._held[work] = _Held(place, why, is_write)

    def release(self, work: object) -> bool:
        """Hold it no longer; whether it was held."""
        was_held = self._held.pop(work, None) is not None
        self._probing = self._probing and self.writes
        return was_held

    def note_probe(self) -> None:
        """A message is tried whose place is not held: one is enough until the next probe is due."""
        if self._probing:
            self._probing = False
            self._probes += 1
            self._probed_at = self._clock.monotonic()

    def note_answer(self, place: Place | None) -> bool:
        """Something of this place was written: the API server is well. Whether anything was held for its sake.

        A refusal would prove less: it may be given before anything would be stored.
        """
        self.answers += 1
        self._answered_at = self._clock.monotonic()
        if place is not None:
            self._alone.discard(place)
        others = {work: it for work, it in self._held.items() if it.is_write and it.place != place}
        for work, it in others.items():
            self._note_alone(it.place)
            self.release(work)
        return bool(others)

    def is_alone(self, place: Place | None, answers: int) -> bool:
        """Whether a place fails alone: others were written since there were so many `answers`, or it did so before."""
        if self.answers > answers:
            self._note_alone(place)
        return place in self._alone

    def _note_alone(self, place: Place | None) -> None:
        if place is not None:
            self._alone.add(place)

    @property
    def vouched(self) -> bool:
        """Whether something was written a short while ago, so that the API server is well."""
        return self._clock.monotonic() - self._answered_at <= VOUCHES.total_seconds()

    def forget(self, place: Place) -> None:
        """Nothing of this place is left."""
        self._alone.discard(place)
