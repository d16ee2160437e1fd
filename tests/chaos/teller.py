"""What is said while `make chaos` runs."""

from __future__ import annotations

import time
from pathlib import Path

from testbed.stage import say

from .engine import Checked
from .stories import Told
from .sweep import Outcome
from .teeth import Noticed


class Teller:
    """Says what came of each point, and keeps the logs of what was lost."""

    def __init__(self, logs: Path | None) -> None:
        self._started = time.monotonic()
        self._logs = logs
        self._number = 0

    def outcome(self, outcome: Outcome) -> None:
        """Of a plan."""
        word = "ok  " if outcome.survived else "LOST" if outcome.reached else "n/a "
        self._say(f"{word} {outcome.seconds:5.1f} s  {outcome.plan}", outcome.faults, outcome.log)

    def told(self, told: Told) -> None:
        """Of a trial."""
        word = "ok  " if told.survived else "LOST"
        self._say(f"{word} {told.trial}", told.faults, told.log)

    def noticed(self, noticed: Noticed) -> None:
        """Of a trial without its mechanism."""
        word = "ok  " if noticed.survived else "LOST"
        self._say(f"{word} {noticed.removal}", noticed.faults, "")

    def checked(self, checked: Checked) -> None:
        """Of the engine by itself."""
        word = "ok  " if checked.survived else "LOST"
        self._say(f"{word} {checked}", list(checked.faults), "")

    def _say(self, line: str, faults: list[str], log: str) -> None:
        say(f"{time.monotonic() - self._started:7.1f} {line}")
        for fault in faults:
            say(f"            {fault[:2000]}")
        if log and self._logs is not None:
            self._number += 1
            self._logs.mkdir(parents=True, exist_ok=True)
            (self._logs / f"lost-{self._number}.log").write_text("\n".join([line, *faults, log]))
