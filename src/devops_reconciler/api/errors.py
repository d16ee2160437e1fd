"""What can go wrong, once for the whole product.

```
ReconcilerError
├── Waiting(after)               normal: something is under way, look again after this time
│   └── Fenced                   another replica may act now: nothing is changed, nothing is saved
├── ExternalServiceError(after)  time-out, 5xx, 429, open breaker: tried again by itself
└── Refused                      somebody must act; looked at again slowly, or when spec or secret change
    ├── ValidationError          the spec, or the service answered 400 or 422
    │   └── SecretNotFoundError  a Secret that the spec names is missing, unlabelled or lacks a key
    ├── CredentialsError         401, 403
    ├── ConflictError            the thing is there and is not ours
    └── FailedError              the build failed, the sync failed, the image is missing
```
Anything else is a fault of our own: traceback, `InternalError`, tried again after `RETRY_UNEXPECTED_DELAY`.
The messages are for people and never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from .conditions import Reason
from .faults import Fault


class ReconcilerError(Exception):
    """Base of all errors that the product raises on purpose."""

    reason: Reason = Reason.INTERNAL_ERROR
    fault: Fault | None = None
    """Whose it is; None where nothing has failed."""

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.unhidden = message
        """The same with the secrets that were taken out of it: to look for a service's words in, never to be shown."""
        if reason is not None:
            self.reason = reason


class Waiting(ReconcilerError):
    """Not there yet, and that is normal. `after` says when to look again."""

    reason = Reason.PROGRESSING

    def __init__(self, message: str, *, after: timedelta, reason: Reason | None = None) -> None:
        super().__init__(message, reason=reason)
        self.after = after


class Fenced(Waiting):
    """This replica does not hold the Lease (any more): the change was not sent. Whoever holds it goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, after=timedelta(seconds=1))


class ExternalServiceError(ReconcilerError):
    """An external service is ill, slow or busy.

    `service` is its breaker's name. `status` is the HTTP status, None where no answer came.
    `after` is what the service asked us to wait, or None for the default.
    `maybe_applied` says whether the request may have had its effect all the same (time-out, reset after sending, 5xx).
    """

    reason = Reason.EXTERNAL_SERVICE_ERROR
    fault = Fault.VENDOR

    def __init__(
        self,
        message: str,
        *,
        service: str,
        after: timedelta | None = None,
        reason: Reason | None = None,
        status: int | None = None,
        maybe_applied: bool = True,
    ) -> None:
        super().__init__(message, reason=reason)
        self.service = service
        self.status = status
        self.after = after
        self.maybe_applied = maybe_applied


class Refused(ReconcilerError):
    """Repeating changes nothing: a person, or another resource, has to change something first.

    `status` is the HTTP status and `code` the service's own code where there is one. `details` are the service's
    parsed error fields, for callers that branch on them.
    """

    reason = Reason.INVALID_SPEC
    fault = Fault.USER

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        status: int | None = None,
        code: str | int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.status = status
        self.code = code
        self.details = dict(details or {})


class ValidationError(Refused):
    """The spec is wrong, or the service said so (400, 422)."""

    reason = Reason.INVALID_SPEC


class SecretNotFoundError(ValidationError):
    """A Secret that the spec names is missing, not labelled for use here, of another type, or lacks a key."""

    reason = Reason.SECRET_NOT_FOUND


class CredentialsError(Refused):
    """The service does not accept our credentials (401) or they may not do this (403)."""

    reason = Reason.CREDENTIALS_INVALID


class ConflictError(Refused):
    """Something with our name is there and is not ours, or a precondition failed (409)."""

    reason = Reason.OWNERSHIP_CONFLICT


class FailedError(Refused):
    """The work itself failed: a build, a sync, an image that is not there."""

    reason = Reason.BUILD_FAILED

    def __init__(self, message: str, *, reason: Reason | None = None, fault: Fault = Fault.USER) -> None:
        super().__init__(message, reason=reason)
        self.fault = fault


def fault_of(error: Exception | None) -> Fault | None:
    """Whose this failure is; None for no error, and for a wait."""
    if error is None or isinstance(error, ReconcilerError):
        return error.fault if error is not None else None
    return Fault.OPERATOR
