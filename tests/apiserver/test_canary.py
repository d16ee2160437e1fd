"""The canary over a real RabbitMQ: it comes back to its sender, and finds a consumer that is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aio_pika import Message

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.api.messages import EventType
from devops_reconciler.messages.canary import Canary, Watched
from devops_reconciler.messages.check import RabbitmqCheck
from devops_reconciler.messages.topology import ROUTING_KEYS
from devops_reconciler.runtime.clock import SystemClock
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import Office, deploy, open_office

INTERVAL = timedelta(milliseconds=500)
CAME_BACK = "the canary came back at"


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


@asynccontextmanager
async def singing(office: Office, listener: Watched | None = None) -> AsyncIterator[Canary]:
    """A canary of this office, or of another listener on its queue."""
    settings = office.settings.model_copy(update={"canary_interval": INTERVAL})
    canary = Canary(settings, office.connect, SystemClock(), listener or office.listener)
    task = asyncio.create_task(canary.run())
    try:
        yield canary
    finally:
        task.cancel()
        await asyncio.wait({task})


async def came_back(canary: Canary) -> None:
    async def state() -> bool:
        try:
            return (await canary.check()).startswith(CAME_BACK)
        except ExternalServiceError:
            return False

    await eventually(state, "the canary comes back")


async def answered(office: Office) -> float:
    labels = {"type": "Canary", "outcome": "answered"}
    return office.metrics.registry.get_sample_value("devops_reconciler_messages_total", labels) or 0.0


async def test_a_canary_comes_back_and_leaves_nothing_behind(office: Office) -> None:
    await office.start_listener()
    async with singing(office) as canary:
        await came_back(canary)

        async def twice() -> bool:
            return await answered(office) >= 2

        await eventually(twice, "a second canary is answered")
    assert office.inbox.began == 0
    # The last one may have been sent just before the end.
    await office.waiting(office.settings.rabbitmq_queue, 0)
    assert await office.count(f"{office.settings.rabbitmq_queue}.dead") == 0


class Silent:
    """A listener that believes to take messages."""

    def __init__(self) -> None:
        self.takes = True
        self.settled_at = 0.0
        self.renewed: list[str] = []

    def renew(self, why: str) -> None:
        self.renewed.append(why)


async def test_a_silent_consumer_is_found_and_made_anew(office: Office) -> None:
    await office.start_listener()
    await office.stop("listener")
    silent = Silent()
    async with singing(office, silent) as canary:
        failures: list[str] = []

        async def failed() -> bool:
            try:
                await canary.check()
            except ExternalServiceError as error:
                failures.append(error.message)
            return bool(failures)

        await eventually(failed, "the check fails")
        assert "did not come back within 1 s: messages are not taken, though RabbitMQ is up" in failures[0]
        assert silent.renewed == ["it is silent"]
        await office.start_listener()
        await came_back(canary)


async def test_a_consumer_that_gets_nothing_while_others_answer_is_made_anew(office: Office) -> None:
    await office.start_listener()
    idle = Silent()
    async with singing(office, idle) as canary:
        await came_back(canary)
        assert idle.renewed
        assert idle.renewed[0].endswith("while others take them")


async def test_the_listener_makes_its_consumer_anew_when_it_is_told_to(office: Office) -> None:
    await office.start_listener()
    office.listener.renew("a test asks for it")
    assert not office.listener.ready
    await office.listening()
    async with singing(office) as canary:
        await came_back(canary)
        check = RabbitmqCheck(office.listener, office.sender, lambda: False, canary).check
        said = await check()
        assert CAME_BACK in said
        assert said.endswith("heartbeats: sent by another replica")


async def test_no_canary_is_sent_while_no_messages_are_taken_and_that_is_no_silence(office: Office) -> None:
    async with singing(office) as canary:

        async def waits() -> bool:
            return await canary.check() == "no canary while no messages are taken"

        await eventually(waits, "it waits for the listener")
        await office.start_listener()
        await came_back(canary)


async def test_with_two_replicas_each_hears_its_own_canary(office: Office) -> None:
    other = Office(office.settings, office.kubernetes, office.namespace)
    await office.start_listener()
    await other.start_listener()
    try:
        async with singing(office) as one, singing(other) as two:
            await came_back(one)
            await came_back(two)
    finally:
        await other.stop()


async def test_a_forged_canary_reaches_no_queue_but_that_of_dead_letters(office: Office) -> None:
    await office.start_listener()
    async with office.channel() as channel:
        victim = await channel.declare_queue(exclusive=True)
        forged = Message(b"{}", type="Canary", reply_to=victim.name, correlation_id="x")
        await channel.default_exchange.publish(forged, office.settings.rabbitmq_queue)
        letter = await office.dead()
        assert letter.headers["x-reason"] == "InvalidMessage"
        assert await victim.get(fail=False) is None


async def test_a_binding_that_was_removed_is_made_again(office: Office) -> None:
    """Messages that nothing is bound for vanish: whoever sent them is told that all is well."""
    await office.start_listener()
    key = ROUTING_KEYS[EventType.DEVOPS_RECONCILE]
    async with office.channel() as channel:
        queue = await channel.get_queue(office.settings.rabbitmq_queue)
        await queue.unbind(office.settings.rabbitmq_exchange, key)
    with pytest.raises(ValidationError):
        await office.send(deploy())

    async def routed() -> str | None:
        try:
            return await office.send(deploy())
        except ValidationError:
            return None

    async with singing(office):
        await office.record(await eventually(routed, "the queue is bound again") or "")
