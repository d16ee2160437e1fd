"""One line of the audit trail: its fields, and how it is chained to the line before. No input or output here."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

GENESIS = "0" * 64
"""Stands for the line before the first one."""
UNKNOWN = "unknown"
_HEX = r"^[0-9a-f]{64}$"
_DIGEST = r"^sha256:[0-9a-f]{16,64}$"


class Phase(StrEnum):
    """Each change has two lines: one before the request is sent, one when it is known what came of it."""

    INTENT = "intent"
    OUTCOME = "outcome"


class Result(StrEnum):
    """What came of a request."""

    APPLIED = "applied"
    """The service said yes."""
    REFUSED = "refused"
    """The service said no, or that it is not there (404)."""
    NOT_SENT = "not_sent"
    """It never reached the service: no connection, or the breaker was open."""
    UNKNOWN = "unknown"
    """It may have had its effect: no answer, an answer that makes no sense, or a server's error."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AuditedObject(_Part):
    """The custom resource that the change was made for."""

    kind: str
    namespace: str
    name: str
    uid: str


class AuditedThing(_Part):
    """The external thing that is changed, as the ledger of the object names it."""

    kind: str
    """For example JenkinsJob."""
    key: str
    """Its identity at the service."""
    action: Literal["create", "update", "delete"]
    """What the operator set out to do; one act may take several requests."""
    fields: tuple[str, ...] = ()
    """For an update: the names of what differed."""


class AuditOutcome(_Part):
    """How the request ended."""

    result: Result
    """applied, refused, not_sent or unknown."""
    code: str
    """The HTTP status, or the name of the failure."""


class AuditRecord(_Part):
    """One line of the audit trail: a request that changes something outside, before or after it was sent."""

    v: Literal[1] = 1
    """Version of this format."""
    seq: int = Field(ge=1)
    """Number of the line; counts on across restarts and rotated files."""
    at: str
    """Time of the line, RFC 3339 in UTC."""
    replica: str
    """Which replica of the operator."""
    phase: Phase
    """intent: about to be sent; outcome: what came of it. Without an outcome the operator was killed between."""
    change: str
    """Joins the intent and the outcome of one request."""
    asked_by: str
    """Who asked: `requested_by` of the message, else the field manager that wrote the spec, else `unknown`."""
    object: AuditedObject | None = None
    """The custom resource that the change was made for."""
    service: str
    """jenkins, argocd, dockerhub, godaddy or kubernetes."""
    operation: str
    """The call, for example `create item`."""
    method: str
    """The HTTP method."""
    target: str
    """Host and path, without query."""
    thing: AuditedThing | None = None
    """The external thing; null for a call that makes and removes none, such as stopping an operation."""
    before: str | None = Field(default=None, pattern=_DIGEST)
    """Digest of what was observed before; null: it was not there."""
    after: str | None = Field(default=None, pattern=_DIGEST)
    """Digest of the value that is written, without secrets; null: it is removed."""
    outcome: AuditOutcome | None = None
    """In lines of phase `outcome`."""
    prev: str = Field(pattern=_HEX)
    """`hash` of the line before; 64 zeros in the first line of all."""
    hash: str = Field(pattern=_HEX)
    """SHA-256 over `prev` and this line without `hash`, as JSON with sorted keys and without spaces."""


def line_of(fields: dict[str, Any]) -> tuple[str, str]:
    """The line for these fields (with `prev`, without `hash`), without its line break, and its hash."""
    digest = hash_of(fields)
    return _json({**fields, "hash": digest}), digest


def hash_of(fields: dict[str, Any]) -> str:
    """What `hash` must be for these fields (any `hash` among them is left out)."""
    plain = {name: value for name, value in fields.items() if name != "hash"}
    return hashlib.sha256(f"{plain.get('prev', '')}\n{_json(plain)}".encode()).hexdigest()


def digest_of(value: Any) -> str:
    """The digest of a JSON value, as it stands in `before` and `after`."""
    return f"sha256:{hashlib.sha256(_json(value).encode()).hexdigest()}"


def schema() -> dict[str, Any]:
    """The JSON Schema of a line."""
    found = AuditRecord.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
