"""`watch`: it shows what is at work, ends with it, and its exit code says how."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError
from rich.console import Console

from devops_reconciler.api.errors import ConflictError, CredentialsError, ExternalServiceError
from devops_reconciler.cli.watch import AGAIN, _follow, _Outage, watch_deployments
from devops_reconciler.cli.watch_line import WatchLine, line_of, line_of_deleted, schema_text
from devops_reconciler.cli.watch_view import BarView, JsonView, View
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import HIDDEN, Redactor
from devops_reconciler.services.kubernetes import Kind, Listing

Event = tuple[str, dict[str, Any]] | Exception
Round = tuple[list[dict[str, Any]], list[Event]]


def record(name: str = "one", reason: str | None = None, project: str = "shop", **status: Any) -> dict[str, Any]:
    """A record at work, or finished with this reason."""
    conditions = [{"type": "Ready", "status": "Unknown", "reason": "Progressing", "message": "build: at work"}]
    if reason is not None:
        status_of = "True" if reason == "Succeeded" else "False"
        conditions = [
            {"type": "Ready", "status": status_of, "reason": reason, "message": "ended"},
            {"type": "Finished", "status": "True", "reason": reason},
        ]
    return {
        "metadata": {"name": name},
        "spec": {"projectRef": {"name": project}},
        "status": {"conditions": conditions, **status},
    }


class Script:
    """An API server that gives these listings, each followed by these events; an error in place of a listing."""

    def __init__(self, *rounds: Round | Exception) -> None:
        self._rounds = list(rounds)
        self._events: list[Event] = []

    async def listing(self, kind: Kind, namespace: str | None) -> Listing:
        assert self._rounds, "it should have ended by now"
        answer = self._rounds.pop(0)
        if isinstance(answer, Exception):
            raise answer
        items, self._events = answer
        return Listing(items, "1")

    async def watch(
        self, kind: Kind, namespace: str | None, *, resource_version: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            yield event


class Shown(View):
    """A view that keeps what it shows."""

    def __init__(self) -> None:
        super().__init__(Redactor(lambda: {"hunter2"}))
        self.lines: list[tuple[str, bool]] = []

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        self.lines.append((line["deployment"], line["terminal"]))
        return line


class Pauses(FakeClock):
    """Sleeping takes no time and is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[timedelta] = []

    async def sleep(self, delay: timedelta) -> None:
        self.slept.append(delay)


async def follow(
    *rounds: Round | Exception,
    project: str | None = None,
    deployment: str | None = None,
    clock: FakeClock | None = None,
) -> tuple[int, list[tuple[str, bool]]]:
    view = Shown()
    outage = _Outage(clock or Pauses(), view)
    code = await _follow(cast(Any, Script(*rounds)), "team-a", project, deployment, view, outage)
    return code, view.lines


async def test_it_ends_well_with_the_last_deployment_that_was_at_work() -> None:
    code, lines = await follow(
        (
            [record("one"), record("two"), record("old", "Succeeded")],
            [
                ("MODIFIED", record("one", "Succeeded")),
                ("MODIFIED", record("two", "Succeeded")),
            ],
        )
    )
    assert code == 0
    assert ("old", True) not in lines
    assert lines[-2:] == [("one", True), ("two", True)]


@pytest.mark.parametrize("reason", ["BuildFailed", "Cancelled", "Superseded"])
async def test_anything_but_success_is_exit_1(reason: str) -> None:
    code, _ = await follow(([record("one")], [("MODIFIED", record("one", reason))]))
    assert code == 1


async def test_a_named_deployment_that_has_ended_is_told_at_once() -> None:
    assert (await follow(([record("one", "Succeeded")], []), deployment="one"))[0] == 0
    assert (await follow(([record("one", "BuildFailed")], []), deployment="one"))[0] == 1


async def test_news_of_an_old_deployment_are_not_waited_for() -> None:
    code, lines = await follow(
        (
            [record("old", "Succeeded")],
            [
                ("MODIFIED", record("old", "Succeeded", percent=100)),
                ("ADDED", record("one")),
                ("MODIFIED", record("one", "Succeeded")),
            ],
        )
    )
    assert (code, lines) == (0, [("one", False), ("one", True)])


async def test_other_projects_and_deployments_are_not_shown() -> None:
    events: list[Event] = [("ADDED", record("two", project="other")), ("MODIFIED", record("one", "Succeeded"))]
    code, lines = await follow(([record("one"), record("three", project="other")], events), project="shop")
    assert (code, {name for name, _ in lines}) == (0, {"one"})


async def test_what_ended_while_the_stream_was_cut_is_found_by_the_next_listing() -> None:
    stale = ConflictError("too old", code=410)
    code, _ = await follow(([record("one")], [stale]), ([record("one", "Succeeded")], []))
    assert code == 0
    code, _ = await follow(([record("one")], []), ([record("one", "Succeeded")], []))
    assert code == 0


def away(text: str = "503", after: timedelta | None = None) -> ExternalServiceError:
    return ExternalServiceError(f"Kubernetes: {text}", service="kubernetes", after=after)


async def test_an_outage_is_no_end_of_a_deployment_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    silent, at_work = away("the stream is silent, hunter2"), [record("one")]
    rounds = [(at_work, [silent]), away(), away(), (at_work, [silent]), (at_work, [away()])]
    code, _ = await follow(*rounds, ([record("one", "Succeeded")], []))
    assert code == 0
    said = capsys.readouterr()
    assert said.err == "Waiting until the API server can be watched again: Kubernetes: the stream is silent, ****\n"
    assert said.out == ""


async def test_the_next_outage_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    first: Round = ([record("one")], [away("first")])
    second: Round = ([record("one")], [("MODIFIED", record("one", percent=5)), away("second")])
    assert (await follow(first, second, ([record("one", "BuildFailed")], [])))[0] == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in said] == ["first", "second"]


async def test_pauses_grow_to_a_limit_and_are_as_long_as_the_server_asks() -> None:
    clock = Pauses()
    errors = [away() for _ in range(8)]
    asked = away("429", after=timedelta(seconds=40))
    await follow(([record("one")], [away()]), *errors, asked, ([record("one", "Succeeded")], []), clock=clock)
    assert all(AGAIN.first / 2 <= pause <= AGAIN.longest for pause in clock.slept[:-1])
    assert max(clock.slept[:-1]) > AGAIN.first
    assert clock.slept[-1] == timedelta(seconds=40)


async def test_a_first_listing_that_fails_is_an_error_and_so_is_a_refusal_later() -> None:
    with pytest.raises(ExternalServiceError):
        await follow(away())
    with pytest.raises(CredentialsError):
        await follow(([record("one")], [away()]), CredentialsError("forbidden", status=403))


async def test_a_deployment_that_is_deleted_does_not_keep_it_waiting() -> None:
    assert (await follow(([record("one")], [("DELETED", record("one"))])))[0] == 1
    assert (await follow(([record("one")], []), ([], [])))[0] == 1


async def test_other_conflicts_are_errors() -> None:
    with pytest.raises(ConflictError):
        await follow(([record("one")], [ConflictError("no", code=409)]))


def test_a_line_says_all_that_a_script_needs() -> None:
    item = record("one", step="build", percent=40, etaSeconds=12)
    assert line_of(item) == {
        "deployment": "one",
        "project": "shop",
        "environment": "production",
        "step": "build",
        "percent": 40,
        "eta_seconds": 12,
        "message": "build: at work",
        "url": None,
        "terminal": False,
        "result": None,
        "reason": "Progressing",
    }
    ended = line_of(record("one", "BuildFailed", url="http://x/"))
    assert (ended["terminal"], ended["result"], ended["reason"]) == (True, "Failed", "BuildFailed")
    fresh = line_of({"metadata": {"name": "one"}, "spec": {"projectRef": {"name": "shop"}}})
    assert (fresh["terminal"], fresh["percent"], fresh["reason"]) == (False, 0, None)


async def test_each_line_that_is_printed_is_one_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    at_work = record("one", step="build", percent=40, etaSeconds=12, url="http://x/")
    events: list[Event] = [
        ("ADDED", {"metadata": {"name": "two"}, "spec": {"projectRef": {"name": "shop"}, "environment": "pr-7"}}),
        ("MODIFIED", record("one", "Succeeded", percent=100, etaSeconds=0)),
        ("ADDED", record("three")),
        ("MODIFIED", record("three", "BuildFailed")),
        ("DELETED", {"metadata": {"name": "two"}}),
    ]
    view = JsonView(Redactor(lambda: set()))
    code = await _follow(cast(Any, Script(([at_work], events))), "team-a", None, None, view, _Outage(Pauses(), view))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (code, len(lines)) == (1, 6)
    for line in lines:
        assert WatchLine.model_validate(line).model_dump(mode="json") == line
    assert [line["result"] for line in lines if line["terminal"]] == ["Succeeded", "Failed", "Failed"]


def test_the_schema_has_all_fields_of_a_line_with_words_for_each_and_takes_no_other() -> None:
    schema, line = json.loads(schema_text()), line_of(record())
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(line) == schema["required"]
    assert [name for name, field in schema["properties"].items() if not field.get("description")] == []
    with pytest.raises(ValidationError):
        WatchLine.model_validate({**line, "more": 1})


def test_the_line_of_what_was_deleted_says_so_and_an_end_stays() -> None:
    last = line_of(record("one", step="build", percent=40))
    deleted = {"message": "one was deleted", "terminal": True, "result": "Failed"}
    assert line_of_deleted("one", last) == {**last, **deleted}
    ended = line_of(record("one", "Succeeded"))
    assert line_of_deleted("one", ended) == ended


@pytest.mark.parametrize("message", ["[/tmp] [x]", "[red]no colour[/red] :boom:"])
def test_what_services_say_is_shown_as_it_is(
    message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with BarView(Redactor(lambda: set())) as view:
        view.show({**line_of(record()), "message": message})
    assert message in capsys.readouterr().out


def seen(width: int, *lines: dict[str, Any]) -> str:
    """What a terminal of this width shows in the end."""
    out = StringIO()
    with BarView(Redactor(lambda: {"hunter2"}), Console(file=out, width=width)) as view:
        for line in lines:
            view.show(line)
    return out.getvalue()


AT_WORK = {
    **line_of(record("shop-994a5f38f2")),
    "step": "build",
    "percent": 31,
    "message": "build: build 12 runs: Build",
}


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("name", ["shop-994a5f38f2", "x" * 63])
@pytest.mark.parametrize("message", [AT_WORK["message"], f"build: {'word ' * 40}"])
def test_a_bar_has_its_percentage_in_one_line_however_narrow_the_terminal(width: int, name: str, message: str) -> None:
    (shown,) = seen(width, {**AT_WORK, "deployment": name, "message": message}).splitlines()
    assert " 31% " in shown
    assert "━━━" in shown
    assert shown.startswith("shop/productio")
    assert len(shown) <= width


@pytest.mark.parametrize(
    ("step", "message", "words"),
    [
        ("build", "build: build 12 runs: Build", " build: build 12 runs: Build "),
        ("build", "waits for another", " build: waits for another "),
        (None, "waits for its turn", " waits for its turn "),
    ],
)
def test_the_step_is_named_once(step: str | None, message: str, words: str) -> None:
    shown = seen(120, {**AT_WORK, "step": step, "message": message})
    assert words in shown
    assert "build build" not in shown


def test_what_is_said_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"message": "build: \x1b]0;x\x07\x1b[2Jbuild 12\x9b1A runs"}
    shown = seen(120, {**AT_WORK, **said}, {**AT_WORK, **said, "terminal": True, "result": "Failed"})
    assert "Failed: build: build 12 runs\n" in shown
    assert shown.replace("\n", "").isprintable()
    BarView(Redactor(tuple), Console(file=StringIO())).tell("no \x1b]0;x\x07answer")
    assert capsys.readouterr().err == "no answer\n"


@pytest.mark.parametrize("width", [60, 80])
def test_why_a_deployment_failed_is_said_in_full_once_and_without_secrets(width: int) -> None:
    console_link = "https://jenkins.example.com/job/shop/job/shop/12/console"
    message = f"build: build 12 ended with FAILURE ({'+ docker build [.] ' * 20}hunter2); see {console_link}"
    end = {**AT_WORK, "terminal": True, "result": "Failed", "message": message}
    shown = seen(width, AT_WORK, end, {**AT_WORK, "deployment": "other"}, end)
    told = f"shop/production shop-994a5f38f2: Failed: {message}\n".replace("hunter2", HIDDEN)
    assert shown.count(told) == 1
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("environ", "named", "where"),
    [
        ({}, None, "freeleaps-devops-system"),
        ({"RECONCILER_NAMESPACES": ""}, None, "freeleaps-devops-system"),
        ({"RECONCILER_NAMESPACES": ",shop, qa"}, None, "shop"),
        ({"RECONCILER_NAMESPACES_FILE": "{dir}/RECONCILER_NAMESPACES"}, None, "from-a-file"),
        ({"RECONCILER_SECRETS_DIR": "{dir}"}, None, "from-a-file"),
        ({"RECONCILER_NAMESPACES": "shop"}, "named", "named"),
    ],
)
def test_the_namespace_is_read_as_by_the_operator(
    environ: dict[str, str], named: str | None, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    async def look(settings: object, namespace: str, *_: object) -> int:
        looked.append(namespace)
        return 0

    (tmp_path / "RECONCILER_NAMESPACES").write_text("from-a-file")
    monkeypatch.setattr(importlib.import_module("devops_reconciler.cli.watch"), "_watch", look)
    environ = {name: value.format(dir=tmp_path) for name, value in environ.items()}
    assert watch_deployments(environ, None, None, named, as_json=True) == 0
    assert looked == [where]
