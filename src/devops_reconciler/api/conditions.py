"""Conditions and the one enumeration of reasons.

A reason is at once a condition reason, an event reason, a metric label and a heading of the runbook. Reasons are API:
they may be added, never renamed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Reason(StrEnum):
    """Why a condition has the status it has."""

    SUCCEEDED = "Succeeded"
    PROGRESSING = "Progressing"
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry"
    PAUSED = "Paused"
    PLANNED = "Planned"
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"
    EXPIRES_SOON = "ExpiresSoon"
    EXPIRED = "Expired"
    CLEANUP_VERIFIED = "CleanupVerified"
    CLEANUP_FAILED = "CleanupFailed"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    PROJECT_NOT_FOUND = "ProjectNotFound"
    INVALID_SPEC = "InvalidSpec"
    INVALID_MESSAGE = "InvalidMessage"
    TRIGGER_TOO_OLD = "TriggerTooOld"
    CREDENTIALS_INVALID = "CredentialsInvalid"
    PERMISSION_DENIED = "PermissionDenied"
    SECRET_NOT_FOUND = "SecretNotFound"
    OWNERSHIP_CONFLICT = "OwnershipConflict"
    CONCURRENCY_FORBIDDEN = "ConcurrencyForbidden"
    QUOTA_EXCEEDED = "QuotaExceeded"
    RATE_LIMITED = "RateLimited"
    BREAKER_OPEN = "BreakerOpen"
    EXTERNAL_SERVICE_ERROR = "ExternalServiceError"
    CREATE_RESULT_UNKNOWN = "CreateResultUnknown"
    REVISION_NOT_FOUND = "RevisionNotFound"
    REPOSITORY_UNREADABLE = "RepositoryUnreadable"
    BUILD_FAILED = "BuildFailed"
    BUILD_TIMEOUT = "BuildTimeout"
    IMAGE_NOT_FOUND = "ImageNotFound"
    IMAGE_NOT_USED = "ImageNotUsed"
    SYNC_FAILED = "SyncFailed"
    HEALTH_TIMEOUT = "HealthTimeout"
    NOT_REACHABLE = "NotReachable"
    DRIFTED = "Drifted"
    DELETION_BLOCKED = "DeletionBlocked"
    FORCE_DELETED = "ForceDeleted"
    INTERNAL_ERROR = "InternalError"


MESSAGE_LIMIT = 1024
"""Longest message of a condition, in characters: longer ones grow status and help nobody."""


class Condition(BaseModel):
    """One `metav1.Condition`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    type: str = Field(description="What the condition is about, for example Ready.", max_length=64)
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(description="One word that says why; each has a heading in the runbook.", max_length=64)
    message: str = Field(default="", description="A sentence for people.", max_length=MESSAGE_LIMIT)
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int | None = Field(default=None, description="Generation of the spec that this is about.")
