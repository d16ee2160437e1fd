"""The action `delete`, which must not go on to other records when its message is delivered twice.

Nothing is left of a deleted record that could remember it, so the project does: which records the message takes is
written there before they are taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..api.errors import ConflictError
from ..api.messages import ReconcileMessage
from ..api.names import record_name
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from .cluster import DELETION_REQUESTED_BY, DELETIONS, RACES, Cluster, annotation
from .outcome import Outcome, records_named
from .targets import Targets

REMEMBERED = 20
"""How many deletions a project remembers."""


@dataclass(frozen=True)
class Deletions:
    """Deletes DeploymentRecords."""

    kubernetes: Cluster

    async def delete(self, message: ReconcileMessage, namespace: str) -> Outcome:
        """Delete the records. One that is not there, or no longer, is what was wanted. Raises ReconcilerError."""
        chosen = await self._choose(message, namespace)
        if not chosen:
            return Outcome("absent")
        there = [await self._take(message, namespace, each) for each in chosen]
        return Outcome("deleted" if any(there) else "absent", records_named(namespace, [name for name, _ in chosen]))

    async def _take(self, message: ReconcileMessage, namespace: str, chosen: tuple[str, str]) -> bool:
        """Whether it was there."""
        name, uid = chosen
        try:
            await self._say_who(message, namespace, chosen)
            return await self.kubernetes.delete(DEPLOYMENT_RECORD, namespace, name, uid=uid)
        except ConflictError:
            # Another record has that name now: ours is gone.
            return False

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

    async def _choose(self, message: ReconcileMessage, namespace: str) -> list[tuple[str, str]]:
        """Name and UID of each record that this message takes, remembered in the project."""
        race = 0
        while True:
            project = await self.kubernetes.get(DEVOPS_PROJECT, namespace, message.payload.project)
            remembered = _remembered(project)
            key = record_name(message.payload.project, message.event_id)
            if key in remembered:
                return remembered[key]
            found = [record["metadata"] for record in await Targets(self.kubernetes).find(message, namespace)]
            chosen = [(metadata["name"], metadata["uid"]) for metadata in found]
            if not chosen or project is None or message.payload.deployment is not None:
                return chosen
            try:
                await self._remember(project, {**remembered, key: chosen})
            except ConflictError:
                race += 1
                if race == RACES:
                    raise
                continue
            return chosen

    async def _remember(self, project: Object, deletions: dict[str, list[tuple[str, str]]]) -> None:
        metadata = project["metadata"]
        kept = {key: ",".join(map("/".join, chosen)) for key, chosen in list(deletions.items())[-REMEMBERED:]}
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {DELETIONS: json.dumps(kept)},
            }
        }
        await self.kubernetes.merge_patch(DEVOPS_PROJECT, metadata["namespace"], metadata["name"], patch)


def _remembered(project: Object | None) -> dict[str, list[tuple[str, str]]]:
    """Name and UID of each record, as `name/uid,name/uid`, by the name that the event would give to a record."""
    text = annotation(project, DELETIONS) if project is not None else None
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        value = {}
    if not isinstance(value, dict):
        return {}
    entries = {key: entry.split(",") for key, entry in value.items() if isinstance(entry, str)}
    return {
        key: [(name, uid) for name, _, uid in (each.partition("/") for each in entry)]
        for key, entry in entries.items()
        if all(each.count("/") == 1 for each in entry)
    }
