"""The tests of the engine have teeth: whatever is wrong in it, one of the quick ones notices."""

from __future__ import annotations

import pytest

from .mutant import Mutant
from .mutants import MUTANTS
from .mutation import Verdict, mutants, source


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_made_of_the_engine_as_it_is(mutant: Mutant) -> None:
    compile(source(mutant), mutant.module, "exec")


ENOUGH = 32
SOME = [MUTANTS[number * len(MUTANTS) // ENOUGH].name for number in range(ENOUGH)]
"""Evenly over all, which take minutes (`make chaos CHAOS_ARGS="--part mutants"` has them)."""


@pytest.mark.timeout(900)
def test_every_mutant_is_caught() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len(set(SOME)) == ENOUGH
    whole, *verdicts = mutants(*SOME)
    assert whole == Verdict("", ""), "the engine as it is passes"
    assert [verdict.mutant for verdict in verdicts] == SOME
    assert [verdict.mutant for verdict in verdicts if not verdict.caught] == []


def test_a_mutant_without_its_text_is_refused() -> None:
    with pytest.raises(LookupError, match="never there: 0 times"):
        source(Mutant("never there", "decide", "no such text", ""))
