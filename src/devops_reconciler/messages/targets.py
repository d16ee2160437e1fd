"""Which DeploymentRecord a `cancel`, `extend` or `delete` means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..api.conditions import Reason
from ..api.errors import Refused, ValidationError
from ..api.messages import ReconcileMessage
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from .cluster import ENVIRONMENT_LABEL, EVENT_TIMESTAMP, PROJECT_LABEL, Cluster, time_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Targets:
    """Finds records."""

    kubernetes: Cluster

    async def required(self, message: ReconcileMessage, namespace: str) -> Object:
        """The record. Raises Refused, which says what is missing, where there is none."""
        found = await self.find(message, namespace)
        if found is None:
            raise await self._missing(message, namespace)
        return found

    async def find(self, message: ReconcileMessage, namespace: str) -> Object | None:
        """The record that `deployment` names, else the newest of the environment that is not newer than the message.

        Raises ValidationError where the named one belongs to another project or environment.
        """
        payload = message.payload
        if payload.deployment is None:
            return await self._newest(message, namespace)
        record = await self.kubernetes.get(DEPLOYMENT_RECORD, namespace, payload.deployment)
        if record is None:
            return None
        project, environment = _belongs_to(record)
        if project != payload.project:
            raise _wrong(f"deployment {payload.deployment} is one of project {project}, not of {payload.project}")
        if "environment" in payload.model_fields_set and environment != payload.environment:
            raise _wrong(f"deployment {payload.deployment} is one of {environment}, not of {payload.environment}")
        return record

    async def _newest(self, message: ReconcileMessage, namespace: str) -> Object | None:
        """By the time of the messages that made them: a record may be written long after its message was sent.

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
        return max(mine, key=lambda record: (_made_at(record), record["metadata"]["name"]), default=None)

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


def _made_at(record: Object) -> datetime:
    annotated = time_of(record, EVENT_TIMESTAMP)
    if annotated is not None:
        return annotated
    created = record["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(created) if created else _EPOCH
