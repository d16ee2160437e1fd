"""Messages over a real RabbitMQ into a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aio_pika import DeliveryMode
from pydantic import SecretStr

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, ValidationError
from devops_reconciler.messages.connection import connect, probe
from devops_reconciler.messages.publish import initialize_message, reconcile_message
from devops_reconciler.messages.topology import DELIVERY_LIMIT, dead_name, declare_queues
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from testbed.kubernetes import API_SERVER, ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import Office, deploy, open_office

SPEC: dict[str, Any] = {
    "git": {"url": "https://git.example.com/shop.git"},
    "ingress": {"host": "shop.example.com"},
}


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        yield opened


async def test_a_project_may_have_an_emoji_in_its_texts(office: Office) -> None:
    await office.start_listener()
    message = initialize_message("shop", {**SPEC, "displayName": "Shop 🛒"})
    message["payload"]["requested_by"] = "Anna 🚀"
    await office.send(message)
    assert await office.settled(1) == ["applied"]
    project = await office.project()
    assert project is not None
    assert project["spec"]["displayName"] == "Shop 🛒"
    assert project["metadata"]["annotations"]["freeleaps.com/requested-by"] == "Anna 🚀"


async def test_a_project_is_set_up_and_deployed_by_messages(office: Office) -> None:
    await office.start_listener()
    await office.send(initialize_message("shop", SPEC))
    event_id = await office.send(deploy(environment="pr-7", ttl="2h", requested_by="somebody"))
    record = await office.record(event_id)
    project = await office.project()
    assert project is not None
    assert project["spec"]["git"]["url"] == SPEC["git"]["url"]
    (owner,) = record["metadata"]["ownerReferences"]
    assert owner["uid"] == project["metadata"]["uid"]
    assert record["spec"] == {
        "projectRef": {"name": "shop"},
        "environment": "pr-7",
        "ttl": "2h",
        "concurrencyPolicy": "Queue",
        "cancel": False,
        "triggerEventId": event_id,
        "requestedBy": "somebody",
    }


async def test_a_delivery_is_acknowledged_only_when_the_resource_is_there(office: Office) -> None:
    await office.start_listener()
    office.inbox.gate.clear()
    event_id = await office.send(deploy())

    async def began() -> bool:
        return office.inbox.began == 1

    await eventually(began, "the write begins")
    # We end before the write: the message is the broker's again.
    stopping = asyncio.create_task(office.stop("listener"))
    await asyncio.wait({stopping})
    assert office.inbox.outcomes == []
    await office.waiting(office.settings.rabbitmq_queue, 1)
    office.inbox.gate.set()
    await office.start_listener()
    await office.record(event_id)
    await office.settled(1)
    await office.stop("listener")
    await office.waiting(office.settings.rabbitmq_queue, 0)


async def test_the_same_event_twice_is_one_deployment(office: Office) -> None:
    await office.start_listener()
    message = deploy()
    await office.send(message)
    await office.send(message)
    assert await office.settled(2) == ["created", "duplicate"]
    assert len(await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)) == 1


async def test_initialize_is_a_server_side_apply_of_what_the_message_says(office: Office) -> None:
    await office.start_listener()
    await office.send(initialize_message("shop", {**SPEC, "historyLimit": 3, "displayName": "Shop"}))
    await office.settled(1)
    by_hand = {"metadata": {"annotations": {"team": "a"}}, "spec": {"suspend": True}}
    await office.kubernetes.merge_patch(DEVOPS_PROJECT, office.namespace, "shop", by_hand)
    await office.send(initialize_message("shop", {**SPEC, "historyLimit": 4}))
    await office.settled(2)
    project = await office.project()
    assert project is not None
    assert project["spec"]["historyLimit"] == 4
    assert "displayName" not in project["spec"]
    assert project["spec"]["suspend"] is True
    assert project["metadata"]["annotations"]["team"] == "a"


async def test_an_older_initialize_is_ignored(office: Office) -> None:
    await office.start_listener()
    older = initialize_message("shop", {**SPEC, "historyLimit": 3})
    newer = initialize_message("shop", {**SPEC, "historyLimit": 4})
    older["timestamp"] = (datetime.fromisoformat(newer["timestamp"]) - timedelta(seconds=1)).isoformat()
    await office.send(newer)
    await office.send(older)
    assert await office.settled(2) == ["applied", "outdated"]
    project = await office.project()
    assert project is not None
    assert project["spec"]["historyLimit"] == 4


async def test_cancel_extend_and_delete_find_what_the_environment_lives_by(office: Office) -> None:
    await office.start_listener()
    await office.send(initialize_message("shop", SPEC))
    first = await office.send(deploy(environment="pr-7"))
    second = await office.send(deploy(environment="pr-7"))
    extend = reconcile_message("shop", "extend", environment="pr-7", ttl="1h")
    for message in (
        reconcile_message("shop", "cancel", environment="pr-7"),
        extend,
        reconcile_message("shop", "delete", environment="pr-7"),
    ):
        await office.send(message)
    assert (await office.settled(6))[1:] == ["created", "created", "cancelled", "extended", "deleted"]
    at = datetime.fromisoformat(extend["timestamp"]) + timedelta(hours=1)
    for event_id in (first, second):
        # Its finalizer holds it until an operator has cleaned up.
        record = await office.record(event_id)
        assert record["metadata"]["deletionTimestamp"]
        assert record["spec"]["expiresAt"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert record["spec"]["cancel"] is (event_id == second)


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b"\x00\xff no json", "InvalidMessage", "not JSON"),
        (b"", "InvalidMessage", "not JSON"),
        (b'{"event_type": "Other", "x": 1}', "InvalidMessage", "unknown event_type 'Other'"),
        (json.dumps({**deploy(), "version": 99}).encode(), "InvalidMessage", "unknown version '99'"),
        (json.dumps(deploy(), indent=3).replace("deploy", "explode").encode(), "InvalidMessage", "payload.action"),
        (json.dumps(deploy(namespace="kube-system")).encode(), "PermissionDenied", "does not watch kube-system"),
        (json.dumps(initialize_message("shop", {"git": {}})).encode(), "InvalidSpec", "spec.git.url"),
        (json.dumps(initialize_message("shop", {**SPEC, "nonsense": 1})).encode(), "InvalidSpec", "nonsense"),
        (
            json.dumps(reconcile_message("shop", "cancel", deployment="shop-1")).encode(),
            "ProjectNotFound",
            "no project shop",
        ),
    ],
)
async def test_what_cannot_be_taken_is_dead_lettered_byte_for_byte(
    office: Office, body: bytes, reason: str, says: str
) -> None:
    await office.start_listener()
    sent_at = datetime(2026, 1, 1, tzinfo=UTC)
    await office.send_raw(
        body, message_id="m-1", type="Whatever", timestamp=sent_at, content_type="text/x", headers={"trace": "t-1"}
    )
    dead = await office.dead()
    assert dead.body == body
    assert dead.headers["x-reason"] == reason
    assert says in str(dead.headers["x-error"])
    assert dead.headers["x-original-routing-key"] == "devops.reconcile"
    assert dead.headers["trace"] == "t-1"
    assert (dead.message_id, dead.type, dead.content_type) == ("m-1", "Whatever", "text/x")
    assert dead.timestamp == sent_at
    assert dead.delivery_mode == DeliveryMode.PERSISTENT
    # The next one is taken as if nothing had been.
    await office.record(await office.send(deploy()))
    assert await office.kubernetes.list(DEVOPS_PROJECT, office.namespace) == []


async def test_a_message_with_headers_of_every_kind_can_be_dead_lettered(office: Office) -> None:
    await office.start_listener()
    headers: dict[str, Any] = {
        "list": [1, 2],
        "table": {"a": 1},
        "none": None,
        "at": datetime.now(UTC),
        "big": "x" * 90_000,
    }
    await office.send_raw(b"no json", headers={**headers, "flag": True}, expiration=timedelta(hours=1))
    dead = await office.dead()
    assert dead.headers["flag"] is True
    assert not set(headers) & set(dead.headers)
    assert dead.expiration is None


async def test_a_message_that_keeps_coming_back_ends_in_the_dead_letter_queue(office: Office) -> None:
    """As one that kills the operator each time would: the broker itself gives it up."""
    async with office.channel() as channel:
        queue = await declare_queues(channel, office.settings)
        event_id = await office.send(deploy())
        for _ in range(DELIVERY_LIMIT + 1):
            message = await queue.get(timeout=30)
            await message.reject(requeue=True)
    dead = await office.dead()
    assert json.loads(dead.body)["event_id"] == event_id
    assert "x-death" in dead.headers


async def test_while_the_api_server_is_down_messages_are_held(office: Office, control_plane: ControlPlane) -> None:
    await office.start_listener()
    await asyncio.to_thread(control_plane.kill, API_SERVER)
    try:
        events = [await office.send(deploy(environment=f"pr-{number}")) for number in range(3)]

        async def held() -> bool:
            return "held" in await office.listener.check()

        await eventually(held, "the deliveries are held")
        assert office.listener.ready
        later = await office.send(deploy(environment="pr-9"))
        # Nobody consumes: what comes now stays with the broker.
        assert await eventually(partial(office.count, office.settings.rabbitmq_queue), "the next one stays") >= 1
    finally:
        await asyncio.to_thread(control_plane.start_processes, API_SERVER)
    for event_id in (*events, later):
        await office.record(event_id)
    assert await office.count(f"{office.settings.rabbitmq_queue}.dead") == 0

    async def takes() -> bool:
        return (await office.listener.check()).startswith("takes messages from")

    await eventually(takes, "consuming goes on")
    assert await office.settled(4) == ["created"] * 4


async def test_a_queue_that_was_deleted_is_made_again(office: Office) -> None:
    await office.start_listener()
    async with office.channel() as channel:
        await channel.queue_delete(office.settings.rabbitmq_queue)

    async def routed() -> str | None:
        try:
            return await office.send(deploy())
        except ValidationError:
            return None

    event_id = await eventually(routed, "the queue is bound again")
    assert event_id is not None
    await office.record(event_id)


async def test_a_dead_letter_queue_that_was_deleted_is_made_again(office: Office) -> None:
    """Else one message that cannot be read would hold those of all projects."""
    await office.start_listener()
    await office.send_raw(b"not read")
    await office.letters(1)
    async with office.channel() as channel:
        await channel.queue_delete(dead_name(office.settings))
    await office.send_raw(b"not read either")
    await office.record(await office.send(deploy()))
    await office.letters(1)


async def test_a_queue_with_other_properties_is_an_error_that_says_what_to_do(office: Office) -> None:
    name, exchange = office.settings.rabbitmq_queue, office.settings.rabbitmq_exchange
    async with office.channel() as channel:
        await channel.declare_queue(name, durable=True)
    task = asyncio.create_task(office.listener.run())

    async def said() -> str:
        try:
            return await office.listener.check()
        except ExternalServiceError as error:
            return error.message if "other properties" in error.message else ""

    text = await eventually(said, "the check says it")
    assert "delete it once it is empty, or set RABBITMQ_QUEUE to a new name" in text
    assert f"'{name}' goes on collecting each trigger" in text
    assert f"unbind it from exchange '{exchange}' (keys devops.initialize and devops.reconcile)" in text
    assert not office.listener.ready
    task.cancel()
    await asyncio.wait({task})


async def test_a_message_that_no_queue_takes_is_an_error_of_the_sender(office: Office) -> None:
    with pytest.raises(ValidationError, match=r"operator's queue .* is not bound"):
        await office.send(deploy())
    async with office.channel() as channel:
        queue = await declare_queues(channel, office.settings)
        await queue.unbind(office.settings.rabbitmq_exchange, "devops.reconcile")
    with pytest.raises(ValidationError, match=r"operator's queue .* is not bound"):
        await office.send(deploy())
    with pytest.raises(ValidationError, match="unknown event_type"):
        await office.send(b"{}")


async def test_a_login_that_is_refused_is_told_without_the_password(office: Office) -> None:
    wrong = office.settings.model_copy(update={"rabbitmq_password": SecretStr("hunter22")})
    with pytest.raises(CredentialsError, match="does not accept the user") as refused:
        await connect(wrong)
    assert "hunter22" not in str(refused.value)
    nowhere = office.settings.model_copy(update={"rabbitmq_vhost": "nowhere"})
    with pytest.raises(CredentialsError, match="does not open the virtual host 'nowhere'"):
        await connect(nowhere)
    away = office.settings.model_copy(update={"rabbitmq_port": 1})
    with pytest.raises(ExternalServiceError, match=r"connect to 127\.0\.0\.1:1"):
        await connect(away)
    assert (await probe(office.connect)).startswith("RabbitMQ ")
