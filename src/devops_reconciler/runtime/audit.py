"""The audit trail: a line before and a line after each request that changes something outside.

Where no file is set the lines go to the log alone. Their chain then begins anew with each start.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from .audit_context import current
from .audit_file import AuditFile, Head
from .audit_record import AuditOutcome, Phase, Result, line_of
from .clock import Clock
from .logs import AUDIT, get_logger

_log = get_logger(AUDIT)


class PendingChange:
    """A request whose intent is written, and whose outcome is not."""

    def __init__(self, trail: AuditTrail, fields: dict[str, Any]) -> None:
        self._trail = trail
        self._fields = fields

    def end(self, result: Result, code: str) -> None:
        """Write what came of it. Never raises: the change has happened, and the log has the line all the same."""
        outcome = AuditOutcome(result=result, code=code).model_dump(mode="json")
        self._trail.outcome({**self._fields, "outcome": outcome})


class AuditTrail:
    """Writes the lines. `redact` hides secrets in texts that others choose (names, paths, who asked)."""

    def __init__(
        self, clock: Clock, *, replica: str, file: AuditFile | None = None, redact: Callable[[str], str] = str
    ) -> None:
        self._clock = clock
        self._replica = replica
        self._file = file
        self._redact = redact
        self._head = Head()
        self._lost = ""

    def begin(self, service: str, operation: str, method: str, target: str) -> PendingChange:
        """Write the intent. Raises OSError where that cannot be done: then nothing must be sent."""
        cause, change = current()
        fields: dict[str, Any] = {
            "v": 1,
            "replica": self._replica,
            "change": secrets.token_hex(8),
            "asked_by": self._redact(cause.asked_by),
            "object": None if cause.object is None else cause.object.model_dump(mode="json"),
            "service": service,
            "operation": self._redact(operation),
            "method": method,
            "target": self._redact(target),
            "thing": None,
            "before": None,
            "after": None,
            "outcome": None,
        }
        if change is not None:
            thing = change.thing.model_dump(mode="json")
            fields["thing"] = {**thing, "key": self._redact(thing["key"])}
            fields["before"], fields["after"] = change.before, change.after
        self._write(fields, Phase.INTENT)
        return PendingChange(self, fields)

    def outcome(self, fields: dict[str, Any]) -> None:
        """Write the line after the request. A line that cannot be written shows in the log and in `check`."""
        try:
            self._write(fields, Phase.OUTCOME)
        except OSError as error:
            self._lost = f"the outcome of change {fields['change']} could not be written: {error}"
            _log.error("An outcome is missing in the audit file", error=str(error), **_shown(fields))

    async def check(self) -> str:
        """The health check `audit_trail`. Raises OSError where the file cannot be written to."""
        if self._file is None:
            return "lines go to the log alone; set RECONCILER_AUDIT_FILE to keep them"
        self._file.check()
        return f"writes to {self._file.path}" + (f"; {self._lost}" if self._lost else "")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, fields: dict[str, Any], phase: Phase) -> None:
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {**fields, "at": at, "phase": phase.value}
        whole = self._chained(fields) if self._file is None else self._file.append(fields)
        _log.info("an external change" if phase is Phase.OUTCOME else "an external change begins", **_shown(whole))

    def _chained(self, fields: dict[str, Any]) -> dict[str, Any]:
        whole = {**fields, "seq": self._head.seq + 1, "prev": self._head.hash}
        _, digest = line_of(whole)
        self._head = Head(whole["seq"], digest)
        return {**whole, "hash": digest}


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """The line as fields of a log line."""
    return {name: value for name, value in fields.items() if value is not None}
