"""The inbox: a message becomes a custom resource. Knows nothing of RabbitMQ.

Everything here may be done twice with the same effect as once: deliveries are repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..api.conditions import Reason
from ..api.durations import format_duration
from ..api.errors import Refused, ValidationError
from ..api.messages import InboundMessage, InitializeMessage, parse, unknown_fields
from ..runtime.clock import Clock
from ..runtime.logs import get_logger
from ..runtime.settings import Settings
from ..runtime.urgency import Urgency, work
from ..services.kubernetes import Object
from .cluster import Cluster
from .outcome import Outcome
from .projects import Projects
from .records import Records
from .replayed import REPLAYED_HEADER

__all__ = ["BODY_LIMIT", "Inbox", "Outcome", "read"]

BODY_LIMIT = 262_144
"""Longest body in bytes: what a custom resource and its annotations can hold. The API server answers longer ones with
errors that look like its own illness."""
FUTURE_LIMIT = timedelta(hours=24)
"""A timestamp further ahead is a mistake, which would make the project deaf to every message until then."""
VERSIONS = (1, "1", "v1")
"""The versions of the messages that we know; a message without one has the first."""

_log = get_logger(__name__)


def read(body: bytes) -> InboundMessage:
    """The message in a delivery. Raises ValidationError with reason InvalidMessage."""
    if len(body) > BODY_LIMIT:
        raise _invalid(f"the body is {len(body)} bytes long; at most {BODY_LIMIT} are taken")
    try:
        message = parse(body)
    except ValueError as error:
        raise _invalid(str(error)) from error
    version = (message.model_extra or {}).get("version", VERSIONS[0])
    if version not in VERSIONS:
        raise _invalid(f"unknown version {str(version)[:64]!r}: send version 1, or leave it out")
    return message


def _invalid(text: str) -> ValidationError:
    return ValidationError(text, reason=Reason.INVALID_MESSAGE)


@dataclass(frozen=True)
class Inbox:
    """Writes custom resources. `kubernetes` is the API server under the operator's identity.

    `made` is told of each new record as the API server has given it: the watch would tell it later.
    """

    kubernetes: Cluster
    settings: Settings
    clock: Clock
    made: Callable[[Object], None] = lambda _: None

    def place(self, message: InboundMessage) -> tuple[str, str]:
        """Namespace and project that a message is about."""
        return message.payload.namespace or self.settings.reconciler_namespaces[0], message.payload.project

    async def accept(self, message: InboundMessage, replayed_at: datetime | None = None) -> Outcome:
        """Do what the message says. Raises ReconcilerError; what becomes of the message then: `verdict`.

        `replayed_at` is when somebody last had it published again, which is as good as sending it then.
        """
        namespace, project = self.place(message)
        self._check(message, namespace, replayed_at)
        too_old = self._too_old(message, replayed_at)
        if unknown := unknown_fields(message):
            _log.info("Unknown fields are ignored", event_id=message.event_id, fields=unknown)
        with work(Urgency.ARRIVAL, (namespace, project)):
            if isinstance(message, InitializeMessage):
                return await Projects(self.kubernetes).initialize(message, namespace, too_old)
            return await Records(self.kubernetes, self.made).act(message, namespace, too_old)

    def _check(self, message: InboundMessage, namespace: str, replayed_at: datetime | None) -> None:
        watched = self.settings.reconciler_namespaces
        if namespace not in watched:
            raise Refused(
                f"payload.namespace: the operator does not watch {namespace}, only {', '.join(watched)}",
                reason=Reason.PERMISSION_DENIED,
            )
        for name, at in (("timestamp", message.timestamp), (REPLAYED_HEADER, replayed_at)):
            if at is not None and at > self.clock.now() + FUTURE_LIMIT:
                raise _invalid(f"{name}: {at.isoformat()} is more than 24 hours ahead; correct the clock")

    def _too_old(self, message: InboundMessage, replayed_at: datetime | None) -> Refused | None:
        """What to raise instead of carrying it out now; None for a message that is young enough.

        A queue that nobody has read for long may be read again. What is in it was meant for a world that is gone, and
        what was carried out long ago may have left nothing behind that tells of it.
        """
        asked_at = max(message.timestamp, replayed_at or message.timestamp)
        age, limit = self.clock.now() - asked_at, self.settings.trigger_max_age
        if age <= limit:
            return None
        name = "timestamp" if asked_at == message.timestamp else REPLAYED_HEADER
        return ValidationError(
            f"{name}: {asked_at.isoformat(timespec='seconds')} is {_told(age)} ago, and what was not carried out "
            f"within {_told(limit)} (TRIGGER_MAX_AGE) no longer is: if it is still wanted, send it again with a new "
            "event_id and timestamp, or have this one taken as it is by `devops-reconciler dead-letters replay`",
            reason=Reason.TRIGGER_TOO_OLD,
        )


def _told(length: timedelta) -> str:
    """In days where there are some: hours are hard to read by the hundred."""
    return f"{length.days} days" if length.days > 1 else format_duration(length)
