"""Heartbeats as they lie in the outbox of a DeploymentRecord and as they go out: plain JSON objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .deployment_record import StepState
from .faults import Fault
from .messages import EventType, HeartbeatPayload, Result, heartbeat_id, only_present

_ENVELOPE = ("event_type", "event_id", "timestamp", "payload")
_PAYLOAD = tuple(HeartbeatPayload.model_fields)


def heartbeat(
    uid: str,
    project: str,
    deployment: str,
    environment: str,
    trigger_event_id: str | None,
    sequence: int,
    *,
    namespace: str | None = None,
    at: datetime,
    step: str | None,
    state: StepState | str,
    percent: int | None,
    eta_seconds: int | None,
    message: str,
    url: str | None,
    reason: str | None,
    fault: Fault | str | None = None,
    terminal: bool = False,
    result: Result | str | None = None,
) -> dict[str, Any]:
    """One change of a deployment, for its outbox. `uid` is the record's; `at` is the time of the change.

    Raises `ValueError` where the parts do not fit (a terminal one without a result, a percentage above 100).
    """
    payload = HeartbeatPayload(
        project=project,
        namespace=namespace,
        deployment=deployment,
        environment=environment,
        trigger_event_id=trigger_event_id,
        sequence=sequence,
        step=step,
        state=StepState(state),
        percent=percent,
        eta_seconds=eta_seconds,
        message=message,
        url=url,
        reason=reason,
        fault=None if fault is None else Fault(fault),
        terminal=terminal,
        result=None if result is None else Result(result),
    )
    return {
        "event_type": EventType.DEVOPS_RECONCILE_HEARTBEAT.value,
        "event_id": heartbeat_id(uid, sequence),
        "timestamp": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "payload": only_present(payload.model_dump(mode="json")),
    }


def ticked(entry: Mapping[str, Any], tick: int) -> dict[str, Any]:
    """The repetition number `tick` of an entry: the same in all else."""
    return {**entry, "payload": {**entry["payload"], "tick": tick}}


def heartbeat_body(entry: Mapping[str, Any]) -> bytes:
    """An entry as bytes, equal for equal entries, however the API server ordered their keys or dropped their nulls."""
    payload = entry["payload"]
    known = only_present({name: payload.get(name) for name in _PAYLOAD})
    more = {name: payload[name] for name in sorted(payload) if name not in _PAYLOAD}
    ordered = {name: entry.get(name) for name in _ENVELOPE} | {"payload": known | more}
    rest = {name: entry[name] for name in sorted(entry) if name not in _ENVELOPE}
    return json.dumps(ordered | rest, ensure_ascii=False, separators=(",", ":")).encode()
