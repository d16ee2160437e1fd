"""Finds what is missing or changed in files of the audit trail."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from .audit_file import Head, end_of_lines, head_path, read_head
from .audit_record import GENESIS, AuditRecord, Phase, hash_of

_MANY = 20


@dataclass
class AuditReport:
    """What was found. Good when `problems` is empty; `notes` are for people to know."""

    lines: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    head: Head = field(default_factory=Head)
    """The last line that was read."""

    @property
    def ok(self) -> bool:
        return not self.problems


class _Walk:
    """Goes along the lines of one chain, perhaps in several files."""

    def __init__(self, since: str | None) -> None:
        self.report = AuditReport()
        self._since = since
        self._open: dict[str, str] = {}
        self._hashes: dict[int, str] = {}

    def take(self, where: str, text: str) -> None:
        """The next line."""
        self.report.lines += 1
        try:
            value = json.loads(text)
            record = AuditRecord.model_validate(value)
        except (ValueError, ValidationError) as error:
            self._wrong(f"{where} is no line of the audit trail ({_short(error)})")
            return
        if hash_of(value) != record.hash:
            self._wrong(f"{where} (line {record.seq} of the trail) was changed: its hash does not fit")
        self._follows(where, record)
        self._pair(where, record)
        self._hashes[record.seq] = record.hash
        self.report.head = Head(record.seq, record.hash)

    def _follows(self, where: str, record: AuditRecord) -> None:
        before = self.report.head
        if before.seq == 0:
            if self._since is None and (record.seq, record.prev) != (1, GENESIS):
                self._wrong(f"{where} is line {record.seq} of the trail: the {record.seq - 1} before it are missing")
            elif self._since is not None and record.prev != self._since:
                self._wrong(f"{where} does not follow the line with hash {self._since}")
        elif record.seq > before.seq + 1:
            self._wrong(f"before {where} lines {before.seq + 1} to {record.seq - 1} of the trail are missing")
        elif record.seq <= before.seq:
            self._wrong(
                f"{where} is line {record.seq} of the trail, after line {before.seq}: lines were put in or moved"
            )
        elif record.prev != before.hash:
            self._wrong(f"{where} does not follow the line before it: one of them was changed")

    def _pair(self, where: str, record: AuditRecord) -> None:
        if record.phase is Phase.INTENT:
            what = f"{record.service}: {record.operation} ({record.method} {record.target})"
            self._open[record.change] = f"{where}: {what} at {record.at}: what came of it is not known"
        else:
            self._open.pop(record.change, None)

    def end(self, kept: Head | None, name: str) -> AuditReport:
        """The report, after the last line was compared with the head that was kept."""
        last = self.report.head
        if kept is None:
            self.report.notes.append(f"there is no {name}: whether lines are missing at the end cannot be told")
        elif kept.seq > last.seq:
            self._wrong(f"lines {last.seq + 1} to {kept.seq} of the trail are missing at the end, by {name}")
        elif kept.seq and kept.seq in self._hashes and self._hashes[kept.seq] != kept.hash:
            self._wrong(f"line {kept.seq} of the trail is not the one that {name} has")
        self.report.notes += [*self._open.values()][:_MANY]
        return self.report

    def end_at(self, head: str) -> AuditReport:
        """The report, where the hash of the last line is known."""
        if head not in self._hashes.values():
            self._wrong(f"the line with hash {head} is missing")
        return self.end(self.report.head, "the hash that was given")

    def _wrong(self, text: str) -> None:
        self.report.problems.append(text)


def verify(files: Iterable[Path], *, since: str | None = None, head: str | None = None) -> AuditReport:
    """Check files of one trail, the oldest first. Raises OSError for a file that cannot be read.

    `since` is the hash of the line before the first one, where older files are kept elsewhere. `head` is the hash of
    the last line as it stands somewhere else (the log, say); without it the file beside the last one is asked.
    """
    walk, paths = _Walk(since), list(files)
    beside = head_path(paths[-1])
    with ExitStack() as stack:
        opened = [stack.enter_context(path.open("rb")) for path in paths]
        ends, kept = _moment(opened, beside)
        for path, file, end in zip(paths, opened, ends, strict=True):
            for number, text in enumerate(_lines(file, end), start=1):
                walk.take(f"{path}:{number}", text)
    return walk.end_at(head) if head is not None else walk.end(kept, str(beside))


@dataclass(frozen=True)
class _End:
    """Where the lines of a file ended, and what stood after the last line break: half a line, or nothing."""

    lines: int
    rest: bytes


def _moment(files: Iterable[BinaryIO], beside: Path) -> tuple[list[_End], Head | None]:
    """The ends of all files and the head, of one moment at which nobody appends.

    The lock is held for that moment alone: the operator waits for it, and does nothing else meanwhile. Lines are never
    changed after it. Half a line is: who appends next takes it out, so it is read now.
    """
    with ExitStack() as locks:
        ends = []
        for file in files:
            fcntl.flock(file, fcntl.LOCK_SH)
            locks.callback(fcntl.flock, file, fcntl.LOCK_UN)
            size = os.fstat(file.fileno()).st_size
            lines = end_of_lines(file.fileno(), size)
            ends.append(_End(lines, os.pread(file.fileno(), size - lines, lines)))
        return ends, read_head(beside)


def _lines(file: BinaryIO, end: _End) -> Iterator[str]:
    left = end.lines
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line.decode("utf-8", errors="replace")
    if end.rest:
        yield end.rest.decode("utf-8", errors="replace")


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        wrong: Any = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    return str(error)[:120]
