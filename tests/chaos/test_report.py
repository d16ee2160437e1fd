"""The page about what was survived tells of the engine by itself, and of what was lost there."""

from __future__ import annotations

from .engine import of_model, of_mutants
from .kept import Kept
from .report import Proofs, page

WHOLE, CAUGHT, MISSED = (
    {"mutant": "", "caught": ""},
    {"mutant": "a swapped order", "caught": "a test"},
    {"mutant": "a dropped check", "caught": ""},
)


def text(proofs: Proofs) -> str:
    return page([], proofs, at="abc", how="all", kept=Kept(None, "abc"))


def test_states_and_mutants_have_a_row_each() -> None:
    proofs = Proofs(checked=[of_model({"states": 812_345, "breach": ""}), of_mutants([WHOLE, CAUGHT])])

    assert all(each.survived for each in proofs.checked)
    written = text(proofs)
    assert "| 812,345 | 0 broken rules |" in written
    assert "| 1 | 1 noticed |" in written
    assert "Not survived" not in written


def test_a_broken_rule_and_a_mutant_that_nothing_notices_are_not_survived() -> None:
    proofs = Proofs(checked=[of_model({"states": 0, "breach": "a second build"}), of_mutants([WHOLE, CAUGHT, MISSED])])

    assert not any(each.survived for each in proofs.checked)
    written = text(proofs)
    assert "1 broken rules" in written
    assert "| 2 | 1 noticed |" in written
    assert written.endswith(
        "a second build\n- The engine with one thing wrong at a time: not noticed: a dropped check\n"
    )


def test_an_engine_that_fails_as_it_is_makes_all_verdicts_worthless() -> None:
    checked = of_mutants([{"mutant": "", "caught": "a test"}, CAUGHT])

    assert not checked.survived
    assert checked.faults == ["the engine as it is fails: a test"]
