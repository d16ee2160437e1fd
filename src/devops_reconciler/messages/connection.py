"""Connections to RabbitMQ, and the one way to ask it something: with a time limit, and with errors of our own taxonomy.

A connection here is plain: when it is lost, everything on it ends, and its user makes a new one. Nothing is restored
behind our back, so what we believe about channels, consumers and confirms is what the broker believes.

aio-pika ends what waits on a lost connection in several ways: with its own errors, with a bare `Exception`, and with a
`CancelledError` that nobody of ours asked for. `ask` makes one ExternalServiceError of them all.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import (
    AMQPException,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused

from ..api.conditions import Reason
from ..api.errors import CredentialsError, ExternalServiceError, ReconcilerError, Refused, ValidationError
from ..runtime.logs import get_logger
from ..runtime.secrets import Secrets
from ..runtime.settings import RabbitmqVariables
from .decoding import be_tolerant
from .wire import CertificateEnds, WiredConnection

SERVICE = "rabbitmq"
HEARTBEAT = timedelta(seconds=5)
"""AMQP heartbeats: a broker that is silent for about three of them counts as lost."""
CONNECT_TIMEOUT = timedelta(seconds=10)
ASK_TIMEOUT = timedelta(seconds=10)
CLOSE_TIMEOUT = timedelta(seconds=2)

_NOT_OPENED = "Connection.OpenOk"
"""How aiormq says that the broker closed the connection instead of opening the virtual host."""

Connect = Callable[[], Awaitable[AbstractConnection]]
"""Makes a new connection, logged in; raises ReconcilerError."""
T = TypeVar("T")

_log = get_logger(__name__)
# It logs as errors what we get as exceptions anyway, for each attempt to connect.
logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)
be_tolerant()


class Unroutable(Refused):
    """The broker took a mandatory message, found no queue for it, and gave it back."""


async def connect(
    settings: RabbitmqVariables,
    secrets: Secrets | None = None,
    *,
    name: str = "devops-reconciler",
    certificate_ends: CertificateEnds | None = None,
) -> AbstractConnection:
    """A new connection. `secrets` gives the login of the moment, else the settings do; `name` shows at the broker.

    `certificate_ends` is told, where there is TLS, when the broker's certificate ends.
    Raises CredentialsError for a refused login, ExternalServiceError for all else. No error has the password in it.
    """
    username, password = _login(settings, secrets)
    where = f"{settings.rabbitmq_host}:{settings.rabbitmq_port}"
    tls = settings.rabbitmq_tls
    connection = WiredConnection(
        make_url(
            host=settings.rabbitmq_host,
            port=settings.rabbitmq_port,
            login=username,
            password=password,
            virtualhost=settings.rabbitmq_vhost,
            ssl=tls,
            heartbeat=int(HEARTBEAT.total_seconds()),
        ),
        ssl_context=ssl.create_default_context() if tls else None,
        client_properties={"connection_name": name},
        certificate_ends=certificate_ends,
    )
    handed_over = False
    try:
        what = f"connect to {where}, virtual host '{settings.rabbitmq_vhost}'"
        await ask(what, connection.connect(), CONNECT_TIMEOUT)
        handed_over = True
        return connection
    except CredentialsError as error:
        raise CredentialsError(
            f"RabbitMQ at {where} does not accept the user '{username}'; check RABBITMQ_USERNAME and RABBITMQ_PASSWORD"
        ) from error
    except ExternalServiceError as error:
        if _NOT_OPENED not in error.message:
            raise
        raise CredentialsError(
            f"RabbitMQ at {where} does not open the virtual host '{settings.rabbitmq_vhost}' to '{username}': it does "
            "not exist, or the user may not use it; check RABBITMQ_VHOST and the user's permissions",
            reason=Reason.PERMISSION_DENIED,
        ) from error
    finally:
        if not handed_over:
            connection.cut()


def _login(settings: RabbitmqVariables, secrets: Secrets | None) -> tuple[str, str]:
    if secrets is None:
        return settings.rabbitmq_username, settings.rabbitmq_password.get_secret_value()
    return secrets.current("rabbitmq_username") or "", secrets.current("rabbitmq_password") or ""


async def open_channel(connection: AbstractConnection) -> AbstractChannel:
    """A channel with publisher confirms, on which a mandatory message that nobody takes raises `Unroutable`."""

    async def opened() -> AbstractChannel:
        return await connection.channel(publisher_confirms=True, on_return_raises=True)

    return await ask("open a channel", opened())


async def ask(what: str, operation: Awaitable[T], limit: timedelta = ASK_TIMEOUT) -> T:
    """The answer to `operation`, for which the sentence `what` stands in errors. Raises ReconcilerError.

    After a time-out nothing is known of the connection: its user should make a new one.
    """
    task = asyncio.ensure_future(operation)
    try:
        await asyncio.wait({task}, timeout=limit.total_seconds())
    finally:
        answered = task.done()
        if not answered:
            await _abandon(task)
    if not answered:
        raise ExternalServiceError(
            f"RabbitMQ: {what}: no answer within {limit.total_seconds():g} s", service=SERVICE, maybe_applied=True
        )
    if task.cancelled():
        raise ExternalServiceError(f"RabbitMQ: {what}: the connection was lost", service=SERVICE)
    error = task.exception()
    if error is not None:
        raise _translated(what, error) from error
    return task.result()


async def _abandon(task: asyncio.Future[T]) -> None:
    """Cancel it, and give it a moment to clean up; what it raises on the way out concerns nobody any more."""
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    if task.done() and not task.cancelled():
        task.exception()


def _translated(what: str, error: BaseException) -> BaseException:
    said = _text(error)
    text = f"RabbitMQ: {what}: {said}"
    if isinstance(error, ReconcilerError):
        return error
    if isinstance(error, ProbableAuthenticationError):
        return CredentialsError(text)
    if isinstance(error, ChannelAccessRefused):
        return CredentialsError(text, reason=Reason.PERMISSION_DENIED)
    if isinstance(error, ChannelPreconditionFailed):
        return ValidationError(text)
    if isinstance(error, PublishError):
        return Unroutable(text)
    known = AMQPException | ChannelInvalidStateError | OSError | asyncio.InvalidStateError
    if isinstance(error, known) or type(error) is Exception:
        return ExternalServiceError(text, service=SERVICE, maybe_applied=not isinstance(error, DeliveryError))
    return error


def _text(error: BaseException) -> str:
    parts = [str(part) for part in error.args if isinstance(part, str | int) and part != ""]
    said = str(error) if isinstance(error, DeliveryError) else " ".join(parts)
    return said or getattr(error, "reason", "") or type(error).__name__


async def close(connection: AbstractConnection) -> None:
    """Close it, whatever state it is in; how that went is of no further interest."""
    try:
        await ask("close the connection", connection.close(), CLOSE_TIMEOUT)
    except ReconcilerError as error:
        _log.debug("A connection was not closed in order", error=error.message)
    finally:
        if isinstance(connection, WiredConnection):
            connection.cut()


async def probe(connect_: Connect) -> str:
    """Logs in and out again; the broker's product and version. Raises ReconcilerError."""
    connection = await connect_()
    try:
        transport = connection.transport
        properties = transport.connection.server_properties if transport is not None else {}
        return f"{_plain(properties.get('product'))} {_plain(properties.get('version'))}"
    finally:
        await close(connection)


def _plain(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
