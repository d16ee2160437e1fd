"""When the broker's certificate ends shows with each connection over TLS."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractConnection

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.messages.canary import CONNECTED, Canary
from devops_reconciler.messages.connection import connect
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.settings import RabbitmqVariables, Settings
from testbed.certificates import ServingFiles, write_serving_files


@pytest.fixture
def files(tmp_path: Path) -> ServingFiles:
    return write_serving_files(tmp_path, ["localhost"], ["127.0.0.1"])


async def told_by(files: ServingFiles) -> tuple[list[float], str]:
    """What a connection tells of the certificate of a server that hangs up after the handshake; and its error."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=files.context())
    port = server.sockets[0].getsockname()[1]
    login = {"rabbitmq_username": "operator", "rabbitmq_password": "secret"}
    settings = RabbitmqVariables.model_validate(
        {"rabbitmq_host": "127.0.0.1", "rabbitmq_port": port, "rabbitmq_tls": True, **login}
    )
    told: list[float] = []
    async with server:
        with pytest.raises(ExternalServiceError) as failed:
            await connect(settings, certificate_ends=told.append)
    return told, failed.value.message


async def test_a_connection_over_tls_tells_when_the_certificate_ends(
    files: ServingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    told, _ = await told_by(files)
    assert told == [files.ends]


async def test_a_certificate_that_is_not_trusted_is_refused_and_tells_nothing(files: ServingFiles) -> None:
    told, message = await told_by(files)
    assert told == []
    assert "certificate verify failed" in message.lower()


class EndOfTest(Exception):
    """Nothing more is to be seen."""


class HourByHour(FakeClock):
    """Each wait is over after an hour."""

    async def sleep(self, delay: timedelta) -> None:
        self.advance(timedelta(hours=1))


class Quiet:
    """A connection that stays, its channel, and the listener of a replica that takes no messages for now."""

    takes, settled_at, is_closed = False, 0.0, False

    async def channel(self, **_: Any) -> Quiet:
        return self

    async def get_queue(self, *_: Any, **__: Any) -> Quiet:
        return self

    async def consume(self, *_: Any, **__: Any) -> None: ...

    async def closed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.is_closed = True

    def renew(self, why: str) -> None:
        raise AssertionError(why)


async def test_a_replica_connects_anew_once_a_day_so_that_a_renewed_certificate_shows() -> None:
    clock, made, at = HourByHour(), list[Quiet](), list[float]()

    async def connected() -> AbstractConnection:
        at.append(clock.monotonic())
        if len(made) == 2:
            raise EndOfTest
        made.append(Quiet())
        return cast(AbstractConnection, made[-1])

    settings = Settings.model_construct(rabbitmq_queue="q", canary_interval=timedelta(seconds=30))
    with pytest.raises(EndOfTest):
        await Canary(settings, connected, clock, Quiet()).run()
    assert [later - earlier for earlier, later in itertools.pairwise(at)] == [CONNECTED.total_seconds() + 3600] * 2
    assert [each.is_closed for each in made] == [True, True]
