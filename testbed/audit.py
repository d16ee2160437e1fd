"""The audit log of the API server: what each user really asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # What the cluster does for itself would be most of the log.
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class AuditEvent:
    """One request. ``path`` is the URI with its query; ``stage`` is ``ResponseStarted`` when a watch begins."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    code: int
    stage: str
    received: datetime
    """When the server began with it. The log is written after the answer: an older request may stand later in it."""
    group: str = ""
    refusal: str = ""
    """What the server said when it forbade the request for want of a right; else empty."""

    @classmethod
    def parse(cls, line: str) -> AuditEvent:
        """From one line of the log."""
        event = json.loads(line)
        target = event.get("objectRef", {})
        answer = event.get("responseStatus", {})
        return cls(
            user=event["user"].get("username", ""),
            verb=event["verb"],
            resource=target.get("resource", ""),
            subresource=target.get("subresource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            path=event["requestURI"],
            code=answer.get("code", 0),
            stage=event["stage"],
            group=target.get("apiGroup", ""),
            refusal=_refusal(event, answer.get("message", "")),
            received=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        )


def _refusal(event: Mapping[str, Any], message: str) -> str:
    """The request itself, or what it does besides: a server-side apply of what is not there also creates.

    A namespace that goes away answers 403 too, without any lack of rights.
    """
    decided = event.get("annotations", {}).get("authorization.k8s.io/decision")
    forbidden = event.get("responseStatus", {}).get("code") == 403 and " cannot " in message
    return (message or "forbidden") if decided == "forbid" or forbidden else ""


@dataclass(frozen=True)
class AuditLog:
    """The log file of one API server; it keeps growing over restarts."""

    path: Path

    def position(self) -> int:
        """Where the log ends now; for ``since``."""
        return self.path.stat().st_size

    def events(self, *, user: str = "", since: int = 0) -> Iterator[AuditEvent]:
        """The requests after ``since``, of users whose name ends so.

        A request is in the log a moment after its answer: poll with a deadline when you wait for one.
        """
        with self.path.open("rb") as log:
            log.seek(since)
            for line in log:
                # The last line may be half written. Most lines are of others: parsing them all would take long.
                if line.endswith(b"\n") and user.encode() in line:
                    event = AuditEvent.parse(line.decode())
                    if event.user.endswith(user):
                        yield event
