"""Lengths of time as users write them: whole seconds, or `90s`, `15m`, `24h`, `7d`, `1h30m`."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

PATTERN = r"^([0-9]{1,9}|([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?)$"
LONGEST = timedelta(days=3650)
SAYS = "use a length of time above zero: seconds as a number, or like 90s, 15m, 24h, 7d; at most 3650d"

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SHOWN = ("h", "m", "s")
_ENDINGS = {"d": "d", "h": "h", "m": "m", "s": "s?$"}
_SUM = " + ".join(
    f"int('0' + self.find('[0-9]+{ending}').find('[0-9]+')) * {_UNITS[unit]}" for unit, ending in _ENDINGS.items()
)
"""The seconds of a text that fits the pattern, in CEL."""


def parse_duration(value: object) -> timedelta:
    """The time that `value` (text, seconds as a number, or a `timedelta`) means. Raises `ValueError` for people."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and value and re.fullmatch(PATTERN, value):
        parts = re.findall(r"([0-9]+)([dhms]?)", value)
        seconds = sum(int(count) * _UNITS[unit or "s"] for count, unit in parts)
    else:
        raise ValueError(SAYS)
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(SAYS)
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest text in one unit; a part of a second counts as a whole one."""
    seconds = math.ceil(value.total_seconds())
    unit = next(unit for unit in _SHOWN if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


class _DurationForm:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            parse_duration,
            serialization=core_schema.plain_serializer_function_ser_schema(
                format_duration, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "minimum": 1,
            "maximum": int(LONGEST.total_seconds()),
            "pattern": PATTERN,
            "minLength": 1,
            "maxLength": 32,
            "x-kubernetes-validations": [
                {
                    "rule": f"type(self) == int || (self.matches(r'{PATTERN}') && self.matches('[1-9]'))",
                    "message": SAYS,
                },
                # A rule of its own: older API servers reckon the cost of each with a text as long as a request.
                {"rule": f"type(self) == int || {_SUM} <= {int(LONGEST.total_seconds())}", "message": SAYS},
            ],
        }


Duration = Annotated[timedelta, _DurationForm()]
"""A length of time in a spec or a message: `timedelta` inside, short text outside."""
