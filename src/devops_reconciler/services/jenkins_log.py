"""The end of a build's log, for a person to read: a log has any length, and so has each of its lines.

Jenkins gives no log from its end on, nor its length without reading it all into its memory (`progressiveText`), so all
of it goes by here and only its end is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from ..api.plain_text import plain
from ..runtime.clock import Clock

KEPT = 64 * 1024
"""So much of the end of a log is kept, in bytes."""
READ_LIMIT = 64 * 1024 * 1024
"""So much of a log is read, in bytes: more would take the other projects' time."""
READ_TIME = timedelta(seconds=30)
"""So long a log is read."""
LINE_LIMIT = 250
"""So much of a line is quoted, in characters: at most 1 KiB."""
MARGIN = 4096
"""So much after a cut is left out, in characters: it may begin with half a secret, which is not known as one."""
UNREAD = "its log is too long to be read to its end"


async def read_end(chunks: AsyncIterator[bytes], clock: Clock) -> bytes | None:
    """The last `KEPT` bytes, or more. None if the end does not come within the limits."""
    end, read, started = bytearray(), 0, clock.monotonic()
    async for chunk in chunks:
        read += len(chunk)
        if read > READ_LIMIT or clock.monotonic() - started > READ_TIME.total_seconds():
            return None
        end += chunk[-KEPT:]
        if len(end) > 2 * KEPT:
            del end[:-KEPT]
    return bytes(end)


def last_lines(end: bytes, count: int, hidden: Callable[[str], str]) -> list[str]:
    """The last `count` lines that are not empty, plain, without secrets, at most `LINE_LIMIT` characters and a mark."""
    text = hidden(end.decode("utf-8", errors="replace"))  # before any cut: half a secret is not found
    if len(end) < KEPT:
        whole, begun = text, ""
    else:
        begun, _, whole = text[MARGIN:].partition("\n")
    shown = [line.rstrip() for line in map(plain, whole.split("\n")) if line.strip()][-count:]
    lines = [hidden(line) for line in shown]  # again: a secret may have been coloured in its middle
    if not lines and begun.strip():
        return ["…" + hidden(plain(begun).rstrip())[-LINE_LIMIT:]]
    return [line if len(line) <= LINE_LIMIT else line[:LINE_LIMIT] + "…" for line in lines]
