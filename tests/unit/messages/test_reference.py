"""The page about messages says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.messages import Action, EventType, HeartbeatMessage, parse
from devops_reconciler.messages import cluster, dead_letters
from devops_reconciler.messages.inbox import BODY_LIMIT
from devops_reconciler.messages.replayed import REPLAYED_HEADER
from devops_reconciler.messages.topology import DELIVERY_LIMIT, ROUTING_KEYS, dead_name, queue_arguments

from .samples import settings

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "messages.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["event_id"]))
def test_every_example_is_a_message(example: dict[str, Any]) -> None:
    if example["event_type"] == EventType.DEVOPS_RECONCILE_HEARTBEAT:
        assert HeartbeatMessage.model_validate(example).payload.sequence == 7
    else:
        assert parse(json.dumps(example).encode()).event_id == example["event_id"]


def test_there_is_an_example_of_each_type() -> None:
    assert {example["event_type"] for example in EXAMPLES} == set(EventType)


def test_the_names_at_the_broker_are_those_that_are_declared() -> None:
    defaults = settings()
    names = [defaults.rabbitmq_exchange, defaults.rabbitmq_queue, dead_name(defaults)]
    for name in [*names, defaults.rabbitmq_heartbeat_exchange, *ROUTING_KEYS.values()]:
        assert f"`{name}`" in PAGE
    assert f"delivery limit {DELIVERY_LIMIT}" in PAGE
    assert queue_arguments(defaults)["x-dead-letter-exchange"] == "devops.reconciler.dead"


def test_the_limits_actions_and_headers_are_there() -> None:
    assert f"at most {BODY_LIMIT} bytes" in PAGE
    assert f"`TRIGGER_MAX_AGE` ({settings().trigger_max_age.days} days)" in PAGE
    for action in Action:
        assert f"| `{action}` |" in PAGE
    headers = (dead_letters.REASON_HEADER, dead_letters.ERROR_HEADER, dead_letters.EXCHANGE_HEADER, REPLAYED_HEADER)
    for header in headers:
        assert f"`{header}`" in PAGE
    times = (cluster.EVENT_TIMESTAMP, cluster.EXTENDED_AT)
    for annotation in (cluster.EVENT_ID, *times, cluster.CANCEL_EVENT_ID, cluster.DELETIONS):
        assert f"| `{annotation}` |" in PAGE


def test_every_reason_of_a_dead_letter_is_one_of_the_enumeration() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and "dead letter, " in line]
    named = {word for row in rows for word in re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", row)}
    assert named
    assert named <= {reason.value for reason in Reason}
