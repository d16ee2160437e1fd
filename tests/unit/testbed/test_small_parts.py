"""Audit lines, waiting, and the comparison of generated files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from testbed import fresh
from testbed.audit import AuditLog
from testbed.kube_api import KubeApiError
from testbed.waiting import eventually


def line(user: str, verb: str = "get") -> str:
    event = {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": user},
        "requestURI": "/api/v1/namespaces/a/secrets/b?x=1",
        "requestReceivedTimestamp": "2026-05-01T10:00:00.000123Z",
        "objectRef": {"resource": "secrets", "namespace": "a", "name": "b"},
        "responseStatus": {"code": 200},
    }
    return json.dumps(event) + "\n"


def test_the_audit_log_is_read_by_user_and_position(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.path.write_text(line("admin") + line("operator"))
    position = log.position()
    with log.path.open("a") as file:
        file.write(line("operator", verb="update") + line("operator")[:20])
    assert [event.verb for event in log.events(user="operator")] == ["get", "update"]
    (event,) = log.events(since=position)
    assert (event.user, event.verb, event.resource, event.namespace, event.name, event.code) == (
        ("operator", "update", "secrets", "a", "b", 200)
    )
    assert event.received == datetime(2026, 5, 1, 10, 0, 0, 123, tzinfo=UTC)


async def test_eventually_gives_the_first_true_answer() -> None:
    answers: Iterator[int] = iter([0, 0, 7, 8])

    async def probe() -> int:
        return next(answers)

    assert await eventually(probe, "seven") == 7


async def test_eventually_says_what_did_not_come_true() -> None:
    async def probe() -> list[int]:
        return []

    with pytest.raises(TimeoutError, match=r"the list is filled: not within 0 s; the last answer was \[\]"):
        await eventually(probe, "the list is filled", timedelta(0))


def test_an_api_error_reads_well_with_and_without_a_status_object() -> None:
    refused = KubeApiError("GET", "/x", 403, json.dumps({"reason": "Forbidden", "message": "not you"}))
    assert str(refused) == "GET /x: 403 Forbidden: not you"
    assert "bad gateway" in str(KubeApiError("GET", "/x", 502, "bad gateway"))


def test_a_stale_generated_file_is_shown() -> None:
    current = (fresh.ROOT / "LICENSE").read_text()
    assert fresh.difference("LICENSE", current) == ""
    assert "+another line" in fresh.difference("LICENSE", "another line\n" + current)
    assert "+new" in fresh.difference("no-such-file", "new\n")
