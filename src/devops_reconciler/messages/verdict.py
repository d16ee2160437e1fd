"""What becomes of a delivery whose custom resource could not be written: the one table from error to verdict.

| error | verdict |
|---|---|
| ExternalServiceError: the API server is away, ill or busy | Hold |
| a dead letter that the broker does not take, whatever the error | Hold, until it does; others go on |
| CredentialsError 401: our own login at the API server | Hold |
| Waiting: the namespace, or the project, is being deleted | Wait, at most `PROJECT_WAIT_TIMEOUT`; then dead letter |
| ConflictError: somebody else is writing the same object | Wait, likewise |
| what would be held, while messages of other projects are written (`holding`) | Wait, likewise, while they are |
| any other Refused: malformed, unknown type, bad spec, not allowed | DeadLetter, at once |
| anything else: our own mistake | Wait, 5 attempts; then dead letter with InternalError |
"""

from __future__ import annotations

from enum import Enum

from ..api.conditions import Reason
from ..api.errors import ConflictError, CredentialsError, ExternalServiceError, ReconcilerError, Refused, Waiting

UNFORESEEN_ATTEMPTS = 5
"""How often a message is tried that makes the operator itself fail."""


class Verdict(Enum):
    """What to do with a delivery."""

    HOLD = "hold"
    """Nothing can be written: hardly consume any more, try again until it works."""
    WAIT = "wait"
    """This one message cannot be written now: try again, while others go on."""
    DEAD_LETTER = "dead-letter"
    """Repeating changes nothing: to the dead-letter queue."""


def verdict(error: BaseException) -> Verdict:
    """The row of the table for this error."""
    if isinstance(error, ExternalServiceError):
        return Verdict.HOLD
    if isinstance(error, CredentialsError) and error.status == 401:
        return Verdict.HOLD
    if isinstance(error, Waiting | ConflictError):
        return Verdict.WAIT
    return Verdict.DEAD_LETTER if isinstance(error, Refused) else Verdict.WAIT


def reason_and_text(error: BaseException) -> tuple[Reason, str]:
    """`x-reason` and `x-error` of the dead letter. Of an unforeseen error only the type: its text may be anything."""
    if isinstance(error, ReconcilerError):
        return error.reason, error.message
    return Reason.INTERNAL_ERROR, f"the operator failed on this message ({type(error).__name__}); its log says more"
