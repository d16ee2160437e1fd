"""A run of chaos that was interrupted goes on where it was, and only on the same commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kept import Kept


def test_what_was_survived_is_known_to_the_next_run(tmp_path: Path) -> None:
    first = Kept(tmp_path / "kept", "abc")
    first.add("a point", reached=True)
    first.add("another", reached=False)

    second = Kept(tmp_path / "kept", "abc")

    assert (first.runs, second.runs, Kept(tmp_path / "kept", "abc").runs) == (1, 2, 3)
    assert [second.reached(point) for point in ("a point", "another", "a third")] == [True, False, None]


def test_another_commit_begins_anew(tmp_path: Path) -> None:
    Kept(tmp_path / "kept", "abc").add("a point", reached=True)

    with pytest.raises(ValueError, match="is about commit abc"):
        Kept(tmp_path / "kept", "def")
