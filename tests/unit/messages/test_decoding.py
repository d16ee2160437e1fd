"""What others have put into messages is read by the real library without an error, and can be published again."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from pamqp import commands, frame
from pamqp.header import ContentHeader

from devops_reconciler.api.conditions import Reason
from devops_reconciler.messages.connection import connect
from devops_reconciler.messages.dead_letters import dead_letter
from devops_reconciler.messages.letter import Letter

from .samples import NOW

CONTENT_TYPE, HEADERS, DELIVERY_MODE, TIMESTAMP, APP_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 6, 1 << 3
"""Flags of properties, which come in this order."""
SECONDS = 1767268800
CLIENT = connect
"""Who can connect has the decoders."""


class _Channel:
    is_closed = False


def header(flags: int, properties: bytes) -> bytes:
    """The frame of a content header."""
    payload = struct.pack(">HHQH", commands.Basic.frame_id, 0, 2, flags) + properties
    return b"\x02" + struct.pack(">HI", 1, len(payload)) + payload + b"\xce"


def table(*entries: tuple[bytes, bytes]) -> bytes:
    content = b"".join(bytes([len(key)]) + key + value for key, value in entries)
    return struct.pack(">I", len(content)) + content


def time(value: int) -> bytes:
    return struct.pack(">Q", value)


def incoming(flags: int, properties: bytes, body: bytes = b"{}") -> IncomingMessage:
    """The message as aio-pika makes it of frames."""
    content = frame.unmarshal(header(flags, properties))[2]
    assert isinstance(content, ContentHeader)
    deliver = commands.Basic.Deliver("c-1", 1, False, "devops", "devops.reconcile")
    return IncomingMessage(DeliveredMessage(deliver, content, body, cast(Any, _Channel())))


KEPT = (b"kept", b"S" + struct.pack(">I", 3) + b"yes")
CASES: dict[str, tuple[int, bytes, dict[str, Any]]] = {
    "seconds": (TIMESTAMP | APP_ID, time(SECONDS) + b"\x01a", {"timestamp": datetime.fromtimestamp(SECONDS, UTC)}),
    "microseconds": (TIMESTAMP | APP_ID, time(SECONDS * 10**6) + b"\x01a", {"timestamp": None, "app_id": "a"}),
    "nanoseconds": (TIMESTAMP | APP_ID, time(SECONDS * 10**9) + b"\x01a", {"timestamp": None, "app_id": "a"}),
    "ticks of .NET": (TIMESTAMP, time(639 * 10**15), {"timestamp": None}),
    "the last": (TIMESTAMP, time(2**64 - 1), {"timestamp": None}),
    "UTF-8": (CONTENT_TYPE, b"\x06text\xc3\xa9", {"content_type": "texté"}),
    "Latin-1": (CONTENT_TYPE | APP_ID, b"\x05text\xe9\x02\xe9a", {"content_type": "text?", "app_id": "?a"}),
    "long Latin-1": (APP_ID, b"\xff" + b"\xe9" * 255, {"app_id": "?" * 255}),
    "a key in Latin-1": (HEADERS, table((b"\xe9", b"t\x01"), KEPT), {"headers": {"?": True, "kept": "yes"}}),
    "a time in headers": (
        HEADERS,
        table((b"at", b"T" + time(SECONDS * 10**6)), KEPT),
        {"headers": {"at": None, "kept": "yes"}},
    ),
    "a time in headers of headers": (
        HEADERS,
        table((b"in", b"F" + table((b"at", b"T" + time(2**64 - 1)), KEPT)), KEPT),
        {"headers": {"in": {"at": None, "kept": "yes"}, "kept": "yes"}},
    ),
    "an unknown type": (
        HEADERS | APP_ID,
        table(KEPT, (b"odd", b"Z\x01"), KEPT) + b"\x01a",
        {"headers": {"kept": "yes"}, "app_id": "a"},
    ),
    "an unknown type inside": (
        HEADERS,
        table((b"in", b"F" + table((b"odd", b"Z\x01"))), KEPT),
        {"headers": {"in": {}, "kept": "yes"}},
    ),
    "a cut value": (HEADERS | APP_ID, table(KEPT, (b"odd", b"T\x01")) + b"\x01a", {"app_id": "a"}),
    "a delivery mode": (DELIVERY_MODE | APP_ID, b"\x03\x01a", {"app_id": "a"}),
}


@pytest.mark.parametrize("case", CASES)
def test_any_property_is_read_or_left_out_and_can_be_published_again(case: str) -> None:
    flags, properties, expected = CASES[case]
    message = incoming(flags, properties)
    assert {name: getattr(message, name) for name in expected} == expected
    assert Letter.of(message).summary(NOW)["size"] == 2
    assert Letter.of(message).again(NOW).properties.marshal()
    buried = dead_letter(message, Reason.INVALID_MESSAGE, "refused", NOW)
    assert buried.body == b"{}"
    assert buried.properties.marshal()


def test_headers_may_be_nested_deeper_than_anybody_can_follow() -> None:
    inner = table(KEPT)
    for _ in range(3000):
        inner = table((b"", b"F" + inner))
    message = incoming(HEADERS | APP_ID, inner + b"\x01a")
    assert message.app_id == "a"
    assert dead_letter(message, Reason.INVALID_MESSAGE, "refused", NOW).properties.marshal()


def test_a_letter_whose_body_names_half_a_character_as_its_type_can_be_listed() -> None:
    letter = Letter.of(incoming(APP_ID, b"\x01a", b'{"event_type": "\\ud800"}'))
    assert str(letter.summary(NOW)).encode()
    assert letter.type == "?"


def test_a_routing_key_may_be_any_bytes() -> None:
    arguments = b"\x03c-1" + struct.pack(">QB", 1, 0) + b"\x06devops" + b"\x02\xe9a"
    payload = struct.pack(">I", commands.Basic.Deliver.index) + arguments
    deliver = frame.unmarshal(b"\x01" + struct.pack(">HI", 1, len(payload)) + payload + b"\xce")[2]
    assert isinstance(deliver, commands.Basic.Deliver)
    assert (deliver.exchange, deliver.routing_key) == ("devops", "?a")
