"""``docs/survival.md``: what was tried, and what of it was survived."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .engine import Checked
from .kept import Kept
from .teeth import Noticed

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = REPOSITORY / "docs" / "survival.md"
HEAD = """\
# Survival

What the operator was put through, as a process on a real API server and RabbitMQ with stand-ins for the vendors, and
what it survived. `make chaos` writes this page; nobody edits it.

Survived means: the same end as an undisturbed run, each thing made and removed exactly as often, one build per
deployment, nothing left at any service after the deletion, and heartbeats that are, repeats dropped, without a gap and
with one terminal message.
"""


TEETH = """\
## Without the mechanism

Each story is told once more to an operator from which one mechanism was taken out: then the trial must be lost, or it
proves nothing.

| | taken out | trial | lost |
|---|---|---|---|"""


ENGINE = """\
## The engine by itself

The engine in every state that small objects can come to: two operators in every order, deaths, faults, late replies,
old views, edits, deletions, foreign hands. And the engine with one thing wrong at a time, which its tests or the model
must notice.

| | tried | result |
|---|---:|---:|"""


@dataclass(frozen=True)
class Proofs:
    """What is proven besides the points."""

    teeth: Sequence[Noticed] = ()
    checked: Sequence[Checked] = ()


@dataclass
class Row:
    """A line of the report."""

    title: str
    tried: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    """The points that were not survived, in words."""

    def add(self, point: str, *, survived: bool) -> None:
        self.tried += 1
        self.survived += survived
        if not survived:
            self.lost.append(point)


def commit() -> str:
    """The commit that was tried; a tree with changes says so."""
    head = _git("log", "-1", "--format=%h")
    return f"{head}, with changes" if _git("status", "--porcelain", "--", "src") else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def page(tables: Sequence[tuple[str, Iterable[Row]]], proofs: Proofs, *, at: str, how: str, kept: Kept) -> str:
    """The whole page. ``how`` is what was run, ``kept`` knows how long it took."""
    minutes, cores = round(kept.spent.total_seconds() / 60), os.cpu_count()
    runs = f", in {kept.runs} runs" if kept.runs > 1 else ""
    parts = [HEAD, f"Commit {at}; {how}. It took {minutes} minutes on {cores} cores{runs}.\n"]
    lost: list[str] = []
    for title, rows in tables:
        parts.append(f"## {title}\n\n| | points tried | survived |\n|---|---:|---:|")
        for row in rows:
            parts[-1] += f"\n| {row.title} | {row.tried} | {row.survived} |"
            lost += [f"- {row.title}: {point}" for point in row.lost]
        parts[-1] += "\n"
    if proofs.checked:
        rows = "".join(f"\n| {each.title} | {each.tried:,} | {each.result} |" for each in proofs.checked)
        parts.append(ENGINE + rows + "\n")
        lost += [f"- {each.title}: {fault}" for each in proofs.checked for fault in each.faults]
    if proofs.teeth:
        parts.append(TEETH + "".join(_tooth(each) for each in proofs.teeth) + "\n")
        lost += [f"- not noticed: {each.removal.mechanism}" for each in proofs.teeth if not each.survived]
    if lost:
        parts.append("## Not survived\n\n" + "\n".join(lost) + "\n")
    return "\n".join(parts)


def _tooth(each: Noticed) -> str:
    removal = each.removal
    return f"\n| {removal.story} | {removal.mechanism} | {removal.trial} | {'yes' if each.survived else 'no'} |"
