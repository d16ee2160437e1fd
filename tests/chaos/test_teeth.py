"""The mechanisms that `make chaos` takes out are where it looks for them, and each story has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .report import REPOSITORY
from .stories import STORIES, every_trial
from .teeth import PACKAGE, REMOVALS, Removal, without


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.mechanism)
def test_a_mechanism_can_be_taken_out_and_what_is_left_is_a_program(removal: Removal, tmp_path: Path) -> None:
    without(removal, REPOSITORY / "src", tmp_path)

    text = (tmp_path / PACKAGE / removal.file).read_text()
    assert text != (REPOSITORY / "src" / PACKAGE / removal.file).read_text()
    compile(text, removal.file, "exec")


def test_each_story_has_a_mechanism_and_trials_of_its_own() -> None:
    trials = {trial.name: trial.story for trial in every_trial(seed=1)}

    assert {removal.story for removal in REMOVALS} == {story.number for story in STORIES}
    assert all(trials[removal.trial] == removal.story for removal in REMOVALS)
