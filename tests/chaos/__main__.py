"""``make chaos``: the sweep, two replicas, and the stories, into ``docs/survival.md``.

CHAOS=full tries all failures at each call, without a time limit. With ``--only`` and ``--phase`` a single point is
tried again: the words are those of its line in the report.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from testbed.launcher import Launcher
from testbed.stage import Ground

from .kept import Kept
from .report import PAGE, Proofs, Row, commit, page
from .stories import STORIES, Told
from .sweep import Outcome
from .teller import Teller
from .whole import BESIDE, PARTS, Whole


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill and disturb the operator.")
    parser.add_argument(
        "--part", action="append", choices=(*PARTS, *BESIDE), default=[], help="only this part; repeatable"
    )
    parser.add_argument("--only", action="append", default=[], help="only what has this in its name; repeatable")
    parser.add_argument("--phase", action="append", default=[], help="only these workloads; repeatable")
    parser.add_argument("--lanes", type=int, default=4, help="operators side by side")
    parser.add_argument("--seed", type=int, default=1, help="of what is done at random")
    parser.add_argument("--minutes", type=float, default=5, help="of a random schedule, besides the rest")
    parser.add_argument("--source", type=Path, help="run the operator from this source folder")
    parser.add_argument("--commit", help="the commit of that source; by default that of this tree")
    parser.add_argument(
        "--report", type=Path, help="where the report goes; by default docs/survival.md for a whole run"
    )
    parser.add_argument("--kept", type=Path, help="file for what was survived: with it a run goes on where it was")
    parser.add_argument("--logs", type=Path, help="folder for the operator's log of each point that was lost")
    return parser.parse_args()


def perturbation_rows(outcomes: list[Outcome]) -> list[Row]:
    """A row per perturbation."""
    rows: dict[str, Row] = {}
    for outcome in outcomes:
        row = rows.setdefault(outcome.plan.perturbation, Row(outcome.plan.perturbation))
        if outcome.reached:
            row.add(str(outcome.plan), survived=outcome.survived)
    return sorted(rows.values(), key=lambda row: row.title)


def story_rows(outcomes: list[Outcome], told: list[Told]) -> list[Row]:
    """A row per story: its trials, and the points of the sweep that tell it too."""
    rows = {story.number: Row(f"{story.number}. {story.title}") for story in STORIES}
    for each in told:
        rows[each.trial.story].add(each.trial.name, survived=each.survived)
    for outcome in outcomes:
        for story in STORIES:
            if outcome.reached and story.told_by(outcome.plan):
                rows[story.number].add(str(outcome.plan), survived=outcome.survived)
    return list(rows.values())


def how(given: argparse.Namespace, *, full: bool) -> str:
    """What was run, in words."""
    faults = "all failures at each call" if full else "one failure for each kind of call"
    wandered = f", {given.minutes:g} minutes of a random schedule with seed {given.seed}" if given.minutes else ""
    return f"{faults}, {given.lanes} operators side by side{wandered}"


async def chaos(given: argparse.Namespace) -> bool:
    """Run and report; True when all was survived."""
    full, at, parts = os.environ.get("CHAOS") == "full", given.commit or commit(), given.part or (*PARTS, *BESIDE)
    kept, ground = Kept(given.kept, at), Ground(Launcher())
    whole = Whole(ground, given, Teller(given.logs), kept, full=full)
    async with asyncio.TaskGroup() as beside, AsyncExitStack() as stack:
        beside.create_task(whole.check_engine(parts))
        if any(name in PARTS for name in parts):
            await stack.enter_async_context(ground)
        for name, run in whole.parts.items():
            if name in parts:
                await run()
    tables = [("Stories", story_rows(whole.outcomes, whole.told)), ("Perturbations", perturbation_rows(whole.outcomes))]
    if given.report is not None or not (given.part or given.only or given.phase):
        proofs = Proofs(whole.noticed, whole.checked)
        text = page(tables, proofs, at=at, how=how(given, full=full), kept=kept)
        (given.report or PAGE).write_text(text)
    held = all(each.survived for each in (*whole.noticed, *whole.checked))
    return held and all(row.tried == row.survived for _, rows in tables for row in rows)


def main() -> None:
    """Exit code 1 when something was not survived."""
    sys.exit(0 if asyncio.run(chaos(options())) else 1)


if __name__ == "__main__":
    main()
