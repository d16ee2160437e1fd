"""One message of the dead-letter queue, as people and programs see it, and as it is published again."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractIncomingMessage

from .dead_letters import DEAD_SINCE_HEADER, ERROR_HEADER, OWN_HEADERS, REASON_HEADER, ROUTING_KEY_HEADER, copied, plain
from .replayed import REPLAYED_HEADER, time_in

BROKER_HEADERS = re.compile(r"x-(death|first-death-.+|last-death-.+|delivery-count|acquired-count)")
"""What RabbitMQ itself writes on messages. It goes by `x-death` when it decides that a dead letter runs in circles."""
UNKNOWN = "unknown"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. Everything of it but `id` was written by others."""

    id: str
    """Its `message_id` where that is plain text, else `sha256-` and digits of the body: equal letters have one id."""
    type: str
    routing_key: str
    """The one that it was first published by."""
    reason: str
    """`x-reason`, or the broker's own word (`delivery_limit`) where the broker gave it up."""
    error: str
    sent_at: datetime | None
    dead_since: datetime | None
    delivery: AbstractIncomingMessage

    @classmethod
    def of(cls, delivery: AbstractIncomingMessage) -> Letter:
        """The letter in a delivery of the dead-letter queue."""
        headers, death = delivery.headers or {}, _death(delivery.headers)
        count = f"RabbitMQ gave it up ({death['reason']}): it was delivered too often" if death else ""
        return cls(
            id=_id(delivery),
            type=delivery.type or _event_type(delivery.body) or UNKNOWN,
            routing_key=str(headers.get(ROUTING_KEY_HEADER) or delivery.routing_key or ""),
            reason=str(headers.get(REASON_HEADER) or death.get("reason") or UNKNOWN),
            error=str(headers.get(ERROR_HEADER) or count),
            sent_at=time_in(delivery.timestamp),
            dead_since=time_in(headers.get(DEAD_SINCE_HEADER)) or time_in(death.get("time")),
            delivery=delivery,
        )

    @property
    def body(self) -> bytes:
        """Byte for byte as it came."""
        return self.delivery.body

    def age(self, now: datetime) -> float | None:
        """Seconds since it was refused; since it was sent where that is not known."""
        since = self.dead_since or self.sent_at
        return max(0.0, (now - since).total_seconds()) if since is not None else None

    def summary(self, now: datetime) -> dict[str, Any]:
        """What the list shows, as JSON values."""
        age = self.age(now)
        return {
            "id": self.id,
            "message_id": self.delivery.message_id,
            "type": self.type,
            "routing_key": self.routing_key,
            "reason": self.reason,
            "error": self.error,
            "sent_at": self.sent_at.isoformat() if self.sent_at else None,
            "dead_since": self.dead_since.isoformat() if self.dead_since else None,
            "age_seconds": None if age is None else round(age),
            "size": len(self.body),
        }

    def whole(self, now: datetime) -> dict[str, Any]:
        """All of it, as JSON values: `body` where it is text, else `body_base64`."""
        text = as_text(self.body)
        body = {"body": text} if text is not None else {"body_base64": base64.b64encode(self.body).decode()}
        headers = {str(key): _json(value) for key, value in (self.delivery.headers or {}).items()}
        return {**self.summary(now), "content_type": self.delivery.content_type, "headers": headers, **body}

    def again(self, now: datetime) -> Message:
        """The message to publish again: the same body, properties and plain headers of others, and that of the replay.

        Without the headers of its first death, so that the second life begins like the first.
        """
        headers = {
            key: value
            for key, value in plain(self.delivery.headers).items()
            if key not in OWN_HEADERS and not BROKER_HEADERS.fullmatch(key)
        }
        return copied(self.delivery, headers | {REPLAYED_HEADER: now.isoformat(timespec="milliseconds")})


def as_text(body: bytes) -> str | None:
    """The body where it is text that a terminal can show, else None."""
    try:
        text = body.decode()
    except ValueError:
        return None
    return text if all(char.isprintable() or char in "\n\t\r" for char in text) else None


def _id(delivery: AbstractIncomingMessage) -> str:
    given = delivery.message_id
    if given and _PLAIN_ID.fullmatch(given):
        return given
    return f"sha256-{hashlib.sha256(delivery.body).hexdigest()[:12]}"


def _death(headers: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the broker says of the last time that it gave the message up itself."""
    deaths = (headers or {}).get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else {}
    return last if isinstance(last, Mapping) and "reason" in last else {}


def _event_type(body: bytes) -> str | None:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    kind = message.get("event_type") if isinstance(message, dict) else None
    # JSON may name half a character (a lone surrogate), which no terminal takes.
    return kind.encode(errors="replace").decode() if isinstance(kind, str) else None


def _json(value: object) -> object:
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
