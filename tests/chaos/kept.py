"""What was survived so far, in a file: a run that was interrupted goes on where it was, on the same commit."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path


class Kept:
    """Points by their lines. Without a file nothing outlives the process."""

    def __init__(self, file: Path | None, commit: str) -> None:
        """Raises ValueError when the file is about another commit."""
        self._file = file
        self._known: dict[str, bool] = {}
        self._before, self._started = 0.0, time.monotonic()
        self.runs = 1
        """This one included."""
        if file is not None and file.exists():
            self._read(file, commit)
        if file is not None:
            begin = {"commit": commit} if self.runs == 1 else {"run": self.runs}
            with file.open("a") as open_file:
                open_file.write(json.dumps(begin) + "\n")

    def _read(self, file: Path, commit: str) -> None:
        first, *lines = map(json.loads, file.read_text().splitlines())
        if first["commit"] != commit:
            raise ValueError(f"{file} is about commit {first['commit']}, and this is {commit}; give another file")
        self.runs = 2 + sum("run" in line for line in lines)
        for line in (line for line in lines if "point" in line):
            self._known[line["point"]] = line["reached"]
            self._before = line["after"]

    @property
    def spent(self) -> timedelta:
        """In all runs together."""
        return timedelta(seconds=self._before + time.monotonic() - self._started)

    def reached(self, point: str) -> bool | None:
        """Whether its run came to this point, which was survived; None: it has not been tried, or was lost."""
        return self._known.get(point)

    def add(self, point: str, *, reached: bool) -> None:
        """It was survived, or its run never came to it."""
        self._known[point] = reached
        if self._file is not None:
            line = {"point": point, "reached": reached, "after": round(self.spent.total_seconds())}
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")
