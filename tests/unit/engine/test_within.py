"""Things inside of others: what is about to be made holds nothing yet."""

from __future__ import annotations

from .bench import Bench, step
from .things import Folder, Job

FOLDER, JOB = Folder(path="team"), Job(path="team/job", content="a")


def test_what_a_thing_holds_is_not_asked_for_where_the_thing_is_about_to_be_made() -> None:
    bench = Bench()
    inside = step("job", JOB, within="folder")
    bench.advance(step("folder", FOLDER), inside)
    assert bench.reads() == ["items get"], "the folder alone"
    assert bench.writes() == ["items create", "items create"]
    bench.settle(step("folder", FOLDER), inside)
    assert bench.reads().count("items get") == 3, "then both"
    bench.world.items.remove("team/job")
    bench.wait(10)
    bench.settle(step("folder", FOLDER), inside)
    assert "team/job" in bench.world.items.things


def test_what_is_inside_is_asked_for_where_the_thing_is_only_changed() -> None:
    bench = Bench()
    bench.settle(step("folder", FOLDER), step("job", JOB, within="folder"))
    bench.world.items.things["team"].fields["content"] = "by hand"
    bench.wait(10)
    bench.settle(step("folder", FOLDER), step("job", JOB, within="folder"))
    assert bench.writes() == ["items create", "items create", "items patch"]
