"""The three messages: what comes in over RabbitMQ, and the heartbeat that goes out.

Fields that a message has and we do not know are ignored; `unknown_fields` names them, for a log line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, from_json

from .base import Duration, Timestamp
from .deployment_record import PRODUCTION, ConcurrencyPolicy, StepState
from .faults import Fault
from .message_schema import ProjectSpec, draft_schema
from .text import NamespaceName, ObjectName, RecordOrLastHealthy, Revision, ShortName

ID_LIMIT = 253
_SHOWN = 64


class EventType(StrEnum):
    """The types of messages."""

    DEVOPS_INITIALIZE = "DevOpsInitialize"
    DEVOPS_RECONCILE = "DevOpsReconcile"
    DEVOPS_RECONCILE_HEARTBEAT = "DevOpsReconcileJobHeartbeat"


class Action(StrEnum):
    """What a `DevOpsReconcile` message asks for."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    CANCEL = "cancel"
    EXTEND = "extend"
    DELETE = "delete"


class Result(StrEnum):
    """How a deployment ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUPERSEDED = "Superseded"


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)


class _Envelope(_Part):
    event_id: str = Field(min_length=1, max_length=ID_LIMIT)
    """Identity of the event: the same one twice counts once."""
    timestamp: Timestamp
    """When the event was made, RFC 3339 with an offset."""


class InitializePayload(_Part):
    """A project to create or change."""

    project: ShortName
    """Name of the project."""
    namespace: NamespaceName | None = None
    """Namespace of the project; default: the first that the operator watches."""
    spec: ProjectSpec
    """The spec of the DevOpsProject, applied as it is; the API server checks it."""
    requested_by: str | None = Field(default=None, max_length=ID_LIMIT)
    """Who asks."""


class InitializeMessage(_Envelope):
    """Sets a project up, or changes it by a server-side apply."""

    event_type: Literal[EventType.DEVOPS_INITIALIZE]
    """DevOpsInitialize."""
    payload: InitializePayload
    """The project."""


class ReconcilePayload(_Part):
    """Something to do with a deployment of a project."""

    project: ShortName
    """Name of the project."""
    namespace: NamespaceName | None = None
    """Namespace of the project; default: the first that the operator watches."""
    action: Action
    """deploy, rollback, cancel, extend or delete."""
    environment: ShortName = PRODUCTION
    """production, or a preview's name."""
    revision: Revision | None = None
    """deploy: branch, tag or commit; default: the project's branch."""
    ttl: Duration | None = None
    """deploy, rollback: how long a preview lives once it is up. extend: how long, from the message's timestamp."""
    concurrency_policy: ConcurrencyPolicy | None = None
    """deploy, rollback: Queue, Replace or Forbid; default: Queue."""
    to: RecordOrLastHealthy | None = None
    """rollback: the name of a DeploymentRecord, or lastHealthy."""
    deployment: ObjectName | None = None
    """cancel, extend, delete: the name of a DeploymentRecord; default: cancel the newest of the environment that has
    not finished, extend and delete all that a preview lives by, delete the newest of production."""
    requested_by: str | None = Field(default=None, max_length=ID_LIMIT)
    """Who asks."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.action is Action.ROLLBACK and self.to is None:
            raise ValueError("action rollback needs `to`: the name of a DeploymentRecord, or lastHealthy")
        if self.action is Action.EXTEND and self.ttl is None:
            raise ValueError("action extend needs `ttl`, like 2h")
        if self.action is Action.EXTEND and self.environment == PRODUCTION and self.deployment is None:
            raise ValueError(f"action extend is for previews: {PRODUCTION} does not expire; name `environment`")
        if self.action in (Action.DEPLOY, Action.ROLLBACK) and self.ttl is not None and self.environment == PRODUCTION:
            raise ValueError(f"`ttl` is for previews: {PRODUCTION} does not expire; leave it out or name `environment`")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        handler.resolve_ref_schema(schema)["allOf"] = [
            {
                "if": {"properties": {"action": {"const": action.value}}, "required": ["action"]},
                "then": {"required": [needed]},
            }
            for action, needed in ((Action.ROLLBACK, "to"), (Action.EXTEND, "ttl"))
        ]
        return schema


class ReconcileMessage(_Envelope):
    """Deploys a project, or acts on a deployment."""

    event_type: Literal[EventType.DEVOPS_RECONCILE]
    """DevOpsReconcile."""
    payload: ReconcilePayload
    """What to do."""


class HeartbeatPayload(_Part):
    """How a deployment goes."""

    project: str
    """Name of the project."""
    namespace: str | None = None
    """Namespace of the project and of the record; only with it is the project's name unique."""
    deployment: str
    """Name of the DeploymentRecord."""
    environment: str
    """production, or a preview's name."""
    trigger_event_id: str | None = None
    """event_id of the message that asked for the deployment."""
    sequence: int = Field(ge=1)
    """Counts changes from 1, without gaps."""
    tick: int | None = Field(default=None, ge=1)
    """Counts repetitions of one sequence; absent in the message of the change itself."""
    step: str | None = None
    """The step that is at work; expiry for the later news of a preview."""
    state: StepState
    """Where the step is."""
    percent: int | None = Field(default=None, ge=0, le=100)
    """How much of the deployment is done."""
    eta_seconds: int | None = Field(default=None, ge=0)
    """Expected seconds until the end."""
    message: str = ""
    """A sentence for people."""
    url: str | None = None
    """Where the step, or at the end the application, can be looked at."""
    reason: str | None = None
    """One word that says why; the reason of a condition."""
    fault: Fault | None = None
    """Whose failure it is: User, Vendor or Operator; absent where nothing has failed."""
    terminal: bool = False
    """True in the one message that ends the deployment."""
    result: Result | None = None
    """How the deployment ended, in the terminal message."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.terminal != (self.result is not None):
            raise ValueError("a terminal heartbeat has a result, and no other has one")
        return self


class HeartbeatMessage(_Envelope):
    """One change, or one tick, of a deployment."""

    event_type: Literal[EventType.DEVOPS_RECONCILE_HEARTBEAT] = EventType.DEVOPS_RECONCILE_HEARTBEAT
    """DevOpsReconcileJobHeartbeat."""
    payload: HeartbeatPayload
    """How the deployment goes."""

    def body(self) -> bytes:
        """The message as JSON, the same bytes for the same values."""
        plain = self.model_dump(mode="json")
        plain["payload"] = only_present(plain["payload"])
        first = ("event_type", "event_id", "timestamp", "payload")
        ordered = {key: plain[key] for key in first} | plain
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


_MAY_LACK = ("tick", "fault", "namespace")


def only_present(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A heartbeat's payload as it goes out: `tick`, `fault` and `namespace` only where there is one, all else always.

    What an older version has saved lacks the namespace."""
    return {name: value for name, value in payload.items() if name not in _MAY_LACK or value is not None}


def heartbeat_id(record_uid: str, sequence: int, tick: int | None = None) -> str:
    """The `message_id` of a heartbeat: `<uid>-<sequence>[-<tick>]`."""
    return f"{record_uid}-{sequence}" if tick is None else f"{record_uid}-{sequence}-{tick}"


def heartbeat_routing_key(project: str, deployment: str) -> str:
    """The routing key of a heartbeat: `<project>.<deployment>`."""
    return f"{project}.{deployment}"


InboundMessage = InitializeMessage | ReconcileMessage
_INBOUND: dict[str, type[InitializeMessage | ReconcileMessage]] = {
    EventType.DEVOPS_INITIALIZE: InitializeMessage,
    EventType.DEVOPS_RECONCILE: ReconcileMessage,
}


def parse(body: bytes) -> InboundMessage:
    """The message in `body`. Raises `ValueError` with a text for people, which quotes nothing but the type."""
    try:
        plain = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"the body is not JSON in UTF-8: {error}") from None
    if not isinstance(plain, dict):
        raise ValueError("the body is not a JSON object: send event_type, event_id, timestamp and payload")
    event_type = plain.get("event_type")
    model = _INBOUND.get(event_type) if isinstance(event_type, str) else None
    if model is None:
        raise ValueError(f"unknown event_type {str(event_type)[:_SHOWN]!r}: send one of {', '.join(_INBOUND)}")
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise ValueError("; ".join(_problems(error))) from None


def _problems(error: ValidationError) -> list[str]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in found]


def unknown_fields(message: BaseModel) -> list[str]:
    """The fields of `message` that its schema does not have, as dotted paths, sorted."""
    found = list(message.model_extra or {})
    for name in type(message).model_fields:
        inner = getattr(message, name)
        if isinstance(inner, BaseModel):
            found += [f"{name}.{path}" for path in unknown_fields(inner)]
    return sorted(found)


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (2020-12) of each message, by event type."""
    models: dict[EventType, type[BaseModel]] = {
        EventType.DEVOPS_INITIALIZE: InitializeMessage,
        EventType.DEVOPS_RECONCILE: ReconcileMessage,
        EventType.DEVOPS_RECONCILE_HEARTBEAT: HeartbeatMessage,
    }
    return {event_type.value: draft_schema(model, event_type.value) for event_type, model in models.items()}
