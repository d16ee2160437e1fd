"""Many records at their end, cheaply: copies of some that the operator has brought there, with names of their own.

A copy is made as a message makes a record, then gets the status of the original. Wherever the original's name, UID and
image tag stand, in its ledger above all, the copy has its own. Nothing may act on records meanwhile: one without a
status is a deployment that wants to begin.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from devops_reconciler.api.names import image_tag
from testbed.kube_api import Object
from testbed.stage import Stage
from testbed.stage_cluster import path
from testbed.triggers import reconcile
from tests.bench.bare_api import BareApi

RECORDS = "deploymentrecords"
KEPT = ("labels", "annotations", "finalizers", "ownerReferences")
"""What of the metadata is not the server's."""


@dataclass(frozen=True)
class Copy:
    """What is to be copied, and as what. `words` are replaced besides; `status` is merged into it in the end."""

    original: Object
    name: str
    words: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> Object:
        """What to create: it has no UID yet."""
        metadata = self.original["metadata"]
        kept = {name: metadata[name] for name in ("namespace", *KEPT) if name in metadata}
        body = {**{name: self.original[name] for name in ("apiVersion", "kind", "spec")}, "metadata": kept}
        event = self.original["spec"]["triggerEventId"]
        found: Object = replaced(body, {**self.words, event: str(uuid.uuid4())})
        found["metadata"]["name"] = self.name
        return found

    def status_of(self, uid: str) -> dict[str, Any]:
        """The status of the copy that the server has given this UID."""
        metadata, status = self.original["metadata"], self.original["status"]
        commit = status["commit"]
        own = {
            metadata["name"]: self.name,
            metadata["uid"]: uid,
            image_tag(commit, metadata["uid"]): image_tag(commit, uid),
        }
        found: dict[str, Any] = replaced(status, {**own, **self.words})
        return found | dict(self.status)


def replaced(thing: Any, words: Mapping[str, str]) -> Any:
    """A copy with these words in place of others, wherever they stand."""
    text = json.dumps(thing)
    for old, new in words.items():
        text = text.replace(old, new)
    return json.loads(text)


async def deployed(stage: Stage, projects: Sequence[str], **payload: Any) -> list[Object]:
    """A record of each project that has just come to its good end, by message, all at once; its news are told."""
    messages = [reconcile(name, **payload) for name in projects]
    await asyncio.gather(*(stage.publish(message) for message in messages))
    return [await _ended(stage, message) for message in messages]


async def _ended(stage: Stage, message: Mapping[str, Any]) -> Object:
    project = message["payload"]["project"]
    last = await stage.heartbeats.terminal(project, event=message["event_id"], deadline=timedelta(minutes=5))
    if last.payload["result"] != "Succeeded":
        raise RuntimeError(f"the deployment of {project} ended with {last}")
    name = last.payload["deployment"]
    return await stage.kube.until(
        RECORDS, name, _is_told, "its last words are told", timedelta(minutes=2), stage.namespace
    )


def _is_told(record: Object) -> bool:
    return not record["status"]["heartbeat"].get("outbox")


async def copy_all(
    stage: Stage, copies: Iterable[Copy], known: Callable[[Copy, str], None] = lambda copy, uid: None
) -> None:
    """Make them, by a bare client. `known` is told the UID of each before it has its status."""
    collection = path(RECORDS, namespace=stage.namespace)
    async with BareApi(stage.control_plane) as api:

        async def make(copy: Copy) -> None:
            uid = json.loads(await api.create(collection, copy.body()))["metadata"]["uid"]
            known(copy, uid)
            await api.merge_status(f"{collection}/{copy.name}", copy.status_of(uid))

        await api.side_by_side(copies, make)
