"""YAML that somebody else wrote, read in bounded time and memory: a document is no longer than its text.

PyYAML reads slowly, on the event loop that all tenants share. So there are bounds beside the length of the text, and no
aliases: by those 500 bytes become a document of gigabytes.
"""

from __future__ import annotations

from typing import Any

import yaml

NODES = 5_000
DEPTH = 32
"""With these the worst 64 KiB that are known take 0.3 s, and without them 4 s: the scanner looks at every level."""
TEXT_LIMIT = 300


class PlainYamlError(Exception):
    """Why the text is not read, in one line, with the line of the fault where there is one."""


class _Loader(yaml.SafeLoader):
    """Refuses while it reads, so that what is refused is never built."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise PlainYamlError(f"line {line}: aliases are not allowed here; write out what stands behind it")
        self._nodes += 1
        self._depth += 1
        if self._nodes > NODES:
            raise PlainYamlError(f"line {line}: more than {NODES} values and keys are not allowed here; take some out")
        if self._depth > DEPTH:
            raise PlainYamlError(f"line {line}: it is nested too deep, more than {DEPTH} levels; make it flatter")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def load_plain(body: bytes) -> Any:
    """The value of the document. Raises PlainYamlError."""
    try:
        return yaml.load(body, _Loader)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # Beside YAMLError comes whatever Python says to a text that is not of the type that it is taken for: bytes that
        # are no text, the date 2024-99-99, `!!bool maybe`, `!!timestamp soon`, `!!int ""`.
        raise PlainYamlError(f"it is not YAML: {_words(error)}") from error


def _words(error: Exception) -> str:
    text = str(error) if isinstance(error, yaml.YAMLError | ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:TEXT_LIMIT]
