"""Numbers with their spread, and tables of them: as text for the terminal, as Markdown and JSON for the documents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Some measurements of one thing."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(tuple(sorted(values)))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def percentile(self, percent: float) -> float:
        """The least measurement that so many percent of all do not exceed (nearest rank)."""
        return self.values[max(1, math.ceil(len(self.values) * percent / 100)) - 1]

    def text(self, unit: str = "", digits: int = 0) -> str:
        """The median, and from where to where the measurements go."""
        low, high = self.values[0], self.values[-1]
        return f"{self.median:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


@dataclass(frozen=True)
class Table:
    """A heading, a paragraph on what was measured and how, and rows under a head."""

    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def plain(self) -> str:
        """For a terminal."""
        widths = [max(len(str(row[at])) for row in (self.head, *self.rows)) for at in range(len(self.head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, "-" * len(self.title), *lines])

    def markdown(self) -> str:
        """For a document."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{self.text}\n\n{table}"


@dataclass(frozen=True)
class Goal:
    """A figure that has to be reached: `value` at most `limit`, or at least."""

    name: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def text(self) -> str:
        word = "reached" if self.reached else "MISSED"
        bound = "at least" if self.at_least else "at most"
        return f"{self.name}: {self.value:g}{self.unit}, {bound} {self.limit:g}{self.unit}: {word}"


@dataclass
class Findings:
    """What one subject of the bench has found."""

    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    """For the JSON document; no key is `goals` or `tables`."""

    def json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        goals = [{**asdict(goal), "reached": goal.reached} for goal in self.goals]
        return {"goals": goals, "tables": [asdict(table) for table in self.tables], **self.raw}
