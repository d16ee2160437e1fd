"""Sending a message to the operator, as `devops-reconciler send` does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aio_pika import DeliveryMode, Message

from ..api.conditions import Reason
from ..api.errors import ExternalServiceError, ValidationError
from ..api.messages import Action, EventType, InboundMessage, parse
from ..runtime.secrets import Secrets
from ..runtime.settings import RabbitmqVariables
from ..runtime.tracing import carried
from .connection import Unroutable, connect
from .publisher import Publisher
from .topology import ROUTING_KEYS
from .traced import sending

CONTENT_TYPE = "application/json"


def initialize_message(
    project: str, spec: Mapping[str, Any], namespace: str | None = None, requested_by: str | None = None
) -> dict[str, Any]:
    """A `DevOpsInitialize` with a new id, of this moment."""
    payload = {"project": project, "namespace": namespace, "spec": dict(spec), "requested_by": requested_by}
    return _message(EventType.DEVOPS_INITIALIZE, payload)


def reconcile_message(project: str, action: Action | str, **payload: Any) -> dict[str, Any]:
    """A `DevOpsReconcile` with a new id, of this moment. `payload` takes its other fields; None leaves one out."""
    return _message(EventType.DEVOPS_RECONCILE, {"project": project, "action": Action(action).value, **payload})


def _message(event_type: EventType, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_type": event_type.value,
        "event_id": str(uuid4()),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "payload": {key: value for key, value in payload.items() if value is not None},
    }


async def publish(
    settings: RabbitmqVariables, message: Mapping[str, Any] | bytes, secrets: Secrets | None = None
) -> str:
    """Publish a message, as it is; the broker has it in the operator's queue when this returns. Gives its event_id.

    Raises ValidationError for what is no message, and where no queue takes it; ExternalServiceError or CredentialsError
    where the broker does not do it.
    """
    publisher = Publisher(lambda: connect(settings, secrets, name="devops-reconciler send"), declares_nothing)
    try:
        return await publish_by(publisher, settings, message)
    finally:
        await publisher.close()


async def publish_by(publisher: Publisher, settings: RabbitmqVariables, message: Mapping[str, Any] | bytes) -> str:
    """As `publish`, through this publisher. It begins the trace of what comes of the message."""
    body = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
    parsed = _checked(body)
    key = ROUTING_KEYS[EventType(parsed.event_type)]
    with sending(settings.rabbitmq_exchange, key, parsed.event_id, project=parsed.payload.project):
        await publish_trigger(publisher, settings, key, _envelope(body, parsed))
    return parsed.event_id


async def declares_nothing(_channel: object) -> None:
    """The operator declares; a sender does not."""


async def publish_trigger(publisher: Publisher, settings: RabbitmqVariables, key: str, message: Message) -> None:
    """Publish to the exchange of triggers; the operator's queue has it when this returns.

    By another key than ours it came past the exchange, so it goes straight to the queue. Raises ReconcilerError;
    ValidationError where no queue takes it.
    """
    known = key in ROUTING_KEYS.values()
    exchange, key = (settings.rabbitmq_exchange, key) if known else ("", settings.rabbitmq_queue)
    try:
        await publisher.publish(exchange, key, message, mandatory=True)
    except Unroutable as error:
        raise _unbound(settings, key) from error
    except ExternalServiceError as error:
        if "NOT_FOUND" in error.message:
            raise _unbound(settings, key) from error
        raise


def _checked(body: bytes) -> InboundMessage:
    try:
        return parse(body)
    except ValueError as error:
        raise ValidationError(str(error), reason=Reason.INVALID_MESSAGE) from error


def _envelope(body: bytes, message: InboundMessage) -> Message:
    return Message(
        body,
        headers=dict(carried()),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.event_id,
        type=message.event_type,
        timestamp=message.timestamp,
    )


def _unbound(settings: RabbitmqVariables, key: str) -> ValidationError:
    return ValidationError(
        f"RabbitMQ: no queue takes messages of '{settings.rabbitmq_exchange}' by '{key}': the operator's queue "
        f"'{settings.rabbitmq_queue}' is not bound; start the operator once with the same RABBITMQ_* settings"
    )
