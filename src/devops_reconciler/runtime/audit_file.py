"""The file of the audit trail: appended line by line, each chained to the one before, the last one kept beside it.

Beside `<file>` stands `<file>.head` with number and hash of the last line, written over after each append. It tells a
file that was cut off from one that ends there, and lets the chain go on after a restart, a rotation or a loss of the
file: what was lost stays visible as a gap.

Each append takes a lock and looks whether another process has written (a second replica on the same volume), so there
is one chain per file, whoever writes.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audit_record import GENESIS, hash_of, line_of
from .logs import get_logger

_BLOCK = 64 * 1024
_HEAD_WIDTH = 127
"""Characters of a head, of which the number of the line takes up to 20: each one covers the one before."""
_log = get_logger(__name__)


@dataclass(frozen=True)
class Head:
    """The last line of a chain: its number and its hash. Number 0: nothing is written yet."""

    seq: int = 0
    hash: str = GENESIS


class AuditFile:
    """One chain. Every method raises OSError where the file, or its head, cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = head_path(path)
        self._file: int | None = None
        self._size = -1
        self._head = Head()

    def append(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Add a line with these fields, number, `prev` and `hash`; the fields of the whole line.

        It is with the operating system when this returns: a killed process loses nothing, a machine without power may
        lose the last lines.
        """
        file = self._opened()
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            self._follow(file)
            whole = {**fields, "seq": self._head.seq + 1, "prev": self._head.hash}
            line, digest = line_of(whole)
            data = f"{line}\n".encode()
            self._size = -1  # until all of it is written: what a failure leaves is found at the next append
            _write(file, data)
            self._size = os.fstat(file).st_size
            self._head = Head(whole["seq"], digest)
            self._keep_head()
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
        return {**whole, "hash": digest}

    def check(self) -> None:
        """Prove that it can be appended to. Writes nothing."""
        self._opened()
        if not os.access(self.path.parent, os.W_OK):
            raise PermissionError(f"{self.path.parent} cannot be written to")

    def check_place(self) -> None:
        """Whether it could be appended to, without making it."""
        target = self.path if self.path.exists() else self.path.parent
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{target} cannot be written to")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        """The file; a new one where it was moved away (rotation)."""
        if self._file is not None and not _is_at(self._file, self.path):
            self.close()
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = -1
        return self._file

    def _follow(self, file: int) -> None:
        """Take the chain up where it ends now, if anybody but us has written or cut it."""
        size = os.fstat(file).st_size
        if size == self._size:
            return
        end = end_of_lines(file, size)
        if end < size:
            _log.warning("The audit file ended in half a line, which was never acted on", path=str(self.path))
            os.ftruncate(file, end)
        last, kept = _last_line(file, end), read_head(self.head_path)
        if last is not None and (kept is None or last.seq >= kept.seq):
            self._head = last
        else:
            if kept is not None or end > 0:
                _log.error("The audit file does not go on from its head: lines are missing", path=str(self.path))
            self._head = kept or Head()

    def _keep_head(self) -> None:
        """In place: one write of less than a sector is there whole or not at all, and a full disk has room for it.

        A new file under its name would be brought to the disk at once by some file systems, for milliseconds.
        """
        text = json.dumps({"seq": self._head.seq, "hash": self._head.hash})
        data = f"{text:<{_HEAD_WIDTH}}\n".encode("ascii")
        file = os.open(self.head_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, data, 0)
            if os.fstat(file).st_size > len(data):  # it was harmed
                os.ftruncate(file, len(data))
        finally:
            os.close(file)


def head_path(path: Path) -> Path:
    """Where the head of the chain in this file is kept."""
    return path.with_name(path.name + ".head")


def read_head(path: Path) -> Head | None:
    """The head as kept, or None where there is none that can be understood."""
    try:
        value = json.loads(path.read_text(encoding="ascii"))
        return Head(int(value["seq"]), str(value["hash"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        _log.error("The head of the audit file cannot be understood", path=str(path))
        return None


def end_of_lines(file: int, size: int) -> int:
    """Where the last line break is: what stands after it is half a line."""
    position = size
    while position > 0:
        start = max(0, position - _BLOCK)
        found = os.pread(file, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _is_at(file: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(file)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _write(file: int, data: bytes) -> None:
    """All of it: a full disk takes a part and then fails."""
    while data:
        data = data[os.write(file, data) :]


def _last_line(file: int, end: int) -> Head | None:
    """The last whole line as the head of its chain; None where it is none of ours, or was changed."""
    start = end_of_lines(file, max(0, end - 1))
    try:
        value = json.loads(os.pread(file, end - start, start))
        seq, digest = int(value["seq"]), str(value["hash"])
    except (ValueError, KeyError, TypeError):
        return None
    return Head(seq, digest) if digest == hash_of(value) else None
