"""What a publication that fails says of the connection: most often nothing, and then others go on with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aio_pika import Message

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.messages import publisher
from devops_reconciler.messages.publisher import NotTaken, Publisher

from .fake_broker import FakeBroker


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def outgoing(broker: FakeBroker) -> Publisher:
    async def nothing(_channel: Any) -> None:
        """The exchange is there."""

    return Publisher(broker.connect, nothing)


async def send(outgoing: Publisher, key: str) -> None:
    await outgoing.publish("heartbeats", key, Message(b"{}"))


async def test_a_refusal_is_an_answer_and_the_connection_stays(broker: FakeBroker, outgoing: Publisher) -> None:
    broker.refused = {"full"}
    with pytest.raises(NotTaken, match="publish to 'heartbeats' by 'full': refused: a queue that is bound"):
        await send(outgoing, "full")
    await send(outgoing, "other")
    assert broker.connections == 1


async def test_silence_about_one_message_leaves_the_connection_to_others_that_are_answered(
    broker: FakeBroker, outgoing: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT", timedelta(milliseconds=50))
    broker.unanswered = {"silent"}
    silent = asyncio.create_task(send(outgoing, "silent"))
    await asyncio.sleep(0)
    await send(outgoing, "other")
    with pytest.raises(NotTaken, match=r"'silent': no answer within .* s, others have one"):
        await silent
    await send(outgoing, "other")
    assert broker.connections == 1


async def test_silence_about_all_messages_is_one_of_the_connection(
    broker: FakeBroker, outgoing: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT", timedelta(milliseconds=50))
    broker.unanswered = {"silent"}
    await send(outgoing, "other")
    with pytest.raises(ExternalServiceError, match="no answer within") as told:
        await send(outgoing, "silent")
    assert not isinstance(told.value, NotTaken)
    await send(outgoing, "other")
    assert broker.connections == 2


async def test_a_connection_with_too_many_messages_without_an_answer_is_made_anew(
    broker: FakeBroker, outgoing: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT", timedelta(milliseconds=50))
    monkeypatch.setattr(publisher, "UNANSWERED_LIMIT", 2)
    broker.unanswered = {"silent"}
    silent = [asyncio.create_task(send(outgoing, "silent")) for _ in range(3)]
    await asyncio.sleep(0)
    await send(outgoing, "other")
    errors = await asyncio.gather(*silent, return_exceptions=True)
    assert [isinstance(error, NotTaken) for error in errors] == [True, True, False]
    await send(outgoing, "other")
    assert broker.connections == 2
