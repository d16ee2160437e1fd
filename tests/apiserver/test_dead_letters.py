"""`dead-letters list|show|replay` on a real RabbitMQ: nothing is lost or moved, one event stays one deployment."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from devops_reconciler.api.errors import ReconcilerError, ValidationError
from devops_reconciler.cli.dead_letters import list_letters, replay_letters, show_letter
from devops_reconciler.messages.publish import initialize_message
from devops_reconciler.messages.topology import DELIVERY_LIMIT, dead_name, declare_queues
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import LONG, Office, deploy, open_office

SPEC: dict[str, Any] = {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}}


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


def environment(office: Office) -> dict[str, str]:
    """The variables that the command needs."""
    settings = office.settings
    return {
        "RABBITMQ_HOST": settings.rabbitmq_host,
        "RABBITMQ_PORT": str(settings.rabbitmq_port),
        "RABBITMQ_USERNAME": settings.rabbitmq_username,
        "RABBITMQ_PASSWORD": settings.rabbitmq_password.get_secret_value(),
        "RABBITMQ_EXCHANGE": settings.rabbitmq_exchange,
        "RABBITMQ_QUEUE": settings.rabbitmq_queue,
    }


async def _run(office: Office, command: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    said: list[str] = []
    await asyncio.to_thread(command, environment(office), said.append, *arguments, **options)
    return "\n".join(said)


async def listed(office: Office, reason: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(await _run(office, list_letters, reason=reason, as_json=True))
    return rows


async def shown(office: Office, id_: str) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(await _run(office, show_letter, id_, as_json=True, only_body=False))
    return page


async def replay(office: Office, *ids: str, every: bool = False, reason: str | None = None) -> str:
    return await _run(office, replay_letters, ids, every=every, reason=reason)


async def refused(office: Office, count: int) -> list[dict[str, Any]]:
    """So many deployments in a namespace that is not watched, refused one after the other."""
    messages = [deploy(namespace="elsewhere", revision=f"r{number}") for number in range(count)]
    for number, message in enumerate(messages):
        await office.send(message)
        await office.letters(number + 1)
    return messages


async def test_the_list_and_a_letter_say_what_it_is_and_why_it_is_there(office: Office) -> None:
    await office.start_listener()
    (message,) = await refused(office, 1)
    await office.send_raw(b"\x00\xff", message_id="no plain id\n", headers={"trace": "t-1"})
    await office.letters(2)
    first, second = await listed(office)
    assert first["id"] == first["message_id"] == message["event_id"]
    assert (first["type"], first["routing_key"]) == ("DevOpsReconcile", "devops.reconcile")
    assert first["reason"] == "PermissionDenied"
    assert "does not watch elsewhere" in first["error"]
    assert first["sent_at"] <= first["dead_since"]
    assert first["age_seconds"] >= 0
    assert first["size"] == len(json.dumps(message, ensure_ascii=False).encode())
    assert second["id"].startswith("sha256-")
    assert [row["id"] for row in await listed(office, "InvalidMessage")] == [second["id"]]
    whole = await shown(office, first["id"])
    assert json.loads(whole["body"]) == message
    assert whole["headers"]["x-reason"] == "PermissionDenied"
    garbage = await shown(office, second["id"])
    assert garbage["body_base64"] == "AP8="
    assert garbage["headers"]["trace"] == "t-1"
    table = await _run(office, list_letters, reason=None, as_json=False)
    assert table.splitlines()[0].split() == ["ID", "TYPE", "ROUTING", "KEY", "REASON", "SENT", "AGE", "SIZE", "ERROR"]
    assert table.splitlines()[1].startswith(message["event_id"])


async def test_looking_again_and_again_takes_nothing_and_moves_nothing(office: Office) -> None:
    await office.start_listener()
    order = [message["event_id"] for message in await refused(office, 4)]
    # More often than a queue of the usual delivery limit would bear.
    for _ in range(DELIVERY_LIMIT + 5):
        assert [row["id"] for row in await listed(office)] == order
        await shown(office, order[1])
    await listed(office)  # an odd number of looks: a look that turns the order round shows
    assert await _in_order(office) == order


async def _in_order(office: Office) -> list[str | None]:
    """The ids of the letters as they lie in the queue; all are taken."""
    return [(await office.dead()).message_id for _ in range(await office.count(dead_name(office.settings)))]


async def test_chosen_letters_are_published_again_byte_for_byte_and_the_others_stay_as_they_were(
    office: Office,
) -> None:
    await office.start_listener()
    messages = await refused(office, 5)
    ids = [message["event_id"] for message in messages]
    await office.stop("listener")
    said = await replay(office, ids[1], ids[3])
    assert said.endswith("2 published again, 3 left")
    assert [row["id"] for row in await listed(office)] == [ids[0], ids[2], ids[4]]
    assert await _in_order(office) == [ids[0], ids[2], ids[4]]
    for expected in (messages[1], messages[3]):
        got = await _taken(office)
        assert got.body == json.dumps(expected, ensure_ascii=False).encode()
        assert got.routing_key == "devops.reconcile"
        assert got.exchange == office.settings.rabbitmq_exchange
        assert (got.message_id, got.type) == (expected["event_id"], "DevOpsReconcile")
        assert got.delivery_mode == DeliveryMode.PERSISTENT
        assert set(got.headers) - {"x-delivery-count"} == {"x-replayed-at"}


async def _taken(office: Office) -> AbstractIncomingMessage:
    """The next message of the operator's queue, taken."""
    async with office.channel() as channel:
        queue = await channel.declare_queue(office.settings.rabbitmq_queue, passive=True)
        return await queue.get(timeout=30, no_ack=True)


async def test_all_is_what_was_there_at_the_beginning_though_each_is_refused_again(office: Office) -> None:
    await office.start_listener()
    order = [message["event_id"] for message in await refused(office, 3)]
    before = await listed(office)
    assert (await replay(office, every=True)).endswith("3 published again, 0 left")
    await office.letters(3)
    after = await listed(office)
    assert sorted(row["id"] for row in after) == sorted(order)
    assert {row["reason"] for row in after} == {"PermissionDenied"}
    assert min(row["dead_since"] for row in after) > max(row["dead_since"] for row in before)
    assert not [key for key in (await shown(office, order[0]))["headers"] if key.startswith("x-death")]


async def test_letters_of_one_reason_are_published_again(office: Office) -> None:
    await office.start_listener()
    await refused(office, 2)
    await office.send_raw(b"no json")
    await office.letters(3)
    await office.stop("listener")
    assert (await replay(office, reason="InvalidMessage")).endswith("1 published again, 2 left")
    assert (await _taken(office)).body == b"no json"
    assert {row["reason"] for row in await listed(office)} == {"PermissionDenied"}


async def test_a_letter_that_can_be_taken_now_becomes_its_one_deployment_however_often_it_comes(office: Office) -> None:
    """Refused while its project was missing; then set up, and published again, twice."""
    await office.start_listener()
    cancel = {**deploy(), "payload": {"project": "shop", "action": "cancel", "deployment": "shop-1"}}
    message = deploy()
    await _bury_by_broker(office, message)
    await office.send(cancel)
    await office.letters(2)
    rows = await listed(office)
    assert {row["reason"] for row in rows} == {"delivery_limit", "ProjectNotFound"}
    given_up = next(row for row in rows if row["reason"] == "delivery_limit")
    assert (given_up["id"], given_up["routing_key"]) == (message["event_id"], "devops.reconcile")
    assert "delivered too often" in given_up["error"]
    assert given_up["age_seconds"] is not None
    await office.send(initialize_message("shop", SPEC))
    await replay(office, message["event_id"])
    record = await office.record(message["event_id"])
    assert record["spec"]["triggerEventId"] == message["event_id"]
    await office.send(message)
    assert await office.settled(3) == ["applied", "created", "duplicate"]
    assert len(await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)) == 1
    assert await office.kubernetes.get(DEVOPS_PROJECT, office.namespace, "shop") is not None
    assert [row["id"] for row in await listed(office)] == [cancel["event_id"]]


async def _bury_by_broker(office: Office, message: dict[str, Any]) -> None:
    """As one that kills the operator each time: the broker gives it up."""
    await office.stop("listener")
    await office.send(message)
    async with office.channel() as channel:
        queue = await declare_queues(channel, office.settings)
        for _ in range(DELIVERY_LIMIT + 1):
            await (await queue.get(timeout=30)).reject(requeue=True)
    await office.letters(1)
    await office.start_listener()


async def test_what_a_queue_has_kept_for_too_long_is_deployed_only_when_somebody_says_so(office: Office) -> None:
    """As after the way back to a queue that nobody has read for weeks."""
    await office.start_listener()
    await office.send(initialize_message("shop", SPEC))
    old = datetime.now(UTC) - timedelta(days=8)
    message = {**deploy(), "timestamp": old.isoformat()}
    await office.send(message)
    await office.letters(1)
    (row,) = await listed(office, "TriggerTooOld")
    assert row["id"] == message["event_id"]
    assert f"timestamp: {old.isoformat(timespec='seconds')} is 8 days ago" in row["error"]
    assert await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace) == []

    assert (await replay(office, row["id"])).endswith("1 published again, 0 left")
    record = await office.record(message["event_id"])
    assert record["spec"]["triggerEventId"] == message["event_id"]
    await office.send(message)
    assert await office.settled(3) == ["applied", "created", "duplicate"]
    assert await listed(office) == []


async def test_what_was_published_again_grows_old_too(office: Office) -> None:
    """Its copy in a queue that nobody reads does not stay good for ever."""
    await office.start_listener()
    body = json.dumps({**deploy(), "timestamp": "2025-01-01T12:00:00Z"}).encode()
    replayed_at = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    await office.send_raw(body, message_id="m-1", headers={"x-replayed-at": replayed_at})
    await office.letters(1)
    assert (await listed(office))[0]["reason"] == "TriggerTooOld"
    await replay(office, "m-1")
    assert await office.settled(1) == ["created"]


async def test_a_message_that_came_past_the_exchange_goes_back_to_the_queue_alone(office: Office) -> None:
    await office.start_listener()
    async with office.channel() as channel:
        sent = Message(b"no json", delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(sent, office.settings.rabbitmq_queue)
    await office.letters(1)
    await office.stop("listener")
    await replay(office, every=True)
    assert (await _taken(office)).exchange == ""


async def test_without_a_queue_to_take_them_all_letters_stay(office: Office) -> None:
    await office.start_listener()
    order = [message["event_id"] for message in await refused(office, 2)]
    await office.stop("listener")
    async with office.channel() as channel:
        await channel.queue_delete(office.settings.rabbitmq_queue)
    with pytest.raises(ValidationError, match="start the operator once"):
        await replay(office, order[1])
    assert await _in_order(office) == order


async def test_an_id_that_no_letter_has_and_a_choice_that_is_none_are_refused(office: Office) -> None:
    with pytest.raises(ValidationError, match="there is no dead-letter queue"):
        await listed(office)
    await office.start_listener()
    assert await listed(office) == []
    assert await _run(office, list_letters, reason=None, as_json=False) == "There are no dead letters."
    for wrong in (partial(replay, office, "gone"), partial(shown, office, "gone")):
        with pytest.raises(ValidationError, match="no dead letter has the id gone"):
            await wrong()
    for wrong in (partial(replay, office), partial(replay, office, "x", every=True)):
        with pytest.raises(ReconcilerError, match="their ids, or --all, or --reason"):
            await wrong()


async def test_the_command_killed_in_the_middle_loses_nothing(office: Office) -> None:
    await office.start_listener()
    sent = {message["event_id"] for message in await refused(office, 30)}
    await office.stop("listener")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devops_reconciler", "dead-letters", "replay", "--all"),
        env={**environment(office), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(3):
        assert b"published again" in await process.stdout.readline()
    process.kill()
    await process.wait()

    there: set[str | None] = set()
    left: set[str | None] = set()

    async def all_found() -> bool:
        # The broker puts back what the dead one had fetched little by little.
        left.update([row["id"] for row in await listed(office)])
        there.update([await _taken_id(office) for _ in range(await office.count(office.settings.rabbitmq_queue))])
        return left | there == sent

    await eventually(all_found, "each letter is where it was, or published again", LONG)
    assert len(there) >= 3
    assert left, "the command was killed too late to prove anything"


async def _taken_id(office: Office) -> str | None:
    return (await _taken(office)).message_id
