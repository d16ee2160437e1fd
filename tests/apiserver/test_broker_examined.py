"""What `doctor` finds at a broker: permissions and properties as a start would meet them, and it changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aio_pika.abc import AbstractChannel

from devops_reconciler.cli.doctor import _broker
from devops_reconciler.cli.doctor_finding import Finding
from devops_reconciler.messages.connection import close, connect, open_channel
from devops_reconciler.messages.topology import ROUTING_KEYS, dead_name, declare_heartbeats, declare_queues
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import Settings
from testbed.rabbitmq import RabbitMQ

from .message_office import settings_for

WHO = "examined"
NOTHING = "^$"


@pytest.fixture
def settings(rabbitmq: RabbitMQ) -> Settings:
    return settings_for(rabbitmq, "team")


@pytest.fixture
def permit(rabbitmq: RabbitMQ) -> Iterator[RabbitMQ]:
    """The broker, with a user who may open the virtual host, and nothing more yet."""
    user = f'rabbit_auth_backend_internal:add_user(<<"{WHO}">>, <<"{rabbitmq.password}">>, <<"tests">>).'
    rabbitmq.evaluate(user)
    yield rabbitmq
    rabbitmq.evaluate(f'rabbit_auth_backend_internal:delete_user(<<"{WHO}">>, <<"tests">>).')


def give(broker: RabbitMQ, configure: str, write: str, read: str) -> None:
    texts = ", ".join(f'<<"{pattern}">>' for pattern in (configure, write, read))
    at = f'<<"{WHO}">>, <<"{broker.vhost}">>, {texts}, <<"tests">>'
    broker.evaluate(f"rabbit_auth_backend_internal:set_permissions({at}).")


@asynccontextmanager
async def channel_of(settings: Settings) -> AsyncIterator[AbstractChannel]:
    connection = await connect(settings)
    try:
        yield await open_channel(connection)
    finally:
        await close(connection)


async def declare(settings: Settings) -> None:
    async with channel_of(settings) as channel:
        await declare_queues(channel, settings)
        await declare_heartbeats(channel, settings)


async def examined(settings: Settings) -> Finding:
    environ = {
        "RABBITMQ_USERNAME": settings.rabbitmq_username,
        "RABBITMQ_PASSWORD": settings.rabbitmq_password.get_secret_value(),
    }
    return await _broker(settings, Secrets(settings, environ, SystemClock())).run(str)


def as_who(settings: Settings) -> Settings:
    return settings.model_copy(update={"rabbitmq_username": WHO})


def bindings(broker: RabbitMQ, queue: str) -> str:
    name = f'rabbit_misc:r(<<"{broker.vhost}">>, queue, <<"{queue}">>)'
    return broker.evaluate(f"lists:sort(rabbit_binding:list_for_destination({name})).")


async def test_where_nothing_is_there_nothing_is_made(rabbitmq: RabbitMQ, settings: Settings) -> None:
    for _ in range(2):
        finding = await examined(settings)
        assert finding.ok, finding
        (note,) = finding.notes
        assert note.startswith("not there before the first run, which proves the permissions for them: exchange ")
        assert note.count("exchange ") == 3
        assert note.count("queue ") == 2


async def test_what_a_start_has_made_is_good_and_stays_as_it_is(rabbitmq: RabbitMQ, settings: Settings) -> None:
    await declare(settings)
    before = bindings(rabbitmq, settings.rabbitmq_queue)
    assert all(key in before for key in ROUTING_KEYS.values())
    finding = await examined(settings)
    assert (finding.ok, len(finding.notes)) == (True, 2), finding
    assert bindings(rabbitmq, settings.rabbitmq_queue) == before


async def test_a_binding_that_was_taken_away_is_not_put_back(rabbitmq: RabbitMQ, settings: Settings) -> None:
    await declare(settings)
    key = next(iter(ROUTING_KEYS.values()))
    async with channel_of(settings) as channel:
        queue = await channel.get_queue(settings.rabbitmq_queue, ensure=False)
        await queue.unbind(settings.rabbitmq_exchange, key)
    before = bindings(rabbitmq, settings.rabbitmq_queue)
    assert key not in before
    assert (await examined(settings)).ok
    assert bindings(rabbitmq, settings.rabbitmq_queue) == before


async def test_a_user_who_may_nothing_fails_with_all_that_is_to_be_given(permit: RabbitMQ, settings: Settings) -> None:
    await declare(settings)
    give(permit, NOTHING, NOTHING, NOTHING)
    finding = await examined(as_who(settings))
    assert not finding.ok
    queue, dead, triggers = settings.rabbitmq_queue, dead_name(settings), settings.rabbitmq_exchange
    assert [advice.removesuffix(" (rabbitmqctl set_permissions)") for advice in finding.todo] == [
        f"give the user the permission to {permission}"
        for permission in (
            f"configure exchange '{triggers}'",
            f"configure exchange '{settings.rabbitmq_heartbeat_exchange}'",
            f"configure exchange '{dead}'",
            f"configure queue '{queue}'",
            f"write to queue '{queue}' and read from exchange '{triggers}'",
            f"configure queue '{dead}'",
            f"write to queue '{dead}' and read from exchange '{dead}'",
        )
    ]
    assert all("ACCESS_REFUSED" in problem for problem in finding.problems)


@pytest.mark.parametrize("patterns", [(".*", NOTHING, ".*"), (".*", ".*", NOTHING)])
async def test_one_permission_that_is_missing_is_found(
    permit: RabbitMQ, settings: Settings, patterns: tuple[str, str, str]
) -> None:
    await declare(settings)
    give(permit, *patterns)
    finding = await examined(as_who(settings))
    assert len(finding.problems) == 2, finding
    assert all("bind queue" in problem for problem in finding.problems)


async def test_a_user_who_may_all_of_it_is_good(permit: RabbitMQ, settings: Settings) -> None:
    await declare(settings)
    give(permit, ".*", ".*", ".*")
    assert (await examined(as_who(settings))).ok


async def test_other_properties_are_told_as_a_start_would_meet_them(settings: Settings) -> None:
    async with channel_of(settings) as channel:
        await channel.declare_queue(settings.rabbitmq_queue, durable=True)
    finding = await examined(settings)
    (problem,) = finding.problems
    assert "PRECONDITION_FAILED" in problem
    assert "set RABBITMQ_QUEUE to a new name" in problem
    assert finding.todo == ["runbook: InvalidSpec"]
