"""DeploymentRecord: one deployment of a project into one environment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Duration, Model, Opaque, ProjectRef, ResourceStatus, Rule, StatusModel, Timestamp
from .faults import Fault
from .model import known
from .text import RecordOrLastHealthy, Revision, ShortName

PRODUCTION = "production"
"""The one environment that does not expire."""

LAST_HEALTHY = "lastHealthy"
"""Value of `rollbackTo` that means the newest healthy record before the one that runs."""


class ConcurrencyPolicy(StrEnum):
    """What a new record does where one for the same project and environment is still at work."""

    QUEUE = "Queue"
    REPLACE = "Replace"
    FORBID = "Forbid"


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"


KnownState = Annotated[StepState, known(StepState, StepState.PENDING)]
"""Of a step that has a state of a newer version nothing is known: it is looked at again."""
KnownFault = Annotated[Fault | None, known(Fault, None)]
"""Where it is nobody's that we know, the next look finds out."""


def _fixed(field: str, required: bool) -> Rule:
    same = f"self.{field} == oldSelf.{field}"
    if not required:
        same = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    return Rule(same, f"{field} cannot be changed: a record is one deployment, create another one instead")


class DeploymentRecordSpec(Model):
    """What to deploy, and where."""

    rules = (
        _fixed("projectRef", required=True),
        _fixed("environment", required=True),
        _fixed("revision", required=False),
        _fixed("rollbackTo", required=False),
        Rule(
            f"self.environment != '{PRODUCTION}' || (!has(self.ttl) && !has(self.expiresAt))",
            f"{PRODUCTION} does not expire: leave ttl and expiresAt out, or name another environment",
        ),
        Rule(
            "!has(self.revision) || !has(self.rollbackTo)",
            "revision and rollbackTo exclude each other: a rollback deploys the commit of the record that it names",
        ),
    )

    project_ref: ProjectRef
    """The DevOpsProject, in the same namespace."""
    environment: ShortName = PRODUCTION
    """production, or a preview's name: a preview has its own application, namespace, host and record."""
    revision: Revision | None = None
    """Branch, tag or commit; default: the project's branch."""
    ttl: Duration | None = None
    """How long a preview lives after this deployment has finished; default: the project's previews.ttl."""
    expires_at: Timestamp | None = None
    """When a preview goes away, whatever ttl says."""
    rollback_to: RecordOrLastHealthy | None = None
    """Roll back instead of building: the name of a DeploymentRecord, or lastHealthy."""
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.QUEUE
    """While another record of the environment is at work: Queue waits, Replace supersedes it, Forbid fails."""
    cancel: bool = False
    """True stops the deployment."""
    trigger_event_id: str | None = Field(default=None, max_length=253)
    """event_id of the message that asked for the deployment."""
    requested_by: str | None = Field(default=None, max_length=253)
    """Who asked for the deployment."""


class StepStatus(StatusModel):
    """One step of the deployment."""

    name: str
    """Name of the step."""
    state: KnownState = StepState.PENDING
    """Where the step is."""
    attempts: int = 0
    """How often the step was tried."""
    started_at: Timestamp | None = None
    """When it began."""
    finished_at: Timestamp | None = None
    """When it ended."""
    external_id: str | None = None
    """What the service calls the thing."""
    url: str | None = None
    """Where the thing can be looked at."""
    reason: str | None = None
    """One word that says why the step is where it is."""
    message: str | None = None
    """A sentence for people."""
    fault: KnownFault = None
    """Whose failure it is, while it is one: User (somebody has to act), Vendor (tried again) or Operator (a bug)."""
    next_retry_at: Timestamp | None = None
    """When it is tried again."""


class BuildStatus(StatusModel):
    """The build in Jenkins."""

    number: int | None = None
    """Number of the build; absent while it is queued."""
    url: str | None = None
    """Address of the build."""


class HeartbeatStatus(StatusModel):
    """The outbox of heartbeats."""

    sequence: int = 0
    """Number of the last change that was announced."""
    outbox: list[Opaque] = Field(default_factory=list)
    """Heartbeats that the broker has not confirmed yet."""


class DeploymentRecordStatus(ResourceStatus):
    """How the deployment goes."""

    step: str | None = None
    """The step that is at work; for display, conditions count."""
    steps: list[StepStatus] = Field(default_factory=list)
    """All steps, in order."""
    fault: KnownFault = None
    """Whose failure holds the deployment up, or ended it."""
    commit: str | None = None
    """Full commit that is deployed."""
    image: str | None = None
    """Image that is deployed: repository@digest."""
    build: BuildStatus | None = None
    """The build in Jenkins."""
    application: str | None = None
    """The application in Argo CD."""
    url: str | None = None
    """Address of the environment."""
    percent: int | None = None
    """How much is done, 0 to 100."""
    eta_seconds: int | None = None
    """Expected seconds until the end."""
    started_at: Timestamp | None = None
    """When the deployment began."""
    held_until: Timestamp | None = None
    """When a pause of its own or its project, suspended or in mode Plan, last held it back: limits count from then."""
    stopping_since: Timestamp | None = None
    """When it began to be stopped, because it was cancelled or superseded."""
    finished_at: Timestamp | None = None
    """When it reached its result."""
    expires_at: Timestamp | None = None
    """When the preview goes away."""
    next_warning_at: Timestamp | None = None
    """When that is announced next."""
    heartbeat: HeartbeatStatus = HeartbeatStatus()
    """The outbox of heartbeats."""
