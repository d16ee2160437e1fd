"""The engine by itself: every state of its model, and one thing wrong at a time. In processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 100_000
"""States of each scenario that is too wide to be explored to its end."""
NICE = 10
"""The lanes beside it go first."""


@dataclass(frozen=True)
class Checked:
    """What one of the two has come to: so many cases, and what of them was not as it must be, in words."""

    title: str
    tried: int
    result: str
    faults: Sequence[str] = ()

    @property
    def survived(self) -> bool:
        return self.tried > 0 and not self.faults

    def __str__(self) -> str:
        return f"{self.title}: {self.tried:,}, {self.result}"


async def explore(repository: Path) -> Checked:
    """The model: all states of its scenarios, and the first ones of those that are too wide."""
    found = json.loads((await _run(repository, "model_scenarios", str(LIMIT)))[-1])
    return of_model(found)


def of_model(found: Mapping[str, Any]) -> Checked:
    """`{states, breach}`; states of a model that breaks a rule are not known."""
    breach = found["breach"]
    title = "States of the model, in which no rule is broken, and from which all comes to rest as it should"
    return Checked(title, found["states"], f"{1 if breach else 0} broken rules", [breach] if breach else [])


async def mutate(repository: Path) -> Checked:
    """The mutants, and the engine as it is, which nothing may notice."""
    return of_mutants([json.loads(line) for line in await _run(repository, "mutation")])


def of_mutants(verdicts: Sequence[Mapping[str, str]]) -> Checked:
    """The first verdict is that on the engine as it is."""
    whole, *mutants = verdicts
    faults = [f"not noticed: {each['mutant']}" for each in mutants if not each["caught"]]
    if whole["caught"]:
        faults.append(f"the engine as it is fails: {whole['caught']}")
    caught = sum(bool(each["caught"]) for each in mutants)
    return Checked("The engine with one thing wrong at a time", len(mutants), f"{caught} noticed", faults)


async def _run(repository: Path, module: str, *words: str) -> list[str]:
    """The lines of a module of the engine's tests. Raises RuntimeError with what it said when it fails."""
    paths = os.pathsep.join([str(repository), str(repository / "src")])
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", str(NICE), sys.executable, "-m", f"tests.unit.engine.{module}", *words),
        cwd=repository,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if process.returncode:
        raise RuntimeError(f"{module}: {said.decode()}")
    return out.decode().splitlines()
