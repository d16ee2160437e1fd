"""One line of `watch --json`: its fields, how it is read from a DeploymentRecord, and its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..api.deployment_record import PRODUCTION
from ..api.messages import Result


class WatchLine(BaseModel):
    """One line of `devops-reconciler watch --json`: a deployment as it is after a change of what is shown of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    deployment: str
    """Name of the DeploymentRecord."""
    project: str
    """Name of its DevOpsProject."""
    environment: str
    """production, or a preview's name."""
    step: str | None
    """The step that is at work; null before the first one and after the last one."""
    percent: int = Field(ge=0, le=100)
    """How much is done."""
    eta_seconds: int | None
    """Expected seconds until the end; null where nothing is expected."""
    message: str
    """A sentence for people: the message of the condition Ready."""
    url: str | None
    """Address of the environment; null until there is one."""
    terminal: bool
    """Whether the deployment has ended; more lines of it may come while others are at work."""
    result: Result | None
    """How the deployment ended; null while it is at work."""
    reason: str | None
    """The reason of the condition Ready, or at the end that of Finished; null before the first condition."""


def line_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a record; also the line of `--json`."""
    status = item.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    finished = conditions.get("Finished", {})
    ready = conditions.get("Ready", {})
    done = finished.get("status") == "True"
    reason = finished.get("reason") if done else ready.get("reason")
    result = None
    if done:
        # The reason of a failure is that of its step, of which there are many.
        result = Result(reason) if reason in tuple(Result) else Result.FAILED
    line = WatchLine(
        deployment=item["metadata"]["name"],
        project=item["spec"]["projectRef"]["name"],
        environment=item["spec"].get("environment", PRODUCTION),
        step=status.get("step"),
        percent=status.get("percent", 0),
        eta_seconds=status.get("etaSeconds"),
        message=ready.get("message", ""),
        url=status.get("url"),
        terminal=done,
        result=result,
        reason=reason,
    )
    return line.model_dump(mode="json")


def line_of_deleted(name: str, last: Mapping[str, Any]) -> dict[str, Any]:
    """The last line of a record that was deleted before it had ended; `last` is the one before."""
    if last["terminal"]:
        return dict(last)
    end = {"terminal": True, "result": Result.FAILED, "message": f"{name} was deleted"}
    return WatchLine(**{**last, **end}).model_dump(mode="json")


def schema_text() -> str:
    """The JSON Schema of a line, as it is committed under `docs/reference`."""
    schema = WatchLine.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
