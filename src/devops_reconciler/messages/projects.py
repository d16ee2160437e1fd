"""Messages about a project: `DevOpsInitialize`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..api.definitions import FINALIZER
from ..api.errors import ConflictError, Refused, Waiting
from ..api.messages import InitializeMessage
from ..resources.marks import trace_marks
from ..runtime.logs import get_logger
from ..services.kubernetes import DEVOPS_PROJECT, Object
from .cluster import EVENT_ID, EVENT_TIMESTAMP, RACES, REQUESTED_BY, Cluster, annotation, is_going, time_of, written
from .outcome import Outcome

LOOK_AGAIN = timedelta(seconds=2)
"""Between two looks whether a project that is being deleted is gone."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Projects:
    """Writes DevOpsProjects."""

    kubernetes: Cluster

    async def initialize(self, message: InitializeMessage, namespace: str, too_old: Refused | None) -> Outcome:
        """Server-side apply of the spec, unless a newer message was applied before.

        The same message again changes nothing, even where somebody has edited the project since. Raises Waiting while
        the project is being deleted, ConflictError where others write it all the time, `too_old` instead of writing.
        """
        race = 0
        while True:
            found = await self.kubernetes.get(DEVOPS_PROJECT, namespace, message.payload.project)
            if found is not None and (settled := self._settled(found, message)):
                return settled
            if too_old is not None:
                raise too_old
            try:
                applied = await self.kubernetes.apply(DEVOPS_PROJECT, namespace, _project(message, found), force=True)
            except ConflictError:
                # Only the resourceVersion can conflict: fields are taken over.
                race += 1
                if race == RACES:
                    raise
                continue
            return Outcome("applied", f"DevOpsProject {namespace}/{applied['metadata']['name']}")

    def _settled(self, found: Object, message: InitializeMessage) -> Outcome | None:
        if is_going(found):
            raise being_deleted(found)
        name = _name(found)
        if annotation(found, EVENT_ID) == message.event_id:
            return Outcome("duplicate", name)
        applied_at = time_of(found, EVENT_TIMESTAMP)
        if applied_at is not None and message.timestamp < applied_at:
            _log.info(
                "An older message than the one last applied is ignored",
                event_id=message.event_id,
                timestamp=written(message.timestamp),
                applied=annotation(found, EVENT_ID),
                applied_timestamp=written(applied_at),
            )
            return Outcome("outdated", name)
        return None


def being_deleted(project: Object) -> Waiting:
    """Why a message has to wait: what it writes now would go with the project."""
    return Waiting(f"{_name(project)} is being deleted; the message waits until it is gone", after=LOOK_AGAIN)


def _name(project: Object) -> str:
    return f"DevOpsProject {project['metadata'].get('namespace')}/{project['metadata']['name']}"


def _project(message: InitializeMessage, found: Object | None) -> Object:
    metadata: Object = {
        "name": message.payload.project,
        "finalizers": [FINALIZER],
        "annotations": {EVENT_ID: message.event_id, EVENT_TIMESTAMP: written(message.timestamp), **trace_marks()},
    }
    if message.payload.requested_by is not None:
        metadata["annotations"][REQUESTED_BY] = message.payload.requested_by
    if found is not None:
        metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
    return {"metadata": metadata, "spec": message.payload.spec}
