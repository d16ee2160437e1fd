"""One thing wrong in one module of the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One wrong: `old`, which is there exactly once in the module, becomes `new`."""

    name: str
    module: str
    old: str
    new: str


def mutants_of(module: str, *wrongs: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Of each wrong its name, old and new."""
    return tuple(Mutant(name, module, old, new) for name, old, new in wrongs)
