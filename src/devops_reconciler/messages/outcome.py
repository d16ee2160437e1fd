"""What a message came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """`word` is a metric label: applied, created, duplicate, outdated, cancelled, extended, deleted or absent."""

    word: str
    detail: str = ""
    """The object, for the log."""
