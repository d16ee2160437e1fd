"""The line of the audit trail before a request that changes something, and the one after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from ..api.errors import ExternalServiceError
from ..runtime.audit import AuditTrail, PendingChange
from ..runtime.audit_record import Result


@dataclass(frozen=True)
class Audit:
    """Where changes at a service are recorded. `ours` are paths of changes that are none outside (our own objects)."""

    trail: AuditTrail
    ours: Callable[[str], bool] = lambda path: False

    def begin(self, service: str, operation: str, method: str, target: str) -> Recording:
        """Write the intent. Raises ExternalServiceError where it cannot be written: then nothing may be sent."""
        try:
            return Recording(self.trail.begin(service, operation, method, target))
        except OSError as error:
            raise ExternalServiceError(
                f"{service}: {operation}: not sent, because the audit trail cannot be written: {error}; "
                "free or mount the place of RECONCILER_AUDIT_FILE",
                service="audit",
                maybe_applied=False,
            ) from error


class Recording:
    """One request in the trail; without a pending change, none. Its end is written once."""

    def __init__(self, pending: PendingChange | None = None) -> None:
        self._pending = pending

    def answered(self, status: int) -> None:
        """The service answered with this status; 404 changed nothing, whatever it means to the caller."""
        unclear = status >= 500 or status in (408, 425)
        result = Result.APPLIED if status < 400 else Result.UNKNOWN if unclear else Result.REFUSED
        self._end(result, str(status))

    def lost(self, error: BaseException) -> None:
        """There was no answer."""
        unsent = isinstance(error, aiohttp.ClientConnectorError)
        self._end(Result.NOT_SENT if unsent else Result.UNKNOWN, type(error).__name__)

    def unsent(self, error: BaseException) -> None:
        """It was not sent after all. Nothing happens where the end is known already."""
        reason = getattr(error, "reason", None)
        self._end(Result.NOT_SENT, str(reason) if reason is not None else type(error).__name__)

    def _end(self, result: Result, code: str) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.end(result, code)
