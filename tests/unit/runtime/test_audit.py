"""The audit trail: what is missing, changed, moved or cut off is found; restarts and rotation break nothing."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from devops_reconciler.runtime.audit import AuditTrail
from devops_reconciler.runtime.audit_context import Cause, Change, acting_for, changing
from devops_reconciler.runtime.audit_file import AuditFile, Head, head_path, read_head
from devops_reconciler.runtime.audit_record import AuditedObject, AuditedThing, AuditRecord, Result, hash_of, schema
from devops_reconciler.runtime.audit_verify import _Walk, verify
from devops_reconciler.runtime.clock import FakeClock

CAUSE = Cause(AuditedObject(kind="DevOpsProject", namespace="team", name="shop", uid="u-1"), "alice")
CHANGE = Change(AuditedThing(kind="JenkinsJob", key="shop/shop", action="create"), None, "sha256:" + "ab" * 32)


def trail_at(path: Path | None, **more: Any) -> AuditTrail:
    return AuditTrail(FakeClock(), replica="one", file=None if path is None else AuditFile(path), **more)


def write(path: Path, count: int = 3) -> None:
    """As many changes, two lines each, by one process."""
    trail = trail_at(path)
    with acting_for(CAUSE), changing(CHANGE):
        for number in range(count):
            trail.begin("jenkins", "create item", "POST", f"jenkins/job/{number}").end(Result.APPLIED, "200")
    trail.close()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_change_has_a_line_before_and_a_line_after_it_with_who_what_where_and_the_outcome(tmp_path: Path) -> None:
    write(tmp_path / "audit", 1)
    before, after = lines_of(tmp_path / "audit")
    assert (before["phase"], before["outcome"]) == ("intent", None)
    assert (after["phase"], after["outcome"]) == ("outcome", {"result": "applied", "code": "200"})
    assert before["change"] == after["change"]
    for line in (before, after):
        assert line["asked_by"] == "alice"
        assert line["object"] == {"kind": "DevOpsProject", "namespace": "team", "name": "shop", "uid": "u-1"}
        assert line["thing"] == {"kind": "JenkinsJob", "key": "shop/shop", "action": "create", "fields": []}
        assert (line["service"], line["operation"], line["method"]) == ("jenkins", "create item", "POST")
        assert (line["target"], line["before"], line["after"]) == ("jenkins/job/0", None, CHANGE.after)
        AuditRecord.model_validate(line)


def test_a_chain_that_nobody_touched_is_good_also_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    for _ in range(3):
        write(path)
    report = verify([path])
    assert (report.ok, report.lines, report.head.seq, report.notes) == (True, 18, 18, [])


def changed(text: str) -> str:
    return text.replace('"asked_by":"alice"', '"asked_by":"bobby"', 1)


def without(number: int) -> Callable[[str], str]:
    return lambda text: "".join(line for at, line in enumerate(text.splitlines(True)) if at != number)


def rehashed(text: str) -> str:
    """A line that was changed together with its own hash: the next one gives it away."""
    first, rest = text.split("\n", 1)
    value = {**json.loads(first), "asked_by": "mallory"}
    return json.dumps({**value, "hash": hash_of(value)}, sort_keys=True, separators=(",", ":")) + "\n" + rest


def doubled(text: str) -> str:
    lines = text.splitlines(True)
    return "".join([*lines[:3], lines[2], *lines[3:]])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed, "was changed: its hash does not fit"),
        (rehashed, "does not follow the line before it"),
        (without(0), "is line 2 of the trail: the 1 before it are missing"),
        (without(2), "lines 3 to 3 of the trail are missing"),
        (without(5), "lines 6 to 6 of the trail are missing at the end"),
        (doubled, "put in or moved"),
        (lambda text: text + "nonsense\n", "is no line of the audit trail"),
        (lambda text: "", "lines 1 to 6 of the trail are missing at the end"),
    ],
    ids=["changed", "rehashed", "first", "middle", "last", "doubled", "nonsense", "emptied"],
)
def test_what_is_missing_or_changed_is_found(spoil: Callable[[str], str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    path.write_text(spoil(path.read_text()))
    report = verify([path])
    assert any(said in problem for problem in report.problems), report.problems


def test_what_was_lost_while_the_operator_was_down_stays_visible_after_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    path.write_text("".join(path.read_text().splitlines(True)[:-2]))
    write(path)
    report = verify([path])
    assert report.problems == [f"before {path}:5 lines 5 to 6 of the trail are missing"]


def test_a_lost_file_shows_by_the_head_that_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    path.unlink()
    write(path, 1)
    assert verify([path]).problems == [f"{path}:1 is line 7 of the trail: the 6 before it are missing"]


def test_the_head_is_written_over_in_place_and_a_harmed_one_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    there = head_path(path).stat()
    write(path, 50)
    now = head_path(path).stat()
    assert (now.st_ino, now.st_size) == (there.st_ino, there.st_size)
    head_path(path).write_text("x" * 300)
    write(path, 1)
    assert verify([path]).ok
    assert read_head(head_path(path)) == Head(108, lines_of(path)[-1]["hash"])


def test_the_hash_in_the_log_finds_a_trail_that_was_cut_together_with_its_head(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    last = lines_of(path)[-1]["hash"]
    assert verify([path], head=last).ok
    path.write_text("".join(path.read_text().splitlines(True)[:-2]))
    head_path(path).unlink()
    assert verify([path]).ok
    assert verify([path], head=last).problems == [f"the line with hash {last} is missing"]


def test_rotated_files_are_one_chain(tmp_path: Path) -> None:
    path, old = tmp_path / "audit", tmp_path / "audit.1"
    trail = trail_at(path)
    trail.begin("jenkins", "create item", "POST", "jenkins/a").end(Result.APPLIED, "200")
    path.rename(old)
    trail.begin("jenkins", "create item", "POST", "jenkins/b").end(Result.APPLIED, "200")
    trail.close()
    assert len(lines_of(path)) == 2
    assert verify([old, path]).ok
    assert verify([path], since=lines_of(old)[-1]["hash"]).ok
    assert not verify([path]).ok
    assert not verify([path], since="0" * 64).ok


def test_half_a_line_of_a_machine_that_lost_power_is_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    write(path)
    with path.open("a") as file:
        file.write('{"v":1,"seq":7,"half')
    write(path)
    assert (verify([path]).ok, len(lines_of(path))) == (True, 12)


def test_the_operator_appends_while_the_lines_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, take, locked = tmp_path / "audit", _Walk.take, []
    write(path)
    with path.open("a") as half:
        half.write('{"v":1,"seq":7,"half')

    def append_and_take(walk: _Walk, where: str, text: str) -> None:
        if not locked:
            with path.open() as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked.append(where)
            write(path, 1)
        take(walk, where, text)

    monkeypatch.setattr(_Walk, "take", append_and_take)
    report = verify([path])
    assert (locked, report.lines, report.head.seq) == ([f"{path}:1"], 7, 6)
    assert [problem.partition(" (")[0] for problem in report.problems] == [f"{path}:7 is no line of the audit trail"]
    assert (verify([path]).problems, verify([path]).lines) == ([], 8)


def test_an_intent_without_outcome_is_told_and_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    trail_at(path).begin("godaddy", "replace records", "PUT", "godaddy/v1/domains/x")
    report = verify([path])
    assert report.ok
    assert "replace records (PUT godaddy/v1/domains/x)" in report.notes[0]
    assert "what came of it is not known" in report.notes[0]


def test_writers_that_take_turns_go_on_from_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    one, other = trail_at(path), trail_at(path)
    for trail in (one, other, one, one, other):
        trail.begin("jenkins", "create item", "POST", "jenkins/a").end(Result.APPLIED, "200")
    report = verify([path])
    assert (report.ok, report.lines) == (True, 10), report.problems


def test_processes_that_share_a_file_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=write, args=(path, 40)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.exitcode for each in both] == [0, 0]
    report = verify([path])
    assert (report.ok, report.lines) == (True, 160), report.problems


def test_an_intent_that_cannot_be_written_raises(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.mkdir()
    with pytest.raises(OSError, match="audit"):
        trail_at(path).begin("jenkins", "create item", "POST", "jenkins/a")


async def test_an_outcome_that_cannot_be_written_shows_in_the_check_and_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    trail = trail_at(folder / "audit")
    pending = trail.begin("jenkins", "create item", "POST", "jenkins/a")
    folder.rename(tmp_path / "elsewhere")
    pending.end(Result.APPLIED, "200")
    folder.mkdir()
    assert "could not be written" in await trail.check()


async def test_the_check_fails_where_the_file_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        await trail_at(tmp_path / "missing" / "audit").check()


def test_secrets_in_texts_that_others_choose_are_hidden(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    trail = trail_at(path, redact=lambda text: text.replace("hunter2", "****"))
    with acting_for(Cause(None, "hunter2")):
        trail.begin("jenkins", "create hunter2", "POST", "jenkins/hunter2").end(Result.APPLIED, "200")
    assert "hunter2" not in path.read_text()
    assert verify([path]).ok


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    write(tmp_path / "audit")
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0


def test_without_a_file_the_log_has_each_line_of_the_chain(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "devops_reconciler.audit")
    trail_at(None).begin("jenkins", "create item", "POST", "jenkins/a").end(Result.REFUSED, "409")
    first, second = (record.msg for record in caplog.records)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["event"], second["event"]) == ("an external change begins", "an external change")
    assert second["prev"] == first["hash"]


def test_the_schema_takes_each_line_and_no_other_field() -> None:
    assert schema()["additionalProperties"] is False
    assert set(schema()["required"]) >= {"seq", "at", "asked_by", "service", "target", "prev", "hash"}
    with pytest.raises(ValidationError):
        AuditRecord.model_validate({"seq": 1})
