"""What a message came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """`word` is a metric label: applied, created, duplicate, outdated, cancelled, extended, deleted or absent."""

    word: str
    detail: str = ""
    """The objects, for the log."""


def records_named(namespace: str, names: Iterable[str]) -> str:
    """The `detail` of an outcome."""
    return "DeploymentRecord " + ", ".join(f"{namespace}/{name}" for name in names)
