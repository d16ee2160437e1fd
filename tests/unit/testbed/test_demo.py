"""The demo tells the truth: a chapter that does not come true is one, and those after it are not played."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from standins.jenkins_model import StoredBuild
from testbed.demo import CHAPTERS, Bound, tell
from testbed.demo_chapters import NotTrue, check_sequence
from testbed.demo_troubles import only_build_of
from testbed.demo_view import Outcome, View
from testbed.stage_heartbeats import Heartbeat


async def _true() -> str:
    return "it came true"


async def _false() -> str:
    raise NotTrue("the address does not answer")


async def _late() -> str:
    raise TimeoutError("not within 60 s")


async def _played(*chapters: tuple[str, str, Bound]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await tell(chapters, View(to_stderr=True), outcomes, time.monotonic(), lambda: "the end of the log")
    return outcomes


async def test_chapters_that_come_true_have_their_sentence() -> None:
    outcomes = await _played(("one", "One", _true), ("two", "Two", _true))

    assert [(each.name, each.ok, each.detail) for each in outcomes] == [
        ("one", True, "it came true"),
        ("two", True, "it came true"),
    ]


@pytest.mark.parametrize(("chapter", "words"), [(_false, "does not answer"), (_late, "not within 60 s")])
async def test_after_a_chapter_that_is_not_true_no_other_is_played(
    chapter: Bound, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = await _played(("one", "One", _true), ("two", "Two", chapter), ("three", "Three", _true))

    assert [each.ok for each in outcomes] == [True, False, False]
    assert words in outcomes[1].detail
    assert outcomes[2].detail.startswith("not played")
    assert capsys.readouterr().err.count("the end of the log") == 1


def test_the_story_has_six_chapters() -> None:
    assert [name for name, _, _ in CHAPTERS] == ["start", "set-up", "deploy", "preview", "outage", "crash"]


def _build(number: int, uid: str = "uid-1", result: str | None = "SUCCESS") -> StoredBuild:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    return StoredBuild(("shop",), number, number, {"DEPLOYMENT_UID": uid}, started, result is None, result)


def test_the_only_build_of_a_deployment_is_found_among_those_of_others() -> None:
    assert only_build_of([_build(1, "uid-0"), _build(2), _build(3, "uid-2")], "uid-1").number == 2


@pytest.mark.parametrize(
    "builds",
    [[], [_build(1), _build(2)], [_build(1), _build(2, result="ABORTED")], [_build(1, result="FAILURE")]],
    ids=["none", "two", "a second that was stopped", "one that failed"],
)
def test_anything_but_one_build_that_went_well_is_not_true(builds: list[StoredBuild]) -> None:
    with pytest.raises(NotTrue, match=f"Jenkins has {len(builds)} builds"):
        only_build_of(builds, "uid-1")


def _beat(sequence: int, *, terminal: bool = False, body: bytes = b"{}") -> Heartbeat:
    return Heartbeat(f"uid-{sequence}", "shop.one", body, {"sequence": sequence, "terminal": terminal})


def test_a_sequence_may_have_equal_repeats_and_news_after_its_end() -> None:
    check_sequence([_beat(1), _beat(2), _beat(2), _beat(3, terminal=True), _beat(4)])


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ([_beat(1), _beat(3, terminal=True)], "gaps"),
        ([_beat(2), _beat(3, terminal=True)], "gaps"),
        ([_beat(1), _beat(1, body=b"other"), _beat(2, terminal=True)], "another body"),
        ([_beat(1, terminal=True), _beat(2, terminal=True)], "2 heartbeats are terminal"),
        ([_beat(1), _beat(2)], "0 heartbeats are terminal"),
    ],
)
def test_a_sequence_with_a_fault_is_not_true(beats: list[Heartbeat], words: str) -> None:
    with pytest.raises(NotTrue, match=words):
        check_sequence(beats)
