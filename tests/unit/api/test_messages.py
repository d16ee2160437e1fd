"""The messages: what is taken, what is refused with which words, and what goes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devops_reconciler.api.messages import (
    Action,
    EventType,
    HeartbeatMessage,
    HeartbeatPayload,
    InitializeMessage,
    ReconcileMessage,
    Result,
    heartbeat_id,
    heartbeat_routing_key,
    json_schemas,
    parse,
    unknown_fields,
)

INITIALIZE: dict[str, Any] = {
    "event_type": "DevOpsInitialize",
    "event_id": "e-1",
    "timestamp": "2026-01-01T00:00:00Z",
    "payload": {
        "project": "shop",
        "spec": {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}},
    },
}


def _reconcile(**payload: Any) -> bytes:
    message = {
        "event_type": "DevOpsReconcile",
        "event_id": "e-2",
        "timestamp": "2026-01-01T00:00:00Z",
        "payload": {"project": "shop", "action": "deploy", **payload},
    }
    return json.dumps(message).encode()


def test_reads_initialize_and_leaves_the_spec_as_it_is() -> None:
    message = parse(json.dumps(INITIALIZE).encode())
    assert isinstance(message, InitializeMessage)
    assert message.payload.spec == INITIALIZE["payload"]["spec"]
    assert message.payload.namespace is None
    assert message.timestamp == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_spec_that_only_the_api_server_can_judge_passes() -> None:
    body = json.dumps({**INITIALIZE, "payload": {"project": "shop", "spec": {"newField": 1}}}).encode()
    message = parse(body)
    assert isinstance(message, InitializeMessage)
    assert message.payload.spec == {"newField": 1}


def test_reads_a_deployment_of_a_preview() -> None:
    message = parse(_reconcile(environment="pr-7", revision="main", ttl="2h", requested_by="somebody"))
    assert isinstance(message, ReconcileMessage)
    assert message.payload.action is Action.DEPLOY
    assert message.payload.ttl == timedelta(hours=2)


def test_the_environment_is_production_where_none_is_named() -> None:
    message = parse(_reconcile())
    assert isinstance(message, ReconcileMessage)
    assert message.payload.environment == "production"


@pytest.mark.parametrize(
    "payload",
    [
        {"action": "deploy", "concurrency_policy": "Replace"},
        {"action": "rollback", "to": "lastHealthy"},
        {"action": "rollback", "to": "shop-abc123"},
        {"action": "cancel"},
        {"action": "cancel", "deployment": "shop-abc123"},
        {"action": "extend", "environment": "pr-7", "ttl": 3600},
        {"action": "extend", "deployment": "shop-abc123", "ttl": "1h"},
        {"action": "delete", "environment": "pr-7"},
        {"action": "deploy", "environment": None} | {"environment": "pr-7", "revision": None},
    ],
)
def test_takes_each_action(payload: dict[str, Any]) -> None:
    message = parse(_reconcile(**payload))
    assert isinstance(message, ReconcileMessage)
    assert message.payload.action == payload["action"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object: send event_type"),
        (b'"x"', "not a JSON object"),
        (b"{}", "unknown event_type"),
        (b'{"event_type": ["DevOpsReconcile"]}', "unknown event_type"),
        (b'{"event_type": "Other"}', "unknown event_type 'Other': send one of DevOpsInitialize, DevOpsReconcile$"),
        (b'{"event_type": "DevOpsReconcileJobHeartbeat"}', "unknown event_type"),
        (b'{"event_type": "DevOpsReconcile"}', "event_id: Field required; timestamp: Field required; payload: Field"),
        (_reconcile(action="explode"), "payload.action: .*'deploy', 'rollback', 'cancel', 'extend' or 'delete'"),
        (_reconcile(project="Shop"), "payload.project: use a DNS label of at most 30"),
        (_reconcile(environment="x" * 31), "payload.environment: is 31 characters long"),
        (_reconcile(revision="--upload-pack=x"), "payload.revision: use a branch, a tag or a commit"),
        (_reconcile(environment="pr-7", ttl="soon"), "payload.ttl: use a length of time"),
        (_reconcile(ttl="2h"), "payload: `ttl` is for previews"),
        (_reconcile(action="rollback"), "payload: action rollback needs `to`"),
        (_reconcile(action="extend", environment="pr-7"), "payload: action extend needs `ttl`"),
        (_reconcile(action="extend", ttl="1h"), "payload: action extend is for previews"),
        (_reconcile(concurrency_policy="Race"), "payload.concurrency_policy: .*'Queue', 'Replace' or 'Forbid'"),
        (json.dumps({**INITIALIZE, "timestamp": "2026-01-01T00:00:00"}).encode(), "timestamp: .*timezone"),
        (json.dumps({**INITIALIZE, "event_id": ""}).encode(), "event_id: .*at least 1"),
        (json.dumps({**INITIALIZE, "payload": {"project": "shop", "spec": 1}}).encode(), "payload.spec: .*dictionary"),
        (json.dumps({**INITIALIZE, "payload": {"project": "shop"}}).encode(), "payload.spec: Field required"),
    ],
    ids=range(26),
)
def test_refuses_and_tells_where_and_what(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(body)


def test_an_error_quotes_no_value() -> None:
    with pytest.raises(ValueError, match=r"payload\.project") as caught:
        parse(_reconcile(project="s3cret/", revision="s3cret:", ttl="s3cret", environment="s3cret/"))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=200))
def test_whatever_comes_in_is_a_message_or_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(body)


def test_unknown_fields_are_ignored_and_named() -> None:
    message = parse(_reconcile(colour="red", more={"deep": 1}).replace(b'"event_id"', b'"trace": 1, "event_id"'))
    assert unknown_fields(message) == ["payload.colour", "payload.more", "trace"]
    assert unknown_fields(parse(_reconcile())) == []


def _heartbeat(**more: Any) -> HeartbeatMessage:
    payload = {
        "project": "shop",
        "deployment": "shop-abc123",
        "environment": "pr-7",
        "trigger_event_id": "e-2",
        "sequence": 7,
        "step": "build",
        "state": "Running",
        "percent": 40,
        "eta_seconds": 35,
        "message": "läuft",
        **more,
    }
    return HeartbeatMessage(
        event_id="uid-7",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        payload=HeartbeatPayload.model_validate(payload),
    )


def test_a_heartbeat_has_exactly_the_published_fields() -> None:
    body = json.loads(_heartbeat().body())
    assert list(body) == ["event_type", "event_id", "timestamp", "payload"]
    assert body["event_type"] == "DevOpsReconcileJobHeartbeat"
    assert body["timestamp"] == "2026-01-01T00:00:00Z"
    assert body["payload"] == {
        "project": "shop",
        "deployment": "shop-abc123",
        "environment": "pr-7",
        "trigger_event_id": "e-2",
        "sequence": 7,
        "step": "build",
        "state": "Running",
        "percent": 40,
        "eta_seconds": 35,
        "message": "läuft",
        "url": None,
        "reason": None,
        "terminal": False,
        "result": None,
    }


def test_a_heartbeat_says_the_namespace_beside_the_project() -> None:
    payload = json.loads(_heartbeat(namespace="team").body())["payload"]
    assert list(payload)[:3] == ["project", "namespace", "deployment"]
    assert payload["namespace"] == "team"


def test_a_tick_says_its_number() -> None:
    assert json.loads(_heartbeat(tick=2).body())["payload"]["tick"] == 2


def test_a_heartbeat_survives_being_saved() -> None:
    message = _heartbeat(terminal=True, result="Succeeded", state="Succeeded")
    again = HeartbeatMessage.model_validate_json(message.body())
    assert again == message
    assert again.body() == message.body()
    assert again.payload.result is Result.SUCCEEDED


@pytest.mark.parametrize(
    "more", [{"terminal": True}, {"result": "Failed"}, {"sequence": 0}, {"tick": 0}, {"percent": 101}, {"state": "Odd"}]
)
def test_a_heartbeat_that_contradicts_itself_is_not_made(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _heartbeat(**more)


def test_identity_and_address_of_a_heartbeat() -> None:
    assert heartbeat_id("uid", 7) == "uid-7"
    assert heartbeat_id("uid", 7, 2) == "uid-7-2"
    assert heartbeat_routing_key("shop", "shop-abc123") == "shop.shop-abc123"


def test_the_schemas_describe_all_three_and_nothing_of_kubernetes() -> None:
    schemas = json_schemas()
    assert set(schemas) == {event_type.value for event_type in EventType}
    text = json.dumps(schemas)
    assert "x-" not in {key[:2] for key in _keys(schemas)}
    assert "DevOpsProjectSpec" in text
    for name, schema in schemas.items():
        assert schema["properties"]["event_type"]["const"] == name
        assert schema["$schema"].endswith("2020-12/schema")


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set(node).union(*(_keys(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_keys(value) for value in node))
    return set()


def test_the_schema_of_a_spec_is_the_one_of_the_project() -> None:
    schema = json_schemas()["DevOpsInitialize"]
    spec = schema["$defs"]["InitializePayload"]["properties"]["spec"]
    assert spec["$ref"] == "#/$defs/DevOpsProjectSpec"
    assert schema["$defs"]["PreviewsBlock"]["properties"]["ttl"]["default"] == "24h"


def test_the_schema_knows_what_an_action_needs() -> None:
    rules = json_schemas()["DevOpsReconcile"]["$defs"]["ReconcilePayload"]["allOf"]
    needed = {rule["if"]["properties"]["action"]["const"]: rule["then"]["required"] for rule in rules}
    assert needed == {"rollback": ["to"], "extend": ["ttl"]}
