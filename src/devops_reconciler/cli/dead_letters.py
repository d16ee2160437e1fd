"""`devops-reconciler dead-letters list|show|replay`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.errors import ReconcilerError, ValidationError
from ..api.plain_text import plain
from ..messages.dead_letter_queue import open_dead_letters
from ..messages.letter import Letter
from ..runtime.clock import SystemClock
from ..runtime.logs import Redactor
from ..runtime.settings import load_group
from ..runtime.settings_variables import RabbitmqVariables
from .hiding import hidden, hider

Say = Callable[[str], None]
"""Prints one or more lines."""

COLUMNS = ("ID", "TYPE", "ROUTING KEY", "REASON", "SENT", "AGE", "SIZE", "ERROR")
ERROR_WIDTH = 100
CELL_WIDTH = 40
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def list_letters(environ: Mapping[str, str], say: Say, *, reason: str | None, as_json: bool) -> None:
    """All letters, or those of a reason: a table, or a JSON array."""
    now = SystemClock().now()
    rows = asyncio.run(_summaries(_settings(environ), now, reason))
    say(listed(rows, hider(environ), as_json=as_json))


def listed(rows: list[dict[str, Any]], hide: Redactor, *, as_json: bool) -> str:
    """The list as it is printed. Secrets are hidden first: a cell cut short would leave a part of one."""
    clear = hidden(rows, hide)
    return json.dumps(clear, indent=2) if as_json else _table(clear)


async def _summaries(settings: RabbitmqVariables, now: datetime, reason: str | None) -> list[dict[str, Any]]:
    async with open_dead_letters(settings, SystemClock()) as queue:
        rows = [it.summary(now) async for it in queue.letters() if reason in (None, it.reason)]
    return sorted(rows, key=lambda row: row["dead_since"] or row["sent_at"] or "")


def show_letter(environ: Mapping[str, str], say: Say, id_: str, *, as_json: bool, only_body: bool) -> None:
    """One letter; the oldest where several have the id. Raises ValidationError where none has.

    Secrets of ours are hidden, but not where `only_body` asks for what was sent, byte for byte.
    """
    now = SystemClock().now()
    found = asyncio.run(_find(_settings(environ), id_))
    if only_body:
        sys.stdout.buffer.write(found.body)
    else:
        say(shown(found.whole(now), hider(environ), as_json=as_json))


def shown(whole: dict[str, Any], hide: Redactor, *, as_json: bool) -> str:
    """A letter as it is printed."""
    clear = hidden(whole, hide)
    return json.dumps(clear, indent=2) if as_json else _page(clear)


async def _find(settings: RabbitmqVariables, id_: str) -> Letter:
    async with open_dead_letters(settings, SystemClock()) as queue:
        async for letter in queue.letters():
            if _is_meant(letter, (id_,)):
                return letter
    raise _unknown([id_])


def replay_letters(environ: Mapping[str, str], say: Say, ids: Sequence[str], *, every: bool, reason: str | None) -> int:
    """Publish the chosen ones again; a line for each. Gives the exit code. Raises ValidationError for unknown ids."""
    if sum((bool(ids), every, reason is not None)) != 1:
        raise ValidationError("say which letters: their ids, or --all, or --reason")

    def chosen(letter: Letter) -> bool:
        return every or letter.reason == reason or _is_meant(letter, ids)

    return asyncio.run(_replay(_settings(environ), say, chosen, set(ids)))


async def _replay(settings: RabbitmqVariables, say: Say, chosen: Callable[[Letter], bool], missing: set[str]) -> int:
    done = left = 0
    try:
        async with open_dead_letters(settings, SystemClock()) as queue:
            async for letter in queue.letters():
                if not chosen(letter):
                    left += 1
                    continue
                await queue.replay(letter)
                done += 1
                missing -= {letter.id, letter.delivery.message_id}
                say(f"{letter.id} published again")
    except ReconcilerError:
        sys.stderr.write(f"{done} published again; all others are where they were\n")
        raise
    if missing:
        raise _unknown(sorted(missing))
    say(f"{done} published again, {left} left")
    return 0


def _settings(environ: Mapping[str, str]) -> RabbitmqVariables:
    return load_group(RabbitmqVariables, environ)


def _is_meant(letter: Letter, ids: Sequence[str]) -> bool:
    return letter.id in ids or letter.delivery.message_id in ids


def _unknown(ids: Sequence[str]) -> ValidationError:
    return ValidationError(
        f"no dead letter has the id {', '.join(ids)}: `devops-reconciler dead-letters list` lists them"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "There are no dead letters."
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS) - 1)]
    return "\n".join(
        "   ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in lines
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    age = row["age_seconds"]
    return (
        row["id"],
        _cell(row["type"], CELL_WIDTH),
        _cell(row["routing_key"], CELL_WIDTH),
        _cell(row["reason"], CELL_WIDTH),
        (row["sent_at"] or "-")[:19],
        "-" if age is None else _age(age),
        str(row["size"]),
        _cell(row["error"], ERROR_WIDTH),
    )


def _cell(text: str, width: int) -> str:
    """One line that does nothing to a terminal: what it shows may come from anybody."""
    shown = plain(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _age(seconds: int) -> str:
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{seconds // size}{unit}"


def _page(whole: dict[str, Any]) -> str:
    headers = whole.pop("headers")
    body = whole.pop("body", None)
    encoded = whole.pop("body_base64", None)
    lines = [_line(key, value) for key, value in whole.items() if value is not None]
    lines += ["headers:", *(f"  {_line(key, value)}" for key, value in headers.items())] if headers else []
    lines += ["", body] if encoded is None else ["", "The body is no text; in base64:", "", encoded]
    return "\n".join(lines)


def _line(key: str, value: object) -> str:
    text = f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    return _cell(text, len(text))
