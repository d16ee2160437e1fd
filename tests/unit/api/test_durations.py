"""Durations: what users may write, and what comes back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.durations import LONGEST, PATTERN, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("24h", 86400),
        ("7d", 604800),
        ("1h30m", 5400),
        ("1h0m0s", 3600),
        (timedelta(seconds=5), 5),
        ("3650d", 315360000),
    ],
)
def test_reads(written: object, seconds: int) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "0",
        "0s",
        0,
        -1,
        True,
        None,
        1.5,
        "1.5h",
        "h",
        "5 m",
        "5M",
        "1m1h",
        "-5m",
        "3651d",
        "9" * 10,
        "5m\n",
        [],
        "٣s",
    ],
)
def test_refuses_and_tells_what_to_write(written: object) -> None:
    with pytest.raises(ValueError, match="like 90s, 15m, 24h, 7d"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86400, "24h"), (604800, "168h"), (0.2, "1s")],
)
def test_writes_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(min_value=1, max_value=int(LONGEST.total_seconds())))
def test_what_is_written_is_read_back_and_fits_the_pattern(seconds: int) -> None:
    text = format_duration(timedelta(seconds=seconds))
    assert re.fullmatch(PATTERN, text)
    assert parse_duration(text) == timedelta(seconds=seconds)
