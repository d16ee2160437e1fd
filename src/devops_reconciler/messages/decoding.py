"""Reading what others have put into messages, whatever it is.

RabbitMQ passes properties on as they came, such as a `timestamp` in microseconds or a text in Latin-1. pamqp raises for
them, and aiormq then ends the connection, with everything on it that is not acknowledged: such a message would come
again and again, and take all around it along to the dead-letter queue. At an unknown delivery mode, which RabbitMQ 3.10
refuses but AMQP 0-9-1 does not, aio-pika fails in a task of its own: the message would stay unacknowledged and unseen.

Neither library has a hook for that, so `be_tolerant` replaces decoders in pamqp's tables, for this process. What means
nothing is absent, what is not UTF-8 has question marks; the body is not touched. Only the broker can still send what
ends a connection: a frame that is not AMQP.
"""

from __future__ import annotations

from datetime import datetime

from pamqp import commands, common, decode

_MODES = (None, 1, 2)
"""Delivery modes that AMQP knows; aio-pika fails at others."""
_read_properties = commands.Basic.Properties.unmarshal


def be_tolerant() -> None:
    """From now on no property of a message ends a connection. Doing it again changes nothing."""
    decode.METHODS.update({"shortstr": _text, "timestamp": _time, "table": _table})
    decode.TABLE_MAPPING.update({b"T": _time, b"F": _table})
    commands.Basic.Properties.unmarshal = _properties  # type: ignore[method-assign,assignment]


def _text(value: bytes) -> tuple[int, str]:
    """A short string. Never longer than it came, in bytes: as a property of a dead letter it must fit again."""
    end = 1 + common.Struct.byte.unpack_from(value)[0]
    try:
        return end, value[1:end].decode()
    except ValueError:
        return end, value[1:end].decode("ascii", errors="replace").replace("\ufffd", "?")


def _time(value: bytes) -> tuple[int, datetime | None]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return common.Struct.timestamp.size, None


def _table(value: bytes) -> tuple[int, common.FieldTable]:
    """Headers. From a value of an unknown type on, nothing is known of the rest of its table."""
    end = 4 + common.Struct.ulong.unpack_from(value)[0]
    table: common.FieldTable = {}
    at = 4
    while at < end:
        used, key = _text(value[at:end])
        at += used
        try:
            used, table[key] = decode.embedded_value(value[at:end])
        except Exception:  # noqa: BLE001 - whatever it is, it is nothing that we could take
            break
        at += max(used, 1)
    return end, table


def _properties(self: commands.Basic.Properties, flags: int, data: bytes) -> None:
    _read_properties(self, flags, data)
    if self.delivery_mode not in _MODES:
        self.delivery_mode = None
