"""The action `delete`, which must not go on to the next-newest record when its message is delivered twice.

Nothing is left of a deleted record that could remember it, so the project does: which record the message takes is
written there before it is taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..api.errors import ConflictError
from ..api.messages import ReconcileMessage
from ..api.names import record_name
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from .cluster import DELETION_REQUESTED_BY, DELETIONS, RACES, Cluster, annotation
from .outcome import Outcome
from .targets import Targets

REMEMBERED = 20
"""How many deletions a project remembers."""


@dataclass(frozen=True)
class Deletions:
    """Deletes DeploymentRecords."""

    kubernetes: Cluster

    async def delete(self, message: ReconcileMessage, namespace: str) -> Outcome:
        """Delete the record. One that is not there, or no longer, is what was wanted. Raises ReconcilerError."""
        chosen = await self._choose(message, namespace)
        if chosen is None:
            return Outcome("absent")
        name, uid = chosen
        try:
            await self._say_who(message, namespace, chosen)
            there = await self.kubernetes.delete(DEPLOYMENT_RECORD, namespace, name, uid=uid)
        except ConflictError:
            # Another record has that name now: ours is gone.
            there = False
        return Outcome("deleted" if there else "absent", f"DeploymentRecord {namespace}/{name}")

    async def _say_who(self, message: ReconcileMessage, namespace: str, chosen: tuple[str, str]) -> None:
        """Who asks, on the record: the API server does not tell afterwards who has deleted it.

        Raises ConflictError where the name is another record's now.
        """
        if message.payload.requested_by is None:
            return
        name, uid = chosen
        annotations = {DELETION_REQUESTED_BY: message.payload.requested_by}
        patch = {"metadata": {"uid": uid, "annotations": annotations}}
        await self.kubernetes.merge_patch(DEPLOYMENT_RECORD, namespace, name, patch)

    async def _choose(self, message: ReconcileMessage, namespace: str) -> tuple[str, str] | None:
        """Name and UID of the record that this message takes, remembered in the project."""
        race = 0
        while True:
            project = await self.kubernetes.get(DEVOPS_PROJECT, namespace, message.payload.project)
            remembered = _remembered(project)
            key = record_name(message.payload.project, message.event_id)
            if key in remembered:
                name, uid = remembered[key].split("/")
                return name, uid
            record = await Targets(self.kubernetes).find(message, namespace)
            if record is None:
                return None
            name, uid = record["metadata"]["name"], record["metadata"]["uid"]
            if project is None or message.payload.deployment is not None:
                return name, uid
            try:
                await self._remember(project, {**remembered, key: f"{name}/{uid}"})
            except ConflictError:
                race += 1
                if race == RACES:
                    raise
                continue
            return name, uid

    async def _remember(self, project: Object, deletions: dict[str, str]) -> None:
        metadata = project["metadata"]
        kept = dict(list(deletions.items())[-REMEMBERED:])
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {DELETIONS: json.dumps(kept)},
            }
        }
        await self.kubernetes.merge_patch(DEVOPS_PROJECT, metadata["namespace"], metadata["name"], patch)


def _remembered(project: Object | None) -> dict[str, str]:
    text = annotation(project, DELETIONS) if project is not None else None
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        value = {}
    if not isinstance(value, dict):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(entry, str) and entry.count("/") == 1}
