"""Text of others as people may see it: in conditions and events, at a terminal.

A build's log, a name or an error may hold escape sequences. They colour a terminal's text, but they may also set its
title, clear it, or write over what it shows.
"""

from __future__ import annotations

import re

# ECMA-48: control sequences (colours, the cursor), strings with their end (the title, links), and all other ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


def plain(text: str) -> str:
    """The text without escape sequences, and with a space for each other character that cannot be printed."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    """`plain`, with one space for all white space in a row."""
    return " ".join(plain(text).split())
