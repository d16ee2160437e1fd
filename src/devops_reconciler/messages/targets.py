"""Which DeploymentRecords a `cancel`, `extend` or `delete` means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import Refused, ValidationError
from ..api.messages import Action, ReconcileMessage
from ..resources.environment import find, true_conditions
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from .cluster import (
    CANCEL_EVENT_ID,
    ENVIRONMENT_LABEL,
    EVENT_TIMESTAMP,
    PROJECT_LABEL,
    Cluster,
    annotation,
    time_of,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Targets:
    """Finds records."""

    kubernetes: Cluster

    async def required(self, message: ReconcileMessage, namespace: str) -> list[Object]:
        """At least one record, as `find`. Raises Refused, which says what is missing, where there is none."""
        found = await self.find(message, namespace)
        if not found:
            raise await self._missing(message, namespace)
        return found

    async def find(self, message: ReconcileMessage, namespace: str) -> list[Object]:
        """The record that `deployment` names, else those of the environment that are meant, the newest first.

        Of the environment none is newer than the message, and `cancel` takes one alone.

        Raises ValidationError where the named one belongs to another project or environment.
        """
        payload = message.payload
        if payload.deployment is None:
            return await self._meant(message, namespace)
        record = await self.kubernetes.get(DEPLOYMENT_RECORD, namespace, payload.deployment)
        if record is None:
            return []
        project, environment = _belongs_to(record)
        if project != payload.project:
            raise _wrong(f"deployment {payload.deployment} is one of project {project}, not of {payload.project}")
        if "environment" in payload.model_fields_set and environment != payload.environment:
            raise _wrong(f"deployment {payload.deployment} is one of {environment}, not of {payload.environment}")
        return [record]

    async def _meant(self, message: ReconcileMessage, namespace: str) -> list[Object]:
        """What the action can still change; the newest where there is nothing of that kind.

        `cancel` means the newest that has not finished. `extend` and `delete` mean all that a preview lives by: its
        holder, and what may become it. Of production `delete` means the newest alone: a message about a failed attempt
        must not take the holder.
        """
        newest_first = await self._of_environment(message, namespace)
        meant: list[Object] = []
        if message.payload.action is Action.CANCEL:
            # What it has cancelled has finished when the message comes again.
            taken = [record for record in newest_first if annotation(record, CANCEL_EVENT_ID) == message.event_id]
            meant = (taken or [record for record in newest_first if not _has_finished(record)])[:1]
        elif message.payload.environment != PRODUCTION:
            # Read after the records: who has claimed the environment in between had not finished in the list.
            holder = await self._holder(message, namespace)
            meant = [
                record for record in newest_first if not _has_finished(record) or record["metadata"]["name"] == holder
            ]
        return meant or newest_first[:1]

    async def _holder(self, message: ReconcileMessage, namespace: str) -> str | None:
        project = await self.kubernetes.get(DEVOPS_PROJECT, namespace, message.payload.project)
        return (find(project, message.payload.environment) or {}).get("holder")

    async def _of_environment(self, message: ReconcileMessage, namespace: str) -> list[Object]:
        """The newest first, by the time of the messages that made them: a record may be written long after its message
        was sent.

        Records that were made by hand may lack the labels, and count by their creation.
        """
        payload = message.payload
        labelled = f"{PROJECT_LABEL}={payload.project},{ENVIRONMENT_LABEL}={payload.environment}"
        records = await self.kubernetes.list(DEPLOYMENT_RECORD, namespace, labels=labelled)
        records += await self.kubernetes.list(DEPLOYMENT_RECORD, namespace, labels=f"!{PROJECT_LABEL}")
        mine = [
            record
            for record in records
            if _belongs_to(record) == (payload.project, payload.environment) and _made_at(record) <= message.timestamp
        ]
        return sorted(mine, key=lambda record: (_made_at(record), record["metadata"]["name"]), reverse=True)

    async def _missing(self, message: ReconcileMessage, namespace: str) -> Refused:
        payload = message.payload
        if await self.kubernetes.get(DEVOPS_PROJECT, namespace, payload.project) is None:
            return ValidationError(
                f"there is no project {payload.project} in {namespace}: send its DevOpsInitialize first",
                reason=Reason.PROJECT_NOT_FOUND,
            )
        if payload.deployment is not None:
            return _wrong(f"there is no deployment {payload.deployment} in {namespace}")
        return _wrong(
            f"there is no deployment of {payload.project} to {payload.environment} that is older than the message"
        )


def _wrong(text: str) -> ValidationError:
    return ValidationError(text, reason=Reason.INVALID_MESSAGE)


def _belongs_to(record: Object) -> tuple[str | None, str | None]:
    spec = record["spec"]
    return spec.get("projectRef", {}).get("name"), spec.get("environment")


def _has_finished(record: Object) -> bool:
    return "Finished" in true_conditions(record)


def _made_at(record: Object) -> datetime:
    annotated = time_of(record, EVENT_TIMESTAMP)
    if annotated is not None:
        return annotated
    created = record["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(created) if created else _EPOCH
