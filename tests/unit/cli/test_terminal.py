"""What a command prints does nothing to a terminal, whoever wrote it; as JSON it is whole, and escaped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import pytest

from devops_reconciler import cli
from devops_reconciler.api.errors import ValidationError
from devops_reconciler.cli.dead_letters import listed, shown
from devops_reconciler.cli.drain import plan, speaker
from devops_reconciler.cli.orphans import told
from devops_reconciler.cli.watch_view import JsonView
from devops_reconciler.host.drain import Held
from devops_reconciler.kinds.orphans import Judged, LeftThing, Report
from devops_reconciler.resources.marked import Marked
from devops_reconciler.runtime.logs import Redactor

from .test_hiding import Letters, failing

EVIL = "a\x1b]0;x\x07\x9b2J\x1b[1A\nb\u202e"
SEEN = "a b "
HIDE = Redactor(tuple)


def orphans(*, as_json: bool) -> str:
    thing = Marked("jenkins", "folder", EVIL, mark=EVIL)
    left = LeftThing(EVIL, EVIL, {"service": EVIL, "kind": EVIL, "id": EVIL}, "gone")
    report = Report("team", [Judged(thing, "orphan", EVIL)], [left], failures={"argocd": EVIL}, notes=[EVIL])
    return told(report, HIDE, as_json=as_json, everything=True)


def letters(*, as_json: bool) -> str:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    row = {**Letters().summary(now), "type": EVIL, "error": EVIL, "body": "x"}
    return "\n".join(
        (listed([row], HIDE, as_json=as_json), shown({**row, "headers": {EVIL: EVIL}}, HIDE, as_json=as_json))
    )


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("command", [orphans, letters])
def test_a_list_does_nothing(command: Callable[..., str], as_json: bool) -> None:
    said = command(as_json=as_json)
    assert all(line.isprintable() for line in said.split("\n"))
    assert ("\\u001b]0;x" if as_json else SEEN) in said


def test_a_line_of_watch_as_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    JsonView(HIDE).show({"deployment": "one", "message": EVIL})
    said = capsys.readouterr().out
    assert said.removesuffix("\n").isprintable()
    assert json.loads(said)["message"] == EVIL


def test_drain_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say = speaker(HIDE)
    held = cast(Held, type("Evil", (), {"who": "DevOpsProject team/shop", "outside": [EVIL]}))
    for line in plan([held], delete=False):
        say(line)
    assert capsys.readouterr().out.splitlines() == [
        "1 resources would be released; what they have outside keeps running:",
        f"  DevOpsProject team/shop: leaves outside: {SEEN}",
    ]


def test_the_error_that_ends_a_command_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", failing(ValidationError(EVIL)))
    monkeypatch.setattr("sys.argv", ["devops-reconciler"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == "a\nb \n"
