"""What goes out: heartbeats as they are built, dead letters as they are wrapped, triggers as they are made."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractIncomingMessage
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.heartbeat import heartbeat, heartbeat_body, ticked
from devops_reconciler.api.messages import (
    Action,
    HeartbeatMessage,
    InitializeMessage,
    ReconcileMessage,
    only_present,
    parse,
)
from devops_reconciler.messages.dead_letters import ERROR_LIMIT, dead_letter
from devops_reconciler.messages.publish import initialize_message, reconcile_message

from .samples import NOW, SPEC


def _beat(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "at": NOW,
        "step": "build",
        "state": "Running",
        "percent": 40,
        "eta_seconds": 35,
        "message": "Läuft.",
        "url": None,
        "reason": None,
    }
    return heartbeat("u-1", "shop", "shop-abc", "production", "e-1", 7, **(arguments | changes))


def test_a_heartbeat_is_a_message_of_the_schema() -> None:
    message = HeartbeatMessage.model_validate_json(heartbeat_body(_beat()))
    assert message.event_id == "u-1-7"
    assert message.timestamp == NOW
    assert only_present(message.payload.model_dump(mode="json")) == _beat()["payload"]
    assert b"tick" not in heartbeat_body(_beat())


def test_the_body_is_the_same_whatever_the_api_server_made_of_the_entry() -> None:
    entry = _beat()
    sorted_keys = json.loads(json.dumps(entry, sort_keys=True))
    without_nulls = {**entry, "payload": {key: value for key, value in entry["payload"].items() if value is not None}}
    assert heartbeat_body(entry) == heartbeat_body(sorted_keys) == heartbeat_body(without_nulls)


def test_the_body_keeps_what_a_newer_version_wrote() -> None:
    entry = {**_beat(), "later": 1}
    entry["payload"] = {**entry["payload"], "also": 2}
    body = json.loads(heartbeat_body(entry))
    assert (body["later"], body["payload"]["also"]) == (1, 2)


def test_an_entry_that_an_older_version_saved_goes_out_as_it_would_have() -> None:
    assert b'"project":"shop","deployment":"shop-abc"' in heartbeat_body(_beat())
    assert b'"project":"shop","namespace":"team","deployment"' in heartbeat_body(_beat(namespace="team"))


def test_a_tick_changes_nothing_but_the_tick() -> None:
    entry = _beat()
    body = json.loads(heartbeat_body(ticked(entry, 3)))
    assert body["payload"].pop("tick") == 3
    assert body == json.loads(heartbeat_body(entry))
    assert "tick" not in entry["payload"]


def test_timestamps_are_utc_to_the_millisecond() -> None:
    at = datetime.fromisoformat("2026-01-01T14:00:00.123456+02:00")
    assert _beat(at=at)["timestamp"] == "2026-01-01T12:00:00.123Z"


def test_a_terminal_heartbeat_has_a_result() -> None:
    assert _beat(terminal=True, state="Failed", result="Failed")["payload"]["result"] == "Failed"
    with pytest.raises(ValueError, match="a terminal heartbeat has a result"):
        _beat(terminal=True)
    with pytest.raises(ValueError, match="less than or equal to 100"):
        _beat(percent=101)


class _Delivered:
    """An incoming message, as far as a dead letter looks at it."""

    def __init__(self, body: bytes = b"{", headers: dict[str, Any] | None = None) -> None:
        self.body = body
        self.headers = headers or {}
        self.exchange, self.routing_key = "devops", "devops.reconcile"
        self.content_type, self.content_encoding = "application/json", "utf-8"
        self.correlation_id, self.reply_to, self.app_id = "c-1", "r-1", "a-1"
        self.message_id, self.type, self.timestamp = "m-1", "Whatever", NOW


def _wrapped(delivered: _Delivered, error: str = "wrong") -> Any:
    return dead_letter(cast(AbstractIncomingMessage, delivered), Reason.INVALID_MESSAGE, error, NOW)


@given(st.binary(max_size=2000))
def test_a_dead_letter_is_the_message_byte_for_byte(body: bytes) -> None:
    assert _wrapped(_Delivered(body)).body == body


def test_a_dead_letter_says_why_and_where_it_was() -> None:
    wrapped = _wrapped(_Delivered(headers={"trace": "t-1", "x-reason": "forged", "list": [1], "long": "x" * 1000}))
    assert wrapped.headers == {
        "trace": "t-1",
        "x-reason": "InvalidMessage",
        "x-error": "wrong",
        "x-original-exchange": "devops",
        "x-original-routing-key": "devops.reconcile",
        "x-dead-since": NOW.isoformat(timespec="milliseconds"),
    }
    assert (wrapped.message_id, wrapped.type, wrapped.timestamp) == ("m-1", "Whatever", NOW)


@pytest.mark.parametrize("error", ["x" * 100_000, "a lone surrogate \ud800"])
def test_an_error_of_any_kind_fits_into_the_header(error: str) -> None:
    text = _wrapped(_Delivered(), error).headers["x-error"]
    assert len(text) <= ERROR_LIMIT
    assert text.encode()


def test_the_messages_of_the_command_are_taken_by_the_operator() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = parse(json.dumps(initialize_message("shop", SPEC, "team-a")).encode())
    assert isinstance(made, InitializeMessage)
    assert (made.payload.namespace, made.payload.spec) == ("team-a", SPEC)
    assert made.timestamp > before
    asked = parse(json.dumps(reconcile_message("shop", "rollback", to="lastHealthy", ttl=None)).encode())
    assert isinstance(asked, ReconcileMessage)
    assert asked.payload.action is Action.ROLLBACK
    assert "ttl" not in asked.payload.model_fields_set
    assert asked.event_id != made.event_id
