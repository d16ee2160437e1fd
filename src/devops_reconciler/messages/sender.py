"""The heartbeat sender: publishes what lies in the outboxes of records, in order, until the broker has confirmed it.

The outbox is the truth: it is saved in the record's status before it comes here, and stays there until `on_confirmed`.
What is lost in between (a crash, a confirm that did not arrive) is sent again: equal in id, sequence and body.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from aio_pika import DeliveryMode, Message

from ..api.errors import ExternalServiceError, ReconcilerError
from ..api.heartbeat import heartbeat_body
from ..api.messages import EventType, heartbeat_id, heartbeat_routing_key
from ..runtime.clock import Clock, moment
from ..runtime.logs import get_logger
from ..runtime.manager import Backoff
from ..runtime.metrics import Metrics
from ..runtime.settings import Settings
from ..runtime.tracing import NO_ORIGIN, Origin, carried
from ..runtime.urgency import Urgency, urgency
from .connection import SERVICE, Connect
from .outlet import Entry, Outlet, is_sound, sequence_of
from .publisher import NotTaken, Publisher
from .topology import declare_heartbeats
from .traced import sending

WORKERS = 16
"""How many records are published for at the same time. One record has one message on its way."""
RECONNECT = Backoff(first=timedelta(milliseconds=500), longest=timedelta(seconds=5))
REFUSED = Backoff(first=timedelta(seconds=1), longest=timedelta(minutes=1))
"""Between two attempts for a record whose heartbeats the broker does not take. Each one gives a copy to those queues
that do take it."""
HELD_GRAIN = timedelta(milliseconds=500)
"""Whether a record's pause is over is looked at this often, while there are such."""
TICK_GRAIN = 0.05
"""Ticks are looked for this often, as a part of their interval: records share a look."""
FENCED = timedelta(milliseconds=500)
"""Between two looks whether we may send again: the Lease is renewed soon, or the task ends."""
ROUTING_KEY_LIMIT = 255
"""Bytes that AMQP allows."""
CONTENT_TYPE = "application/json"
TOLD = ("project", "deployment", "environment", "sequence", "tick", "step", "state")
"""What a heartbeat's span says of it."""

OnConfirmed = Callable[[str, int], None]
"""Told the record's UID and the sequence that the broker has confirmed; sequences of a record come in order."""

_log = get_logger(__name__)


class HeartbeatSender:
    """The supervised task `heartbeat_sender`. `offer` may be called before `run`, and while it is not connected."""

    def __init__(
        self,
        settings: Settings,
        connect: Connect,
        clock: Clock,
        metrics: Metrics,
        on_confirmed: OnConfirmed,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_send` is asked before each message: a replica that was stopped past its Lease has nothing to tell."""
        self._exchange = settings.rabbitmq_heartbeat_exchange
        self._interval = settings.heartbeat_interval.total_seconds()
        self._publisher = Publisher(connect, lambda channel: declare_heartbeats(channel, settings))
        self._clock = clock
        self._metrics = metrics
        self._on_confirmed = on_confirmed
        self._may_send = may_send
        self._outlets: dict[str, Outlet] = {}
        self._ready: asyncio.PriorityQueue[tuple[bool, bool, int, Outlet]] = asyncio.PriorityQueue()
        """Last those that were tried in vain, first those of which nobody has heard yet, else as they come. Some may be
        gone, and their record may have another one by now."""
        self._numbers = itertools.count()
        self._ticking = asyncio.Event()
        self._holding = asyncio.Event()
        self._down: str | None = "not started"
        metrics.heartbeats_waiting.set_function(lambda: self.waiting)

    def offer(self, uid: str, outbox: Sequence[Mapping[str, Any]], origin: Origin = NO_ORIGIN) -> None:
        """Send what is new in the record's outbox: complete messages, `payload.sequence` ascending.

        Idempotent: what this process has sent, or is about to send, is not sent again. `origin` is the record's trace.
        """
        sound = [entry for entry in outbox if is_sound(entry)]
        if len(sound) < len(outbox):
            _log.error(
                "Entries of an outbox are no heartbeats and are left out", uid=uid, count=len(outbox) - len(sound)
            )
        outlet = self._outlets.setdefault(uid, Outlet(uid))
        outlet.origin = origin
        if outlet.offer(sound):
            self._schedule(outlet)

    def confirmed(self, uid: str) -> int:
        """The highest sequence of the record that the broker has confirmed to this process; 0 for none."""
        outlet = self._outlets.get(uid)
        return outlet.confirmed if outlet is not None else 0

    def forget(self, uid: str) -> None:
        """The record is gone, or another replica's: nothing more of it is sent."""
        outlet = self._outlets.pop(uid, None)
        if outlet is not None:
            outlet.gone = True

    def forget_all(self) -> None:
        """Another replica sends from now on."""
        for uid in tuple(self._outlets):
            self.forget(uid)
        while not self._ready.empty():
            self._ready.get_nowait()

    @property
    def waiting(self) -> int:
        """How many changes wait for their confirmation."""
        return sum(outlet.waiting for outlet in self._outlets.values())

    async def check(self) -> str:
        """A sentence, or an ExternalServiceError that says why nothing can be sent now."""
        if self._down is not None:
            raise ExternalServiceError(f"no heartbeats are sent: {self._down}", service=SERVICE)
        said = f"{await self._publisher.check()}, {self.waiting} heartbeats wait"
        refusals = [outlet.refusal for outlet in self._outlets.values() if outlet.refusal is not None]
        if not refusals:
            return said
        return f"{said}; deployments whose heartbeats are not taken: {len(refusals)}, as {refusals[0]}"

    async def run(self) -> None:
        """Send until cancelled. Raises only what nobody foresaw."""
        with urgency(Urgency.ARRIVAL):
            await self._send()

    async def _send(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._publisher.open()
                    if self._down is not None:
                        _log.info("Heartbeats are sent", exchange=self._exchange, waiting=self.waiting)
                    self._down, failures = None, 0
                    await self._pump()
                except ReconcilerError as error:
                    failures += 1
                    self._note_down(error, failures)
                await self._clock.sleep(RECONNECT.delay(failures))
        finally:
            self._down = "stopped"
            await self._publisher.close()

    def _note_down(self, error: ReconcilerError, failures: int) -> None:
        if self._down is None or failures == 1:
            _log.warning("Heartbeats wait for RabbitMQ", error=error.message, waiting=self.waiting)
        self._down = error.message

    async def _pump(self) -> None:
        """Workers and their timers, until one of them fails: raises its error."""
        tasks = [asyncio.create_task(self._work(), name=f"heartbeats {number}") for number in range(WORKERS)]
        tasks.append(asyncio.create_task(self._tick(), name="heartbeat ticks"))
        tasks.append(asyncio.create_task(self._release(), name="heartbeats held"))
        tasks.append(asyncio.create_task(self._publisher.watch(), name="heartbeat connection"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if not task.cancelled()]
        raise _worst([error for error in errors if error is not None])

    async def _work(self) -> None:
        while True:
            *_, outlet = await self._ready.get()
            try:
                await self._drain(outlet)
            except NotTaken as error:
                self._hold(outlet, error)
            finally:
                outlet.scheduled = False
                if outlet.has_work:
                    self._schedule(outlet)

    async def _drain(self, outlet: Outlet) -> None:
        while (entry := outlet.next()) is not None:
            if not self._may_send():
                await self._clock.sleep(FENCED)
                continue
            outlet.tried = True
            try:
                await self._publish(outlet.uid, entry, outlet.origin)
            finally:
                outlet.drop_tick()
            self._metrics.heartbeats_sent.inc()
            if outlet.refusals:
                _log.info("The heartbeats of a deployment are taken again", uid=outlet.uid, waiting=outlet.waiting)
            sequence = outlet.sent(entry, self._clock.monotonic(), self._interval)
            self._ticking.set()
            if sequence is not None and not outlet.gone:
                self._on_confirmed(outlet.uid, sequence)

    def _hold(self, outlet: Outlet, error: NotTaken) -> None:
        """A pause for this record alone: its heartbeats keep their order, and those of others go on."""
        outlet.refusals += 1
        if outlet.refusals == 1:
            _log.warning("The heartbeats of a deployment are not taken", uid=outlet.uid, error=error.message)
        pause = REFUSED.delay(outlet.refusals).total_seconds()
        outlet.hold(error.message, self._clock.monotonic() + pause)
        self._holding.set()

    async def _release(self) -> None:
        """Take up again, in its time, what was not taken."""
        while True:
            held = [outlet for outlet in self._outlets.values() if outlet.held_until is not None]
            if not held:
                self._holding.clear()
                await self._holding.wait()
                continue
            now = self._clock.monotonic()
            for outlet in held:
                if outlet.release(now):
                    self._schedule(outlet)
            await self._clock.sleep(HELD_GRAIN)

    async def _publish(self, uid: str, entry: Entry, origin: Origin) -> None:
        payload, key = entry["payload"], _routing_key(entry)
        about = {name: payload[name] for name in TOLD if isinstance(payload.get(name), str | int)}
        with sending(self._exchange, key, _id_of(uid, entry), origin, **about):
            await self._publisher.publish(self._exchange, key, _message(uid, entry))

    async def _tick(self) -> None:
        """Ask for a tick of each record whose last word is `HEARTBEAT_INTERVAL` old.

        The look comes before the sleep: a connection may live shorter than that.
        """
        while True:
            now = self._clock.monotonic()
            for outlet in self._outlets.values():
                if outlet.want_tick(now, self._interval):
                    self._schedule(outlet)
            dues = [outlet.due for outlet in self._outlets.values() if outlet.due is not None]
            if not dues:
                self._ticking.clear()
                await self._ticking.wait()
                continue
            wait = max(min(dues) - now, self._interval * TICK_GRAIN)
            await self._clock.sleep(timedelta(seconds=wait))

    def _schedule(self, outlet: Outlet) -> None:
        if not outlet.scheduled:
            outlet.scheduled = True
            self._ready.put_nowait((outlet.tried, outlet.confirmed > 0, next(self._numbers), outlet))


def _worst(errors: list[BaseException]) -> BaseException:
    """What nobody foresaw, before what the broker did."""
    return next((error for error in errors if not isinstance(error, ReconcilerError)), errors[0])


def _routing_key(entry: Entry) -> str:
    payload = entry["payload"]
    key = heartbeat_routing_key(payload["project"], payload["deployment"]).encode()
    return key[:ROUTING_KEY_LIMIT].decode(errors="ignore")


def _message(uid: str, entry: Entry) -> Message:
    return Message(
        heartbeat_body(entry),
        headers=dict(carried()),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=_id_of(uid, entry),
        type=EventType.DEVOPS_RECONCILE_HEARTBEAT.value,
        timestamp=_timestamp(entry),
    )


def _id_of(uid: str, entry: Entry) -> str:
    return heartbeat_id(uid, sequence_of(entry), entry["payload"].get("tick"))


def _timestamp(entry: Entry) -> datetime | None:
    """None for a time that AMQP has no form for: it counts seconds since 1970."""
    try:
        at = moment(str(entry.get("timestamp")))
    except ValueError:
        return None
    return at if at.timestamp() >= 0 else None
