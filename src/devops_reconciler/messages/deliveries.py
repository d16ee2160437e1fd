"""The deliveries of one connection: each written, held or buried, and then acknowledged.

Messages of one project are worked on in the order in which they came, those of different projects side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from aio_pika.abc import AbstractIncomingMessage

from ..api.conditions import Reason
from ..api.errors import ExternalServiceError, ReconcilerError, Refused
from ..api.messages import InboundMessage
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.manager import Backoff
from ..runtime.metrics import Metrics
from ..runtime.tracing import Span
from ..runtime.waiting import first_of
from .canary import TYPE as CANARY
from .canary import is_canary
from .connection import ask
from .holding import Holding, Place
from .inbox import Outcome, read
from .replayed import replayed_at
from .traced import taking
from .verdict import UNFORESEEN_ATTEMPTS, Verdict, reason_and_text, verdict

BACKOFF = Backoff(first=timedelta(milliseconds=500), longest=timedelta(seconds=10))
DEAD_LETTERED = "dead-lettered"
UNKNOWN = "unknown"

_log = get_logger(__name__)


class Accepts(Protocol):
    """What makes custom resources of messages (`Inbox`)."""

    def place(self, message: InboundMessage) -> tuple[str, str]: ...

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome: ...


Bury = Callable[[AbstractIncomingMessage, Reason, str], Awaitable[None]]
"""Publishes a dead letter (`DeadLetters.bury`)."""


Echo = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Answers a canary; raises ReconcilerError where it cannot."""


async def _no_echo(_canary: AbstractIncomingMessage) -> None:
    """Nobody answers."""


@dataclass(eq=False)
class _Work:
    """One delivery on its way to its acknowledgement."""

    delivery: AbstractIncomingMessage
    message: InboundMessage | None
    began: float
    place: Place | None = None
    """Namespace and project, where it is a message."""
    doom: tuple[Reason, str] | None = None
    """Why it goes to the dead-letter queue, once that is decided."""
    outcome: Outcome | None = None
    failures: int = 0
    unforeseen: int = 0
    answers: int = 0
    """How many writes of all had been answered when this one last failed, or was first tried."""
    since: float = 0.0
    """When this one last failed, or was first tried (monotonic)."""
    waited: float = 0.0
    """Seconds for which its project, and nothing else, has been what it waits for."""


@dataclass
class Lane:
    """What the deliveries need around them."""

    inbox: Accepts
    bury: Bury
    clock: Clock
    metrics: Metrics
    wait_limit: timedelta
    backoff: Backoff = field(default=BACKOFF)
    echo: Echo = _no_echo
    queue: str = ""
    """Where the deliveries come from, for traces."""


class Deliveries:
    """Works on what `take` gives it. `changed` is set whenever `stops`, `held`, `stuck` or `broken` have changed."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.changed = asyncio.Event()
        self.broken: ReconcilerError | None = None
        """Why this connection cannot be used any longer: an acknowledgement did not get through."""
        self.settled_at = lane.clock.monotonic()
        """When a delivery was last acknowledged; at first, the beginning."""
        self._open: set[_Work] = set()
        self._holding = Holding(lane.clock)
        self._waiting: dict[Place, str] = {}
        """Why the first message of a project waits, while it does."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[Place, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._answered = asyncio.Event()

    @property
    def held(self) -> int:
        """How many deliveries wait for a service that is away."""
        return len(self._holding)

    @property
    def holds_writes(self) -> bool:
        """Whether one of them waits for the API server, and not for the dead-letter queue."""
        return self._holding.writes

    @property
    def stops(self) -> bool:
        """Whether no more is to be taken, because nothing can be written; now and then one more is tried."""
        return self._holding.stops

    def stuck(self, consumer: str | None = None) -> int:
        """How many deliveries wait or are held, or are behind such a one: of this consumer tag, or of all."""
        return self._count(self._holding.places | set(self._waiting), consumer)

    def waiting(self, consumer: str | None = None) -> int:
        """How many deliveries wait for their project, or behind one that does: of this consumer tag, or of all."""
        return self._count(self._waiting, consumer)

    def _count(self, places: Collection[Place | None], consumer: str | None) -> int:
        return sum(work.place in places and consumer in (None, work.delivery.consumer_tag) for work in self._open)

    @property
    def why_waiting(self) -> str:
        """The error of one of them."""
        return next(iter(self._waiting.values()), "")

    def oldest(self) -> float:
        """The age in seconds of the oldest message that is not acknowledged yet, since it was sent; 0 for none."""
        return max((self._age(work) for work in self._open), default=0.0)

    def _age(self, work: _Work) -> float:
        here = self._lane.clock.monotonic() - work.began
        if work.message is None:
            return here
        return max(here, (self._lane.clock.now() - work.message.timestamp).total_seconds())

    @property
    def why_held(self) -> str:
        """The error of one of them."""
        return self._holding.why

    def take(self, delivery: AbstractIncomingMessage) -> None:
        """Begin to work on a delivery."""
        if is_canary(delivery):
            self._begin(self._answer(delivery))
            return
        work = _Work(delivery, None, self._lane.clock.monotonic())
        self._read(work)
        place = work.place
        before = self._last.get(place) if place is not None else None
        if place is not None and before is None:
            self._holding.note_probe()
        self._open.add(work)
        task = self._begin(self._settle(work, before))
        task.add_done_callback(lambda _: self._open.discard(work))
        if place is not None:
            self._last[place] = task
            task.add_done_callback(lambda done: self._forget(place, done))
            if self.held or place in self._waiting:
                self.changed.set()

    def _read(self, work: _Work) -> None:
        """The message, or why it is none. Whatever is wrong with it: an error here would leave it unacknowledged."""
        try:
            work.message = read(work.delivery.body)
            work.place = self._lane.inbox.place(work.message)
        except Refused as error:
            work.doom = reason_and_text(error)
        except Exception as error:  # noqa: BLE001 - becomes a dead letter, a log line and a metric
            self._note_failure(work, error)
            work.doom = reason_and_text(error)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="delivery")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answer(self, canary: AbstractIncomingMessage) -> None:
        """An answer that does not get through is its sender's to miss: that is what it is for."""
        outcome = "answered"
        try:
            await self._lane.echo(canary)
        except ReconcilerError as error:
            outcome = "unanswered"
            _log.warning("A canary was not answered", error=error.message)
        if await self._acknowledged(canary):
            self._lane.metrics.messages.labels(CANARY, outcome).inc()

    def _forget(self, place: Place, task: asyncio.Task[None]) -> None:
        if self._last.get(place) is task:
            del self._last[place]
            self._holding.forget(place)
        if self._waiting.pop(place, None) is not None:
            self.changed.set()

    async def stop(self, within: timedelta) -> None:
        """Let writes that run come to their end; what waits goes back to the broker with the connection."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within.total_seconds())
        left = set(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _settle(self, work: _Work, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        with taking(work.delivery, work.message, self._lane.queue) as span:
            work.answers, work.since = self._holding.answers, self._lane.clock.monotonic()
            while not self._stopping.is_set():
                error = await self._attempt(work)
                if error is None:
                    _note_end(span, work)
                    return
                await self._pause(self._judge(work, error))

    async def _attempt(self, work: _Work) -> BaseException | None:
        """One try, as a task of its own, so that any failure can be looked at instead of being caught."""
        attempt = asyncio.create_task(self._handle(work))
        try:
            await asyncio.wait({attempt})
        finally:
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})
        if attempt.cancelled():
            return ExternalServiceError("the write was interrupted", service="kubernetes")
        return attempt.exception()

    async def _handle(self, work: _Work) -> None:
        if work.doom is not None:
            await self._lane.bury(work.delivery, *work.doom)
        elif work.outcome is None and work.message is not None:
            work.outcome = await self._lane.inbox.accept(work.message, replayed_at(work.delivery.headers))
            if self._holding.note_answer(work.place):
                self._wake()
            for other in self._of_place(work.place):
                other.waited = 0.0
        self._release(work)
        await self._acknowledge(work)

    async def _acknowledge(self, work: _Work) -> None:
        if await self._acknowledged(work.delivery):
            self._report(work)

    async def _acknowledged(self, delivery: AbstractIncomingMessage) -> bool:
        """What is not acknowledged comes again on the next connection, which is harmless."""
        try:
            await ask("acknowledge", delivery.ack())
        except ReconcilerError as error:
            self.broken = error
            self.changed.set()
            return False
        self.settled_at = self._lane.clock.monotonic()
        return True

    def _release(self, work: _Work) -> None:
        if self._holding.release(work):
            self._wake()

    def _wake(self) -> None:
        """Let all that pause try again: somebody has got through."""
        self._answered.set()
        self._answered = asyncio.Event()
        self.changed.set()

    def _judge(self, work: _Work, error: BaseException) -> timedelta:
        """Decide, and say when to try again."""
        work.failures += 1
        said = self._verdict(work, error)
        unforeseen = not isinstance(error, ReconcilerError)
        if unforeseen:
            work.unforeseen += 1
            self._note_failure(work, error)
        if said is Verdict.HOLD:
            self._hold(work, error)
        else:
            self._release(work)
        exhausted = said is Verdict.WAIT and self._is_wait_over(work, error)
        work.answers, work.since = self._holding.answers, self._lane.clock.monotonic()
        if said is Verdict.DEAD_LETTER or exhausted:
            work.doom = reason_and_text(error)
            return timedelta(0)
        if said is Verdict.WAIT:
            self._wait(work, error)
        asked = getattr(error, "after", None)
        return asked if isinstance(asked, timedelta) else self._lane.backoff.delay(work.failures)

    def _verdict(self, work: _Work, error: BaseException) -> Verdict:
        if work.doom is not None:
            return Verdict.HOLD
        said = verdict(error)
        alone = said is Verdict.HOLD and self._holding.is_alone(work.place, work.answers)
        return Verdict.WAIT if alone else said

    def _note_failure(self, work: _Work, error: BaseException) -> None:
        _log.error("The operator failed on a message", event_id=_event_id(work), exc_info=error)
        self._lane.metrics.internal_errors.labels("message_listener").inc()

    def _is_wait_over(self, work: _Work, error: BaseException) -> bool:
        """Whether it has waited for as long as it may. What passes while the API server may be away does not count."""
        if not isinstance(error, ReconcilerError):
            return work.unforeseen >= UNFORESEEN_ATTEMPTS
        if verdict(error) is Verdict.HOLD and not self._holding.vouched:
            return False
        now = self._lane.clock.monotonic()
        for other in self._of_place(work.place):
            other.waited += now - max(work.since, other.began)
        return work.waited >= self._lane.wait_limit.total_seconds()

    def _of_place(self, place: Place | None) -> list[_Work]:
        return [work for work in self._open if work.place == place]

    def _hold(self, work: _Work, error: BaseException) -> None:
        is_write = work.doom is None
        if is_write and not self.holds_writes:
            _log.warning("Consuming stops until a message can be written", event_id=_event_id(work), error=str(error))
        elif not self.held:
            _log.warning("A dead letter is not taken; it is tried again", event_id=_event_id(work), error=str(error))
        self._holding.hold(work, work.place, str(error), is_write=is_write)
        self.changed.set()

    def _wait(self, work: _Work, error: BaseException) -> None:
        if work.place is None or work.place in self._waiting:
            return
        why = self._waiting[work.place] = reason_and_text(error)[1]
        _log.info("A message waits, and those of its project behind it", event_id=_event_id(work), error=why)
        self.changed.set()

    async def _pause(self, delay: timedelta) -> None:
        """Sleep; shorter when we are to stop, or when another held delivery got through."""
        if delay <= timedelta(0):
            return
        await first_of(self._lane.clock.sleep(delay), self._stopping.wait(), self._answered.wait())

    def _report(self, work: _Work) -> None:
        kind = work.message.event_type.value if work.message is not None else UNKNOWN
        fields: dict[str, object] = {"type": kind, "event_id": _event_id(work)}
        if work.message is not None:
            fields["project"] = work.message.payload.project
        if work.doom is not None:
            outcome = DEAD_LETTERED
            _log.warning("Message refused", **fields, outcome=outcome, reason=work.doom[0].value, error=work.doom[1])
        else:
            outcome = work.outcome.word if work.outcome is not None else UNKNOWN
            detail = work.outcome.detail if work.outcome is not None else ""
            _log.info("Message taken", **fields, outcome=outcome, detail=detail)
        self._lane.metrics.messages.labels(kind, outcome).inc()


def _note_end(span: Span, work: _Work) -> None:
    if work.doom is not None:
        span.fail(work.doom[0].value)
    elif work.outcome is not None:
        span.note({"freeleaps.outcome": work.outcome.word, "freeleaps.object": work.outcome.detail})


def _event_id(work: _Work) -> str | None:
    return work.message.event_id if work.message is not None else work.delivery.message_id
