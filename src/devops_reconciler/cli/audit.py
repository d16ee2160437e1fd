"""The audit trail as the operator writes it, and as `devops-reconciler audit` looks at it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..api.errors import ValidationError
from ..runtime.audit import AuditTrail
from ..runtime.audit_file import AuditFile
from ..runtime.audit_record import schema
from ..runtime.audit_verify import AuditReport, verify
from ..runtime.clock import Clock
from ..runtime.secrets import Secrets
from ..runtime.settings import Settings


def open_trail(settings: Settings, secrets: Secrets, clock: Clock, replica: str) -> AuditTrail:
    """The trail of a process. Raises ValidationError where RECONCILER_AUDIT_FILE cannot be written to."""
    path = settings.reconciler_audit_file
    file = None if path is None else AuditFile(path)
    if file is not None:
        try:
            file.check()
        except OSError as error:
            raise ValidationError(
                f"RECONCILER_AUDIT_FILE: {path} cannot be written to ({error.strerror or error}); "
                "let it be a file in a directory that the operator's user may write to"
            ) from error
    return AuditTrail(clock, replica=replica, file=file, redact=secrets.hide_own)


def verified(files: Sequence[Path], *, since: str | None, head: str | None, as_json: bool) -> tuple[int, str]:
    """Exit code and report: 0 good, 1 something is missing or changed. Raises ValidationError for unreadable files."""
    try:
        report = verify(files, since=since, head=head)
    except OSError as error:
        raise ValidationError(f"{error.filename} cannot be read: {error.strerror}") from error
    return 0 if report.ok else 1, _json(report) if as_json else _text(report)


def schema_text() -> str:
    """The JSON Schema of a line, as it is committed under `docs/reference`."""
    return json.dumps(schema(), indent=2) + "\n"


def _json(report: AuditReport) -> str:
    return json.dumps(
        {
            "ok": report.ok,
            "lines": report.lines,
            "head": {"seq": report.head.seq, "hash": report.head.hash},
            "problems": report.problems,
            "notes": report.notes,
        }
    )


def _text(report: AuditReport) -> str:
    word = "good" if report.ok else f"{len(report.problems)} problem{'' if len(report.problems) == 1 else 's'}"
    lines = [f"{report.lines} lines, the last is {report.head.seq} with hash {report.head.hash}: {word}"]
    lines += [f"problem: {problem}" for problem in report.problems]
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])
