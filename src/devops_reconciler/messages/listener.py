"""The message listener: takes deliveries from the operator's queue, as long as they can be written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from ..api.errors import ExternalServiceError, ReconcilerError
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.manager import Backoff
from ..runtime.metrics import Metrics
from ..runtime.settings import Settings
from ..runtime.urgency import Urgency, urgency
from .canary import answer_to
from .connection import ASK_TIMEOUT, SERVICE, Connect, ask, close, open_channel
from .dead_letters import DeadLetters
from .deliveries import Accepts, Deliveries, Lane
from .publisher import Publisher
from .topology import declare_queues

STOP_WITHIN = timedelta(seconds=3)
"""How long a write that runs may take to end, when we stop or the connection is lost."""
CANCEL_WITHIN = timedelta(seconds=1)
"""How long the broker may take at the end to confirm that it sends no more."""
WINDOWS = 10
"""So many times `RABBITMQ_PREFETCH` is the limit of messages that may wait or be held: they are in memory."""
RECONNECT = Backoff(first=timedelta(milliseconds=500), longest=timedelta(seconds=5))
"""Waits between attempts to connect: short, since messages wait on the other side."""

_log = get_logger(__name__)


class MessageListener:
    """The supervised task `message_listener`. A lost connection is made again here, with everything on it."""

    def __init__(self, settings: Settings, connect: Connect, inbox: Accepts, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._connect = connect
        self._inbox = inbox
        self._clock = clock
        self._metrics = metrics
        self._consumer: _Consumer | None = None
        self._down = "not started"
        self._tags = map("{:08d}".format, itertools.count(1))
        metrics.watch_queue("messages", self._oldest)

    def _oldest(self) -> float:
        return self._consumer.oldest if self._consumer is not None else 0.0

    @property
    def ready(self) -> bool:
        """Whether messages are being taken, or held on purpose because the Kubernetes API is away."""
        return self._consumer is not None and self._consumer.ready

    @property
    def takes(self) -> bool:
        """Whether messages are being taken now, and none is held for the API server. A dead letter that is held stops
        nobody."""
        return self._consumer is not None and self._consumer.takes

    @property
    def settled_at(self) -> float:
        """When its consumer last finished with a message, or began; without a consumer, now (monotonic seconds)."""
        return self._consumer.settled_at if self._consumer is not None else self._clock.monotonic()

    def renew(self, why: str) -> None:
        """Give the connection up and make consumer and all anew. What was not acknowledged comes again."""
        if self._consumer is not None:
            self._consumer.lose(f"the consumer is made anew: {why}")

    async def check(self) -> str:
        """The health check `rabbitmq_connection`: a sentence, or an ExternalServiceError that says what is wrong."""
        if self._consumer is None or not self._consumer.ready:
            raise ExternalServiceError(f"no messages are taken: {self._down}", service=SERVICE)
        return self._consumer.state

    async def run(self) -> None:
        """Take messages until cancelled. Raises only what nobody foresaw."""
        with urgency(Urgency.ARRIVAL):
            await self._listen()

    async def _listen(self) -> None:
        self._down = "connecting"
        failures = 0
        dead_letters = DeadLetters(self._settings, self._connect, self._clock)
        try:
            while True:
                self._consumer = consumer = _Consumer(self._settings, self._lane(dead_letters), self._tags)
                try:
                    await consumer.run(self._connect)
                except ReconcilerError as error:
                    failures = 1 if consumer.was_ready else failures + 1
                    self._note_down(error, failures)
                finally:
                    self._consumer = None
                await self._clock.sleep(RECONNECT.delay(failures))
        finally:
            self._down = "stopped"
            await dead_letters.close()

    def _lane(self, dead_letters: DeadLetters) -> Lane:
        return Lane(
            self._inbox,
            dead_letters.bury,
            self._clock,
            self._metrics,
            self._settings.project_wait_timeout,
            echo=partial(_echo, dead_letters.publisher),
            queue=self._settings.rabbitmq_queue,
        )

    def _note_down(self, error: ReconcilerError, failures: int) -> None:
        self._down = error.message
        if failures == 1:
            _log.warning("The connection to RabbitMQ is lost; it is made again", error=error.message)
        else:
            _log.debug("RabbitMQ is still away", error=error.message, attempts=failures)


async def _echo(publisher: Publisher, canary: AbstractIncomingMessage) -> None:
    """Answer a canary. Who is not there any more gets no answer, and nobody else does."""
    await publisher.publish("", canary.reply_to or "", answer_to(canary))


class _Consumer:
    """One connection, from its making to its loss."""

    def __init__(self, settings: Settings, lane: Lane, tags: Iterator[str]) -> None:
        """`tags` are the names of the consumers that are begun; each sorts after those before it.

        RabbitMQ 3.x gives back what a lost channel has not acknowledged consumer by consumer, in the order of their
        tags: of random ones, a `cancel` could come before the `deploy` that it is for.
        """
        self._settings = settings
        self._deliveries = Deliveries(lane)
        self._tags = tags
        self._tag: str | None = None
        self._ahead = 0
        """How many messages the consumer may take ahead, as the broker knows it."""
        self._careful = True
        """Until something comes that was not delivered before: what was may be what ended the last connection, or us.

        The broker counts how often it delivers a message, and gives it up at its limit: the one that does the harm is
        to be the only one that is counted.
        """
        self._lost: str | None = None
        self.was_ready = False

    @property
    def ready(self) -> bool:
        return self.was_ready and self._lost is None

    @property
    def takes(self) -> bool:
        return self.ready and self._tag is not None and not self._paused and not self._deliveries.holds_writes

    @property
    def _paused(self) -> bool:
        """Whether nothing is taken, on purpose."""
        full = self._deliveries.stuck() >= WINDOWS * self._settings.rabbitmq_prefetch
        return full or self._deliveries.stops

    @property
    def _wanted_ahead(self) -> int:
        """One by one where each is a probe of whether anything can be written, or may end the connection."""
        return 1 if self._careful or self._deliveries.holds_writes else self._settings.rabbitmq_prefetch

    @property
    def settled_at(self) -> float:
        return self._deliveries.settled_at

    @property
    def oldest(self) -> float:
        return self._deliveries.oldest()

    @property
    def state(self) -> str:
        held = self._deliveries.held
        if held:
            return f"connected; {held} message{'s' if held > 1 else ''} held: {self._deliveries.why_held}"
        taken = "takes no more messages" if self._paused else f"takes messages from {self._settings.rabbitmq_queue}"
        waiting = self._deliveries.waiting()
        return f"{taken}; waiting: {waiting}, as {self._deliveries.why_waiting}" if waiting else taken

    async def run(self, connect: Connect) -> None:
        """Consume until the connection is of no more use: raises ReconcilerError. Cancelled: ends in order."""
        connection = await connect()
        try:
            channel = await open_channel(connection)
            queue = await declare_queues(channel, self._settings)
            await self._watch(channel)
            try:
                await self._consume(channel, queue)
            finally:
                await self._stop(queue)
        finally:
            await close(connection)

    async def _watch(self, channel: AbstractChannel) -> None:
        """Learn of the two ways in which a consumer dies: with its channel, and by the broker's cancel."""
        channel.close_callbacks.add(lambda _channel, error: self.lose(f"the channel was closed: {error}"))
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(
            lambda _frame: self.lose("the broker cancelled the consumer: its queue was deleted, or its node stopped")
        )

    def lose(self, why: str) -> None:
        """This connection is of no more use."""
        self._lost = self._lost or why
        self._deliveries.changed.set()

    async def _consume(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        """Consume while nothing is held; while something is, only what may prove that the API server is well."""
        while True:
            self._deliveries.changed.clear()
            self._raise_if_lost()
            if self._paused:
                await self._cancel(queue)
            elif self._tag is None:
                await self._begin(channel, queue)
                if not self._deliveries.holds_writes:
                    _log.info("Messages are taken", queue=self._settings.rabbitmq_queue)
                self.was_ready = True
            elif self._is_crowded(self._tag) or self._ahead != self._wanted_ahead:
                # What waits stays unacknowledged, and counts for the consumer that took it: the next one is free.
                await self._cancel(queue)
                await self._begin(channel, queue)
            await self._deliveries.changed.wait()

    async def _begin(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        if self._ahead != self._wanted_ahead:
            # RabbitMQ applies it to the consumers that begin after it.
            self._ahead = self._wanted_ahead
            await ask("limit the deliveries ahead", channel.set_qos(prefetch_count=self._ahead))
        self._tag = await ask("consume", queue.consume(self._take, consumer_tag=next(self._tags)))

    def _is_crowded(self, tag: str) -> bool:
        """Whether half of what a consumer may take ahead waits: all of it would stop the messages of all projects."""
        return 2 * self._deliveries.stuck(tag) >= self._ahead

    def _raise_if_lost(self) -> None:
        if self._deliveries.broken is not None:
            raise self._deliveries.broken
        if self._lost is not None:
            raise ExternalServiceError(f"RabbitMQ: {self._lost}", service=SERVICE)

    async def _take(self, delivery: AbstractIncomingMessage) -> None:
        # Runs in a task of the channel, which aio-pika cancels when the channel goes: so nothing is awaited here.
        if self._careful and not delivery.redelivered:
            self._careful = False
            self._deliveries.changed.set()
        self._deliveries.take(delivery)

    async def _cancel(self, queue: AbstractQueue, limit: timedelta = ASK_TIMEOUT) -> None:
        tag, self._tag = self._tag, None
        if tag is not None:
            await ask("stop consuming", queue.cancel(tag), limit)

    async def _stop(self, queue: AbstractQueue) -> None:
        if self._lost is None and self._deliveries.broken is None:
            try:
                await self._cancel(queue, CANCEL_WITHIN)
            except ReconcilerError as error:
                _log.debug("The consumer was not cancelled in order", error=error.message)
        self._lost = self._lost or "stopped"
        await self._deliveries.stop(STOP_WITHIN)
