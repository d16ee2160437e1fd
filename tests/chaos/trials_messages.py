"""The way to and from the broker: cut, silent, deleted, doubled, out of order: story 9."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from testbed.stage import ZONE
from testbed.triggers import initialize, reconcile
from testbed.waiting import eventually

from .lane import Lane
from .project import Project
from .trial import Trial, ended_builds, one_build_each

SILENCE_SECONDS = 5.0
BURST = 200
CUTS = 6
WATCHFUL = {"CANARY_INTERVAL": "2s"}


async def cut_at_heartbeats(lane: Lane, project: Project) -> list[str]:
    """The connection is reset again and again while a deployment goes on."""
    await project.set_up()
    await project.slow_down(2)
    event = await project.begin()
    for _ in range(CUTS):
        lane.broker.cut()
        await asyncio.sleep(0.7)
    await project.ended(event)
    return await one_build_each(project)


async def silent_broker(lane: Lane, project: Project) -> list[str]:
    """Nothing passes for a while and nobody is told; then all of it does."""
    await project.set_up()
    await project.slow_down(2)
    event = await project.begin()
    await project.heard(event, "build", "Running")
    lane.broker.silence()
    await asyncio.sleep(SILENCE_SECONDS)
    lane.broker.resume()
    await project.ended(event)
    return await one_build_each(project)


async def broker_away(lane: Lane, project: Project) -> list[str]:
    """The broker is gone while a build runs and ends, and a trigger comes: all is told and taken afterwards."""
    await project.set_up()
    await project.slow_down(2)
    first = await project.begin()
    await project.heard(first, "build", "Running")
    lane.broker.refuse()
    await eventually(ended_builds(project), "the build has ended", lane.patience)
    second = await project.begin()
    lane.broker.resume()
    await project.ended(first)
    await project.ended(second)
    return await one_build_each(project)


async def unready_in_silence(lane: Lane, project: Project) -> list[str]:
    """A consumer that falls silent shows at `/readyz`; what waited is taken when the silence is over."""
    await project.set_up()
    operator = lane.replicas[0].operator

    async def unready() -> bool:
        return (await operator.answer("/readyz"))[0] == 503

    lane.broker.silence()
    event = await project.begin()
    await eventually(unready, "the silence shows at /readyz", lane.patience)
    lane.broker.resume()
    await project.ended(event)
    await lane.alive()
    return await one_build_each(project)


async def queue_deleted(lane: Lane, project: Project) -> list[str]:
    """The operator's queue is deleted under it: it is made again, and what comes then is taken."""
    await project.set_up()
    await _delete_queue(lane)
    async with asyncio.timeout(lane.patience.total_seconds()):
        await project.ended(await _published_when_possible(project))
    return await one_build_each(project)


async def _delete_queue(lane: Lane) -> None:
    broker = lane.stage.broker
    connection = await aio_pika.connect(
        host=broker.host, port=broker.port, login=broker.username, password=broker.password
    )
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(lane.stage.heartbeats.queue)


async def _published_when_possible(project: Project) -> str:
    """Until the queue is there again the broker returns what is sent, and the sender is told."""
    while True:
        try:
            return await project.begin()
        except aio_pika.exceptions.PublishError:
            project.events.pop()
            await asyncio.sleep(0.2)


async def sent_three_times(lane: Lane, project: Project) -> list[str]:
    """One event three times, with a kill between: one deployment."""
    await project.set_up()
    message = reconcile(project.name, "deploy")
    project.events.append(str(message["event_id"]))
    await lane.stage.publish(message)
    await lane.stage.publish(message)
    lane.replicas[0].kill()
    await lane.stage.publish(message)
    await project.ended(project.events[0])
    await lane.alive()
    await lane.stage.publish(message)
    return await one_build_each(project)


async def deployed_before_set_up(lane: Lane, project: Project) -> list[str]:
    """The trigger overtakes the project that it is for."""
    sample = await lane.stage.sample(project.name)
    event = await project.begin()
    spec = {"git": {"url": sample.url}, "ingress": {"host": f"{project.name}.{ZONE}"}}
    await lane.stage.publish(initialize(project.name, spec))
    await project.ended(event)
    return await one_build_each(project)


async def bad_ones_among_good_ones(lane: Lane, project: Project) -> list[str]:
    """Garbage, an unknown version and an unknown type go to the dead-letter queue; the good one goes on."""
    await project.set_up()
    bad = [
        b"\x00\xff not json",
        json.dumps({**reconcile(project.name), "version": "99"}).encode(),
        json.dumps({**reconcile(project.name), "event_type": "DevOpsDream"}).encode(),
        json.dumps({**reconcile(project.name), "payload": {"project": "../../etc"}}).encode(),
    ]
    for body in bad:
        await lane.stage.publish(body)
    await project.ended(await project.begin())
    for body in bad:
        await lane.stage.heartbeats.dead_letter(_is(body), lane.patience)
    return await one_build_each(project)


def _is(body: bytes) -> Callable[[AbstractIncomingMessage], bool]:
    return lambda message: message.body == body


async def burst(lane: Lane, project: Project) -> list[str]:
    """Many triggers of one event, and a kill in the middle of them: nothing is doubled."""
    await project.set_up()
    message = reconcile(project.name, "deploy")
    project.events.append(str(message["event_id"]))
    for number in range(BURST):
        await lane.stage.publish(message)
        if number == BURST // 2:
            lane.replicas[0].kill()
    await lane.alive()
    await project.ended(project.events[0])
    return await one_build_each(project)


def message_trials() -> Iterator[Trial]:
    """All of them."""
    yield Trial(9, f"the connection to RabbitMQ is cut {CUTS} times", cut_at_heartbeats)
    yield Trial(9, f"RabbitMQ is silent for {SILENCE_SECONDS:g} s", silent_broker)
    yield Trial(9, "RabbitMQ is away until a build has ended", broker_away)
    yield Trial(9, "the consumer falls silent", unready_in_silence, WATCHFUL)
    yield Trial(9, "the operator's queue is deleted", queue_deleted)
    yield Trial(9, "one event comes four times, with a kill between", sent_three_times)
    yield Trial(9, "a deployment overtakes its set-up", deployed_before_set_up)
    yield Trial(9, "messages that cannot be taken", bad_ones_among_good_ones)
    yield Trial(9, f"one event {BURST} times in a burst, and a kill", burst)
