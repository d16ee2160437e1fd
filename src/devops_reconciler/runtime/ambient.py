"""What holds for all that is done inside a block, without being handed through every call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ambient(variable: ContextVar[T], value: T) -> Iterator[None]:
    """The variable has this value inside, in tasks that are begun inside too; afterwards the one of before."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
