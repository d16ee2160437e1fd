"""What the API server's refusals mean. Its own words are kept whole: they are what a user must read.

On top of the status table of `Http`, three answers with status 403 are no matter of permission (a namespace that is
being deleted, a quota, an admission webhook), 410 is a stale place in a list or watch, a 404 without an object in it
says that the server does not know the kind, and 500 may mean that an applied object has an unknown field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from ..api.conditions import Reason
from ..api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    Refused,
    ValidationError,
    Waiting,
)
from ..api.plain_text import one_line
from .http import Response, details_of
from .kubernetes_kinds import Kind

SERVICE = "kubernetes"
TEXT_LIMIT = 4000
"""Longest message of the API server that is kept, in characters."""
TERMINATING_RETRY = timedelta(seconds=5)
INSTALL_CRDS = "install the CRDs (devops-reconciler crds | kubectl apply -f -)"


def refusal(error: Refused, what: str) -> ReconcilerError:
    """The error of `Http`, with the server's whole text and the object's name. `what` is "create Secret shop/git"."""
    status, said = error.status or 0, _message(error.details)
    text = f"Kubernetes: {what}: {status} {said}" if said else error.message
    lowered = said.lower()
    if status == 403 and ("being terminated" in lowered or _has_cause(error.details, "NamespaceTerminating")):
        return Waiting(text, after=TERMINATING_RETRY, reason=Reason.DEPENDENCY_NOT_READY)
    if status == 403 and "exceeded quota" in lowered:
        return _made(ValidationError, text, error, Reason.QUOTA_EXCEEDED)
    if status == 403 and lowered.startswith("admission webhook"):
        return _made(ValidationError, text, error, Reason.INVALID_SPEC)
    if status == 410:
        return expired(text, error.details)
    return _made(type(error), text, error, error.reason)


def expired(text: str, details: Mapping[str, object]) -> ConflictError:
    """A continue token or a resourceVersion that the server no longer has: list again."""
    return ConflictError(text, status=410, code=410, details=details)


def unknown_kind(response: Response, kind: Kind) -> ExternalServiceError | None:
    """The error for a 404 that says nothing about an object: the kind itself is not served."""
    details = details_of(response)
    named = details.get("details")
    if details.get("kind") == "Status" and isinstance(named, dict) and named.get("name"):
        return None
    hint = INSTALL_CRDS if "." in kind.group else "check the server"
    return ExternalServiceError(
        f"Kubernetes: the API server does not know {kind.plural} in {kind.api_version}; {hint}",
        service=SERVICE,
        reason=Reason.DEPENDENCY_NOT_READY,
        maybe_applied=False,
    )


def broken_apply(response: Response, what: str) -> ValidationError | None:
    """The error for an applied object with unknown fields: the server says 500 for it (seen with 1.36), not 4xx."""
    details = details_of(response)
    said = _message(details)
    if "failed to create typed patch object" not in said:
        return None
    return ValidationError(f"Kubernetes: {what}: {said}", status=500, code=500, details=details)


def watch_failure(status: Mapping[str, object], what: str) -> ReconcilerError:
    """The error for an event of type ERROR in a watch, whose object is a `Status`."""
    code = status.get("code")
    text = f"Kubernetes: {what}: {code} {_message(status)}"
    if code == 410:
        return expired(text, status)
    if code == 403:
        return CredentialsError(text, reason=Reason.PERMISSION_DENIED, status=403, code=403, details=status)
    return ExternalServiceError(text, service=SERVICE)


def already_exists(error: ConflictError) -> bool:
    """Whether a create met an object of that name (and not a failed precondition)."""
    return error.details.get("reason") == "AlreadyExists"


def _made(kind: type[Refused], text: str, error: Refused, reason: Reason) -> Refused:
    return kind(text, reason=reason, status=error.status, code=error.code, details=error.details)


def _message(details: Mapping[str, object]) -> str:
    message = details.get("message") if details.get("kind") == "Status" else None
    return one_line(message)[:TEXT_LIMIT] if isinstance(message, str) else ""


def _has_cause(details: Mapping[str, object], reason: str) -> bool:
    inner = details.get("details")
    causes = inner.get("causes") if isinstance(inner, dict) else None
    return isinstance(causes, list) and any(isinstance(one, dict) and one.get("reason") == reason for one in causes)
