"""`python -m tests.bench`: measures, prints tables, and with `--write` keeps them in docs/benchmarks.{md,json}."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path

from tests.bench import children, crowd, expiry, idle, kept, latency, noisy, own_share, restart, writes
from tests.bench.figures import Findings, Goal

DOCS = Path(__file__).parent.parent.parent / "docs"
Measure = Callable[[int], Awaitable[Findings]]
SUBJECTS: dict[str, Measure] = {
    "share": own_share.measure,
    "writes": writes.measure,
    "memory": crowd.measure_memory,
    "storm": crowd.measure_storm,
    "children": children.measure,
    "latency": latency.measure,
    "noisy": noisy.measure,
    "restart": restart.measure,
    "expiry": expiry.measure,
    "idle": idle.measure,
}
LARGE: dict[str, Measure] = {"children": children.measure_large, "idle": idle.measure_large}
"""In place of the subjects of these names."""


def machine() -> str:
    """What the figures were measured on."""
    return f"{cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


async def run(chosen: Mapping[str, Measure], repetitions: int, *, keep: bool) -> list[Goal]:
    """Each subject on a stage of its own; kept as soon as it is measured, since the next one may fail."""
    goals = []
    for name, measure in chosen.items():
        found = await measure(repetitions)
        goals += found.goals
        for table in found.tables:
            _say(f"\n{table.plain()}")
        if keep:
            write({name: found})
    return goals


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write(found: dict[str, Findings]) -> None:
    """Into the documents, in place of what these subjects had found before."""
    figures, page = DOCS / "benchmarks.json", DOCS / "benchmarks.md"
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    now = kept.merged(kept.load(figures), found, at=day, machine=machine(), order=SUBJECTS)
    figures.write_text(kept.dump(now))
    page.write_text(kept.document(now))


def main() -> int:
    """0 when every goal is reached, 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], help="default: all")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument(
        "--write", action="store_true", help="keep the figures in docs; without subjects it is done anyway"
    )
    parser.add_argument("--large", action="store_true", help="up to 5,000 objects")
    options = parser.parse_args()
    subjects = SUBJECTS | LARGE if options.large else SUBJECTS
    chosen = {name: subjects[name] for name in options.subjects or subjects}
    goals = asyncio.run(run(chosen, options.repetitions, keep=options.write or not options.subjects))
    _say("")
    for goal in goals:
        _say(goal.text)
    return 0 if all(goal.reached for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
