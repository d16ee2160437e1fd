"""The figures that are kept: a run replaces the subjects that it has measured, and leaves the others as they were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.figures import Findings, Goal, Table

HEAD = """\
# Benchmarks

Written by `make bench`. All of one table was measured in one run on one machine, alternating where two are compared;
a subject that was not measured again keeps its last figures and their day. Figures are medians with the smallest and
the largest. Ratios travel between machines, times do not.
"""
Kept = dict[str, dict[str, Any]]
"""By subject: what it has found, `at` which day, on which `machine`."""


def load(path: Path) -> Kept:
    """What is kept there; nothing where there is no file."""
    found: Kept = json.loads(path.read_text())["subjects"] if path.exists() else {}
    return found


def merged(kept: Kept, found: Mapping[str, Findings], *, at: str, machine: str, order: Iterable[str]) -> Kept:
    """What is found now in place of what was kept, in this order; what has no place in the order goes."""
    new = {name: {"at": at, "machine": machine, **findings.json()} for name, findings in found.items()}
    both = kept | new
    return {name: both[name] for name in order if name in both}


def dump(kept: Kept) -> str:
    """For the file that `load` reads."""
    return json.dumps({"subjects": kept}, indent=2) + "\n"


def document(kept: Kept) -> str:
    """The goals of all, then the tables of each with its day and machine."""
    goals = [f"- {goal_of(each).text}" for subject in kept.values() for each in subject["goals"]]
    parts = [HEAD, "\n".join(goals)]
    for subject in kept.values():
        said = f"Measured on {subject['at']}: {subject['machine']}."
        parts += [f"\n{Table(**table).markdown()}\n\n{said}" for table in subject["tables"]]
    return "\n".join(parts) + "\n"


def goal_of(kept: Mapping[str, Any]) -> Goal:
    """The goal that was kept; whether it is reached follows from its figures."""
    return Goal(**{name: value for name, value in kept.items() if name != "reached"})
