"""Text of others as people may see it: it does nothing to a terminal, and says what it said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.plain_text import one_line, plain


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Grüße, 世界 ✓ …", "Grüße, 世界 ✓ …"),
        ("\x1b[31mE\x1b[0m", "E"),
        ("\x1b[1;38;5;196mred\x1b[m \x1b[2J\x1b[H\x1b[?25lok", "red ok"),
        ("\x9b31mE", "E"),
        ("\x1b]0;title\x07E", "E"),
        ("\x1b]0;title\x1b\\E", "E"),
        ("\x9d0;title\x9cE", "E"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\E\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\", "E"),
        ("\x1bcE\x1b(B\x1b7", "E"),
        ("\x1b]0;without an end", "0;without an end"),
        ("\x1b[31", "31"),
        ("E\x1b", "E "),
        ("\x1b\x1b[31mE", " E"),
        ("one\rtwo\nthree\tfour\x00\x7f\u2028\u202e", "one two three four    "),
        ("half \ud800", "half  "),
    ],
)
def test_of_a_text_is_left_what_can_be_printed(text: str, seen: str) -> None:
    assert plain(text) == seen


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x07\x9b\x9c\x9d[]0;m\\"))))
def test_nothing_is_left_that_a_terminal_acts_on(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)


def test_one_line_has_single_spaces() -> None:
    assert one_line(" a\n  b\x1b[0m\t \u00a0c ") == "a b c"
