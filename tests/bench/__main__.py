"""`python -m tests.bench`: measures, prints tables, and with `--write` keeps them in docs/benchmarks.{md,json}."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path

from tests.bench import crowd, own_share, writes
from tests.bench.figures import Findings

DOCS = Path(__file__).parent.parent.parent / "docs"
HEAD = """\
# Benchmarks

Written by `make bench`. All of one table was measured in one run on one machine, alternating where two are compared.
Figures are medians with the smallest and the largest. Ratios travel between machines, times do not.
"""
SUBJECTS: dict[str, Callable[[int], Awaitable[Findings]]] = {
    "share": own_share.measure,
    "writes": writes.measure,
    "memory": crowd.measure_memory,
    "storm": crowd.measure_storm,
}


def machine() -> str:
    """What the figures were measured on."""
    return f"{cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


async def run(chosen: list[str], repetitions: int) -> dict[str, Findings]:
    """Each subject on a stage of its own."""
    found = {}
    for name in chosen:
        found[name] = await SUBJECTS[name](repetitions)
        for table in found[name].tables:
            _say(f"\n{table.plain()}")
    return found


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write(found: dict[str, Findings]) -> None:
    """Into the documents."""
    at = datetime.now(UTC).strftime("%Y-%m-%d")
    parts = [HEAD, f"Last run: {at}, {machine()}.\n"]
    parts += ["\n".join(f"- {goal.text}" for each in found.values() for goal in each.goals)]
    parts += [f"\n{table.markdown()}" for each in found.values() for table in each.tables]
    (DOCS / "benchmarks.md").write_text("\n".join(parts) + "\n")
    content = {"at": at, "machine": machine(), "subjects": {name: each.json() for name, each in found.items()}}
    (DOCS / "benchmarks.json").write_text(json.dumps(content, indent=2) + "\n")


def main() -> int:
    """0 when every goal is reached, 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], help="default: all")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.json")
    options = parser.parse_args()
    found = asyncio.run(run(options.subjects or list(SUBJECTS), options.repetitions))
    goals = [goal for each in found.values() for goal in each.goals]
    _say("")
    for goal in goals:
        _say(goal.text)
    if options.write or not options.subjects:
        write(found)
    return 0 if all(goal.reached for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
