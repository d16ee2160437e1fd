"""How `watch` shows deployments: a bar for each, or a line of JSON for each change."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from ..api.plain_text import plain
from ..runtime.logs import Redactor
from .hiding import hidden

LABEL_WIDTH = 34
"""Characters at most of a deployment's name beside its bar."""
BAR_WIDTH = 12
REST_WIDTH = 45
"""Characters that the rest of a line needs: the bar, the percentage, the time, and the beginning of the words."""


class View:
    """Shows deployments; what is secret is hidden in it, and nothing of it does anything to a terminal."""

    def __init__(self, hide: Redactor) -> None:
        self._hide = hide

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        """Show how a deployment (a line of `watch_line`) is now. Gives the line."""
        raise NotImplementedError

    def tell(self, text: str) -> None:
        """Something beside the deployments, on stderr."""
        sys.stderr.write(f"{self._plain(text)}\n")
        sys.stderr.flush()

    def _plain(self, text: str) -> str:
        return plain(self._hide(text))


class JsonView(View):
    """A line on stdout for each change of what is shown."""

    def __init__(self, hide: Redactor) -> None:
        super().__init__(hide)
        self._last: dict[str, dict[str, Any]] = {}

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        if self._last.get(line["deployment"]) != line:
            self._last[line["deployment"]] = line
            sys.stdout.write(json.dumps(hidden(line, self._hide)) + "\n")
            sys.stdout.flush()
        return line


class BarView(View):
    """A bar for each deployment, and a plain line for each that has ended, with all that is said of its end.

    However narrow the terminal is, only the words beside a bar become fewer, never the bar and the percentage.
    """

    def __init__(self, hide: Redactor, console: Console | None = None) -> None:
        super().__init__(hide)
        console = console or Console()
        names = max(1, min(LABEL_WIDTH, console.width - REST_WIDTH))
        self._progress = Progress(
            TextColumn("{task.fields[name]}", markup=False, table_column=_one_line(max_width=names)),
            BarColumn(BAR_WIDTH, table_column=_one_line(width=BAR_WIDTH)),
            TaskProgressColumn(table_column=_one_line(width=4)),
            TimeElapsedColumn(table_column=_one_line(width=7)),
            # What services say may have brackets.
            TextColumn("{task.description}", markup=False, table_column=_one_line(ratio=1)),
            console=console,
            expand=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._ended: dict[str, str] = {}

    def __enter__(self) -> View:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        name = line["deployment"]
        label = self._plain(f"{line['project']}/{line['environment']} {name}")
        if name not in self._bars:
            self._bars[name] = self._progress.add_task("", total=100, name=label)
        text = str(line["result"]) if line["terminal"] else _words(line)
        self._progress.update(self._bars[name], completed=line["percent"] or 0, description=self._plain(text))
        if line["terminal"]:
            self._progress.stop_task(self._bars[name])
            self._tell_end(name, self._plain(f"{label}: {line['result']}: {line['message']}"))
        return line

    def _tell_end(self, name: str, text: str) -> None:
        """Once: the record may still change while others are at work. It is not cut: the terminal wraps it."""
        if self._ended.get(name) != text:
            self._ended[name] = text
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _one_line(*, width: int | None = None, max_width: int | None = None, ratio: int | None = None) -> Column:
    return Column(width=width, max_width=max_width, ratio=ratio, no_wrap=True, overflow="ellipsis")


def _words(line: Mapping[str, Any]) -> str:
    """The step and what it does: a message mostly begins with its step."""
    step, message = line["step"], str(line["message"])
    return message if step is None or message.startswith(f"{step}:") else f"{step}: {message}"
