"""What a run keeps: its own figures in place of old ones, and those of others as they were."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench import kept
from tests.bench.figures import Findings, Goal, Table

ORDER = ("share", "writes", "idle")


def findings(value: float) -> Findings:
    table = Table(f"Value {value:g}", "A text.", ("who", "what"), [["ours", f"{value:g}"]])
    return Findings([table], [Goal("a goal", value, 5)], {"values": [value]})


def after(first: dict[str, float], second: dict[str, float]) -> kept.Kept:
    old = kept.merged({}, {k: findings(v) for k, v in first.items()}, at="2026-01-01", machine="old", order=ORDER)
    return kept.merged(old, {k: findings(v) for k, v in second.items()}, at="2026-02-02", machine="new", order=ORDER)


def test_a_subject_that_was_not_measured_keeps_its_figures_and_its_day() -> None:
    found = after({"writes": 1, "share": 2}, {"writes": 3})
    assert [(name, each["values"], each["at"], each["machine"]) for name, each in found.items()] == [
        ("share", [2], "2026-01-01", "old"),
        ("writes", [3], "2026-02-02", "new"),
    ]


def test_what_is_no_subject_any_more_goes() -> None:
    assert list(after({"gone": 1, "share": 2}, {"idle": 3})) == ["share", "idle"]


def test_what_is_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    found = after({"share": 2}, {"writes": 9})
    file = tmp_path / "kept.json"
    assert kept.load(file) == {}
    file.write_text(kept.dump(found))
    assert kept.load(file) == json.loads(json.dumps(found))
    assert kept.document(kept.load(file)) == kept.document(found)


def test_the_page_has_all_goals_and_each_table_with_its_day() -> None:
    page = kept.document(after({"share": 2}, {"writes": 9}))
    assert "- a goal: 2, at most 5: reached\n- a goal: 9, at most 5: MISSED\n" in page
    assert (
        "## Value 2\n\nA text.\n\n| who | what |\n| --- | --- |\n| ours | 2 |\n\nMeasured on 2026-01-01: old." in page
    )
    assert "| ours | 9 |\n\nMeasured on 2026-02-02: new.\n" in page


def test_the_kept_page_is_made_of_the_kept_figures() -> None:
    docs = Path(__file__).parents[3] / "docs"
    assert (docs / "benchmarks.md").read_text() == kept.document(kept.load(docs / "benchmarks.json"))
