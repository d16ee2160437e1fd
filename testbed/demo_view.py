"""What the user of the demo sees: one line for each thing that happens, calm, coloured where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from testbed.stage_heartbeats import Heartbeat

WIDTH = 110
STATE_STYLES = {"Running": "cyan", "Succeeded": "green", "Failed": "red", "Waiting": "yellow", "Skipped": "dim"}


@dataclass(frozen=True)
class Outcome:
    """How a chapter went."""

    name: str
    ok: bool
    seconds: float
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 1), "detail": self.detail}


class View:
    """Prints the story. With ``--json`` it goes to stderr, so that stdout has the result alone."""

    def __init__(self, *, to_stderr: bool) -> None:
        stream = sys.stderr if to_stderr else sys.stdout
        width = None if stream.isatty() else WIDTH
        self._console = Console(file=stream, highlight=False, width=width, soft_wrap=not stream.isatty())
        self._seen: set[str] = set()

    def title(self, text: str) -> None:
        """The name of the story."""
        self._console.print(Text(text, style="bold"))

    def chapter(self, number: int, title: str) -> None:
        """A new chapter begins."""
        self._console.print()
        self._console.print(Text(f"{number}  {title}", style="bold"))

    def say(self, what: str, detail: str = "", *, style: str = "") -> None:
        """One line: what happened, and more about it."""
        line = Text("   ")
        line.append(f"{what:<26} " if detail else what, style=style)
        line.append(detail, style="dim" if not style else "")
        self._print(line)

    def sent(self, message: dict[str, Any]) -> None:
        """A message that goes to the operator."""
        payload = dict(message["payload"])
        project, spec = payload.pop("project"), payload.pop("spec", None)
        words = [f"{key}={value}" for key, value in payload.items() if key != "requested_by"]
        if spec is not None:
            words += [f"git.url={spec['git']['url']}", f"ingress.host={spec['ingress']['host']}"]
        line = Text("   → ", style="magenta")
        line.append(f"{message['event_type']}  ", style="bold")
        line.append(f"{project}  {'  '.join(words)}", style="")
        self._print(line)

    def heartbeat(self, beat: Heartbeat) -> None:
        """One change of a deployment. A repetition after a crash, and a tick, say nothing new."""
        if beat.is_tick or beat.message_id in self._seen:
            return
        self._seen.add(beat.message_id)
        it = beat.payload
        percent = "" if it["percent"] is None else f"{it['percent']:>3} %"
        eta = "" if it["eta_seconds"] is None else f"~{it['eta_seconds']} s"
        line = Text("   ")
        line.append(f"♥ {it['sequence']:>2}  ", style="magenta")
        line.append(f"{it['step'] or '':<12}")
        line.append(f"{it['state']:<11}", style=STATE_STYLES.get(it["state"], ""))
        line.append(f"{percent:>5} {eta:>6}  ", style="bold" if it["terminal"] else "")
        reason = f"{it['reason']}: " if it["reason"] and it["reason"] != it["result"] else ""
        line.append(f"{reason}{it['message'] or ''}", style="bold" if it["terminal"] else "dim")
        self._print(line)

    def ended(self, outcome: Outcome) -> None:
        """The end of a chapter."""
        line = Text("   ")
        line.append("✓ " if outcome.ok else "✗ ", style="bold green" if outcome.ok else "bold red")
        line.append(f"{outcome.seconds:.1f} s  ", style="bold")
        line.append(outcome.detail, style="" if outcome.ok else "red")
        self._console.print(line, soft_wrap=True)

    def text(self, lines: str) -> None:
        """Lines as they are: nothing is cut or wrapped, so that they can be copied."""
        self._console.print(Text(lines), soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A sign of life while something slow goes on; nothing without a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(f"[dim]{what}[/dim]", spinner="dots"):
            yield

    def _print(self, line: Text) -> None:
        self._console.print(line, overflow="ellipsis", no_wrap=True, soft_wrap=False)
