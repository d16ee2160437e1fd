"""`watch`: it shows what is at work, ends with it, and its exit code says how."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from devops_reconciler.api.errors import ConflictError
from devops_reconciler.cli.watch import _follow, _View, line_of
from devops_reconciler.services.kubernetes import Kind, Listing

Event = tuple[str, dict[str, Any]] | Exception


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
    """An API server that gives these listings, each followed by these events."""

    def __init__(self, *rounds: tuple[list[dict[str, Any]], list[Event]]) -> None:
        self._rounds = list(rounds)
        self._events: list[Event] = []

    async def listing(self, kind: Kind, namespace: str | None) -> Listing:
        assert self._rounds, "it should have ended by now"
        items, self._events = self._rounds.pop(0)
        return Listing(items, "1")

    async def watch(
        self, kind: Kind, namespace: str | None, *, resource_version: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            yield event


class Shown(_View):
    """A view that keeps what it shows."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        self.lines.append((line["deployment"], line["terminal"]))
        return line


async def follow(
    *rounds: tuple[list[dict[str, Any]], list[Event]], project: str | None = None, deployment: str | None = None
) -> tuple[int, list[tuple[str, bool]]]:
    view = Shown()
    code = await _follow(cast(Any, Script(*rounds)), "team-a", project, deployment, view)
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
