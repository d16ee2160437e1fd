"""Messages about a deployment: `DevOpsReconcile`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

from ..api.base import format_duration
from ..api.conditions import Reason
from ..api.definitions import FINALIZER
from ..api.errors import ConflictError, Refused, ValidationError
from ..api.messages import Action, ReconcileMessage
from ..api.names import record_name
from ..resources.marks import trace_marks
from ..runtime.logs import get_logger
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object, already_exists
from .cluster import (
    CANCEL_EVENT_ID,
    ENVIRONMENT_LABEL,
    EVENT_ID,
    EVENT_TIMESTAMP,
    EXTENDED_AT,
    PROJECT_LABEL,
    RACES,
    REQUESTED_BY,
    Cluster,
    is_going,
    time_of,
    written,
)
from .deletions import Deletions
from .outcome import Outcome, records_named
from .projects import being_deleted
from .targets import Targets

_log = get_logger(__name__)


@dataclass(frozen=True)
class Records:
    """Writes DeploymentRecords, and tells of those that are new."""

    kubernetes: Cluster
    made: Callable[[Object], None]

    async def act(self, message: ReconcileMessage, namespace: str, too_old: Refused | None) -> Outcome:
        """Do what `action` says. Raises ReconcilerError; `too_old` instead of making a record.

        The other actions need no such limit: they take a record that they name, or one that is older than the message.
        """
        match message.payload.action:
            case Action.DEPLOY | Action.ROLLBACK:
                return await self._create(message, namespace, too_old)
            case Action.CANCEL:
                return await self._cancel(message, namespace)
            case Action.EXTEND:
                return await self._extend(message, namespace)
            case Action.DELETE:
                return await Deletions(self.kubernetes).delete(message, namespace)

    async def _create(self, message: ReconcileMessage, namespace: str, too_old: Refused | None) -> Outcome:
        """The record of the event; one event has one name, so a repetition finds it there.

        Raises Waiting while the project is being deleted: all its records go first, and nobody would hear of a new one.
        """
        project = await self.kubernetes.get(DEVOPS_PROJECT, namespace, message.payload.project)
        record = _record(message, project)
        name = record["metadata"]["name"]
        duplicate = Outcome("duplicate", records_named(namespace, [name]))
        going = being_deleted(project) if project is not None and is_going(project) else None
        if (why_not := too_old or going) is not None:
            if await self._is_there(message, namespace, name):
                return duplicate
            raise why_not
        try:
            self.made(await self.kubernetes.create(DEPLOYMENT_RECORD, namespace, record))
        except ConflictError as error:
            if not already_exists(error):
                raise
            await self._is_there(message, namespace, name)
            return duplicate
        return Outcome("created", records_named(namespace, [name]))

    async def _is_there(self, message: ReconcileMessage, namespace: str, name: str) -> bool:
        """Whether the record of the event is there. Raises Refused where another event's has its name."""
        there = await self.kubernetes.get(DEPLOYMENT_RECORD, namespace, name)
        if there is not None and there["spec"].get("triggerEventId") != message.event_id:
            raise Refused(
                f"DeploymentRecord {namespace}/{name} is there and belongs to another event; send a new event_id",
                reason=Reason.OWNERSHIP_CONFLICT,
            )
        return there is not None

    async def _cancel(self, message: ReconcileMessage, namespace: str) -> Outcome:
        (record,) = await Targets(self.kubernetes).required(message, namespace)
        name = record["metadata"]["name"]
        if record["spec"].get("cancel") is True:
            return Outcome("duplicate", records_named(namespace, [name]))
        # One that vanished in between needs no cancelling.
        annotations = {CANCEL_EVENT_ID: message.event_id, **asked_by(message)}
        patch = {"metadata": {"annotations": annotations}, "spec": {"cancel": True}}
        await self.kubernetes.merge_patch(DEPLOYMENT_RECORD, namespace, name, patch)
        return Outcome("cancelled", records_named(namespace, [name]))

    async def _extend(self, message: ReconcileMessage, namespace: str) -> Outcome:
        """The expiry counts from the message, so that a repetition or a late arrival changes nothing."""
        race = 0
        words: dict[str, str] = {}
        while True:
            records = await Targets(self.kubernetes).required(message, namespace)
            try:
                for record in records:
                    name = record["metadata"]["name"]
                    if name not in words:
                        words[name] = await self._extend_one(message, namespace, record)
            except ConflictError:
                race += 1
                if race == RACES:
                    raise
                continue
            word = next(word for word in ("extended", "duplicate", "outdated") if word in words.values())
            return Outcome(word, records_named(namespace, words))

    async def _extend_one(self, message: ReconcileMessage, namespace: str, record: Object) -> str:
        """The word of the outcome. Raises ConflictError where somebody else has changed the record."""
        extended_at = time_of(record, EXTENDED_AT)
        if extended_at is not None and message.timestamp <= extended_at:
            return "duplicate" if message.timestamp == extended_at else "outdated"
        name = record["metadata"]["name"]
        await self.kubernetes.merge_patch(DEPLOYMENT_RECORD, namespace, name, _extension(message, record))
        return "extended"


def _extension(message: ReconcileMessage, record: Object) -> Object:
    if message.payload.ttl is None:
        raise ValidationError("action extend needs `ttl`", reason=Reason.INVALID_MESSAGE)
    expires_at = (message.timestamp + message.payload.ttl).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {
            "resourceVersion": record["metadata"]["resourceVersion"],
            "annotations": {EXTENDED_AT: written(message.timestamp), **asked_by(message)},
        },
        "spec": {"expiresAt": expires_at},
    }


def _record(message: ReconcileMessage, project: Object | None) -> Object:
    payload = message.payload
    annotations = {
        EVENT_ID: message.event_id,
        EVENT_TIMESTAMP: written(message.timestamp),
        REQUESTED_BY: payload.requested_by,
    }
    spec = {
        "projectRef": {"name": payload.project},
        "environment": payload.environment,
        "revision": payload.revision if payload.action is Action.DEPLOY else None,
        "rollbackTo": payload.to if payload.action is Action.ROLLBACK else None,
        "ttl": format_duration(payload.ttl) if payload.ttl is not None else None,
        "concurrencyPolicy": payload.concurrency_policy.value if payload.concurrency_policy is not None else None,
        "triggerEventId": message.event_id,
        "requestedBy": payload.requested_by,
    }
    metadata: Object = {
        "name": record_name(payload.project, message.event_id),
        "labels": {PROJECT_LABEL: payload.project, ENVIRONMENT_LABEL: payload.environment},
        "annotations": _given(annotations) | trace_marks(),
        "finalizers": [FINALIZER],
    }
    if project is not None:
        metadata["ownerReferences"] = [DEVOPS_PROJECT.controls(project["metadata"]["name"], project["metadata"]["uid"])]
    return {"metadata": metadata, "spec": _given(spec)}


def asked_by(message: ReconcileMessage) -> Object:
    """The annotation that says who asked last; none where the message does not say it."""
    who = message.payload.requested_by
    return {} if who is None else {REQUESTED_BY: who}


def _given(fields: Object) -> Object:
    return {key: value for key, value in fields.items() if value is not None}
