"""The Lease: which of the replicas acts. The newest that is fit does; where it falls silent, another takes over.

Kopf's peering cannot decide that: it compares clocks of different machines and fences nothing. Here each replica trusts
its own monotonic clock alone. The holder may act until its last renewal (counted from before the request) plus the
duration, less a margin; the others wait for the whole duration from when they saw the last renewal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from ..api.errors import ConflictError, ExternalServiceError, ReconcilerError
from ..runtime.clock import Clock, Instant
from ..runtime.fence import Fence
from ..runtime.logs import get_logger
from ..runtime.urgency import Urgency, urgency
from ..runtime.waiting import first_of
from ..services.kubernetes import LEASE, Kubernetes, Object
from .lease_record import Candidate, LeaseRecord, Move, decide, held_by, record_of, released, renewed_at, wanted_by

NAME = "devops-reconciler"
MARGIN = 0.2
"""Share of the duration by which the holder stops earlier: for the way of a request, and for clocks that run apart."""
ABSENT = ("", "")
"""What stands for the pulse of a Lease that was there and is deleted: its time begins when we see that."""
TURNS = 3
"""How often we look again at once after somebody else's change, before the usual wait."""
VACANT = 3
"""Durations without a sign of life of any holder after which the health check tells of it: all have had their turn."""
APART = timedelta(minutes=5)
"""How long one that watches other namespaces may hold it before a standby's health check tells of it: in a rollout of
other namespaces the replicas of before stand by for a moment."""
SOON = timedelta(seconds=3)
"""The longest wait between two looks of who wants its turn: one that is seen to be fit more seldom is not believed."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class LeasePlace:
    """Where the Lease is and how it is timed."""

    namespace: str
    duration: timedelta
    renew_interval: timedelta
    name: str = NAME


@dataclass(eq=False)
class Term:
    """A time in which this replica acts. `over` asks to stop; who acts says with `end` that nothing is at work."""

    wake: asyncio.Event
    over: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: bool = False
    """Whether somebody has it: a term that is over before anybody took it waits for nobody."""
    lost: bool = False
    """It ran out, or another took it: what is still at work stands before a closed fence."""

    def end(self) -> None:
        """Nothing is at work any more."""
        self.at_work = False
        self.wake.set()


async def _fit() -> str:
    return ""


class Lease:
    """Holds the Lease for one replica, as the supervised task `lease`. `fence` is open while this replica may act."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        clock: Clock,
        fence: Fence,
        me: Candidate,
        place: LeasePlace,
        on_step_back: Callable[[Candidate], Awaitable[None]] | None = None,
        lacks: Callable[[], Awaitable[str]] = _fit,
    ) -> None:
        """`kubernetes` is not behind the fence. `on_step_back` is told our rank after we were found silent.

        `lacks` says why we are not fit to take the Lease from another, empty where we are. What is free or has run out
        is taken all the same: somebody is to act.
        """
        self._kubernetes = kubernetes
        self._clock = clock
        self._fence = fence
        self.me = me
        self._place = place
        self._stepped_back = on_step_back
        self._lacks = lacks
        self._lacking = ""
        self._term: Term | None = None
        self._record: LeaseRecord | None = None
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._apart: tuple[str, str] | None = None
        """Who holds it and watches other namespaces than we do, with these."""
        self._apart_since = 0.0
        self._asked = False
        self._resigned = False
        self._taking = False
        """Whether a request is on its way that may make it ours. Where that fails, the next look tells whose it is."""
        self._problem: str | None = "not looked at yet"
        self._began = asyncio.Event()
        self._wake = asyncio.Event()
        self._last = Term(self._wake)
        self._free = asyncio.Event()

    # What others ask

    @property
    def acts(self) -> bool:
        """Whether this replica may act now."""
        return self._term is not None and self._fence.is_open

    async def next_term(self) -> Term:
        """The term that runs, else the next one. It is at work from now on, until it is said to have ended."""
        while self._term is None or self._term.over.is_set():
            self._began.clear()
            await self._began.wait()
        self._term.at_work = True
        return self._term

    async def resign(self) -> None:
        """End the term in order, release the Lease, and take it no more. Returns when that is done."""
        self._resigned = True
        if self._term is not None:
            self._term.over.set()
        if self._term is not None or self._taking:
            self._free.clear()
            self._wake.set()
            await self._free.wait()

    @property
    def obstacle(self) -> str:
        """Why it could not be looked at or taken at the last turn; empty where it could, or another holds it."""
        return "" if self._record is not None and self._record.holder else self._problem or ""

    async def check(self) -> str:
        """The health check: who acts. Raises ExternalServiceError where that cannot be told, or nobody does."""
        problem = self._problem or self._vacancy() or self._other_release()
        if problem:
            raise ExternalServiceError(
                f"Lease {self._place.namespace}/{self._place.name}: {problem}", service="kubernetes"
            )
        if self.acts:
            return f"{self.me.identity} acts"
        holder = self._record.holder if self._record is not None else ""
        asks = f"; this replica is newer and does not ask for the Lease yet: {self._lacking}" if self._lacking else ""
        return f"standby; {holder or 'nobody'} acts{asks}"

    def _vacancy(self) -> str:
        """That nobody has held it for long; empty where somebody does."""
        record, silent = self._record, self._silent()
        usual = record.duration if record is not None and record.holder else self._place.duration
        if self._term is not None or silent is None or silent < VACANT * max(usual, self._place.duration):
            return ""
        text = f"nobody has held it for {silent.total_seconds():.0f} s, nothing is done"
        if record is None or record.holder or not record.wanted_by:
            return text
        hours = record.duration.total_seconds() / 3600
        return f"{text}; {record.wanted_by} keeps it for {hours:.1f} h from replicas older than itself: start one anew"

    def _other_release(self) -> str:
        """That a replica which watches other namespaces has it for long: ours are left alone. Empty where none does."""
        if self._apart is None or self._clock.monotonic() - self._apart_since < APART.total_seconds():
            return ""
        holder, theirs = self._apart
        return (
            f"{holder} holds it, which watches {theirs}; this replica watches {self.me.watches}. What only one of them "
            "watches is left alone while the other acts: give each release a namespace, or both the same namespaces"
        )

    # The task

    async def run(self) -> None:
        """Take, renew, ask and hand over until cancelled. Raises only what nobody foresaw."""
        with urgency(Urgency.ARRIVAL):  # everything else depends on it
            while True:
                self._wake.clear()
                await self._turn()
                await first_of(self._clock.sleep(self._wait()), self._wake.wait())

    def _wait(self) -> timedelta:
        waits_for_its_turn = self._term is None and (self._asked or self._lacking)
        soon = min(self._place.renew_interval / 4, SOON)
        return soon if waits_for_its_turn else self._place.renew_interval

    async def _turn(self) -> None:
        """One look, and what follows from it."""
        for _ in range(TURNS):
            if self._term is not None and not self._fence.is_open:
                self._lose("it was not renewed in time")
            try:
                await self._follow()
                self._problem = None
                return
            except ConflictError as error:
                # Somebody changed it meanwhile: what is right now depends on what it says.
                self._record, self._problem = None, error.message
            except ReconcilerError as error:
                if self._problem != error.message:
                    _log.warning("the Lease cannot be looked at or renewed", error=error.message, acts=self.acts)
                self._problem = error.message
                return

    async def _follow(self) -> None:
        if self._term is None or self._record is None:
            self._see(await self._kubernetes.get(LEASE, self._place.namespace, self._place.name))
        record = self._record
        if record is not None and record.holder != self.me.identity:
            await self._not_ours(record)
        if self._term is None and (record is None or record.holder != self.me.identity):
            self._free.set()  # also where the answer to our release was lost
        if self._term is None and self._last.at_work:
            return  # what was at work when the Lease was lost must end before the fence may open again
        move = decide(record, self.me, self._silent(), self._place.duration)
        if move is not Move.ASK or self._resigned:
            self._lacking = ""
        if record is None:
            if self._term is not None or (move is Move.TAKE and not self._resigned):
                await self._take(None)
        elif move in (Move.RENEW, Move.HAND_OVER):
            await self._keep(record, move)
        elif move is Move.TAKE and not self._resigned:
            await self._take(record)
        elif move is Move.ASK and not self._resigned:
            await self._ask(record)

    def _see(self, obj: Object | None) -> None:
        record = self._record = record_of(obj, self._place.duration) if obj is not None else None
        if record is None and self._seen is None:
            return  # it has never been there, as far as we know
        self._asked = self._asked and record is not None and record.wanted_by == self.me.identity
        self._compare(record)
        pulse = record.pulse if record is not None else ABSENT
        if pulse != self._seen:
            self._seen, self._seen_at = pulse, self._clock.monotonic()

    def _compare(self, record: LeaseRecord | None) -> None:
        apart = None
        if record is not None and record.holder not in ("", self.me.identity) and record.watches and self.me.watches:
            apart = (record.holder, record.watches) if record.watches != self.me.watches else None
        if apart != self._apart:
            self._apart, self._apart_since = apart, self._clock.monotonic()

    def _silent(self) -> timedelta | None:
        return None if self._seen is None else timedelta(seconds=self._clock.monotonic() - self._seen_at)

    async def _take(self, record: LeaseRecord | None) -> None:
        patch = held_by(self.me, self._place.duration, self._clock.now(), record)
        since = Instant.of(self._clock)
        self._taking = True
        try:
            if record is None:
                patch["metadata"]["name"] = self._place.name
                self._see(await self._kubernetes.create(LEASE, self._place.namespace, patch))
            else:
                self._see(await self._patched(patch))
        finally:
            self._taking = False
        if self._resigned and self._term is None and self._record is not None:
            await self._release(self._record)  # we were told to go meanwhile: no term begins
            return
        self._hold(since)
        _log.info("this replica acts now", identity=self.me.identity, after=record.holder if record else "")

    async def _keep(self, record: LeaseRecord, move: Move) -> None:
        """Ours: renew it, or release it when the work has ended."""
        term = self._term
        if self._resigned or move is Move.HAND_OVER:
            if term is None or not term.at_work:
                await self._release(record)
                return
            if not term.over.is_set():
                _log.info("a newer replica takes over when the work in flight has ended", newer=record.wanted_by)
                term.over.set()
        since = Instant.of(self._clock)
        self._see(await self._patched(renewed_at(self._clock.now(), record)))
        self._hold(since)

    def _hold(self, since: Instant) -> None:
        """It was renewed by a request that was sent at `since`."""
        self._fence.open_for(self._place.duration * (1 - MARGIN), since)
        if self._term is None:
            self._term, self._last = Term(self._wake), Term(self._wake)
            self._asked = False
            self._began.set()

    async def _release(self, record: LeaseRecord) -> None:
        """A release that fails is tried again at the next turn; the fence is closed already."""
        self._fence.close()
        self._end_term()
        self._see(await self._patched(released(self._clock.now(), record)))
        self._free.set()
        _log.info("this replica stands by", next=record.wanted_by)

    async def _ask(self, record: LeaseRecord) -> None:
        """Once we are fit: until then the holder goes on undisturbed."""
        before, self._lacking = self._lacking, await self._lacks()
        if self._lacking:
            if not before:
                _log.info("this replica is newer; it asks for the Lease when it is fit", lacks=self._lacking)
            return
        if self._resigned:
            return  # we were told to go while we looked
        self._see(await self._patched(wanted_by(self.me, record)))
        self._asked = True
        _log.info("this replica is newer and has asked for the Lease", holder=record.holder)

    async def _patched(self, patch: Object) -> Object:
        obj = await self._kubernetes.merge_patch(LEASE, self._place.namespace, self._place.name, patch)
        if obj is None:
            raise ConflictError("the Lease was deleted")
        return obj

    async def _not_ours(self, record: LeaseRecord) -> None:
        """Whoever lost it by silence has shown itself unfit: it stands by, and does not ask for it back."""
        if self._term is not None:
            self._lose(f"{record.holder or 'nobody'} has it")
        if self._last.lost and record.holder and self.me.rank > 0:
            self.me = self.me.stepped_back()
            if self._stepped_back is not None:
                await self._stepped_back(self.me)

    def _lose(self, why: str) -> None:
        """Without having released it: from here on the fence holds up what is still at work."""
        self._fence.close()
        assert self._term is not None
        self._term.lost = True
        self._term.over.set()
        self._end_term()
        self._free.set()
        _log.warning("this replica has lost the Lease and does nothing more", why=why)

    def _end_term(self) -> None:
        if self._term is not None:
            self._last, self._term = self._term, None
