"""Waiting for something that becomes true by itself."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
POLL = timedelta(milliseconds=50)
DEADLINE = timedelta(seconds=30)
PROBE_TIMEOUT = timedelta(seconds=5)


async def eventually(probe: Callable[[], Awaitable[T]], what: str, deadline: timedelta = DEADLINE) -> T:
    """Asks ``probe`` again and again until its answer is true, and returns that answer.

    Raises :class:`TimeoutError` with ``what`` and the last answer when the deadline passes. Errors of ``probe`` pass
    through: a probe that may fail on the way catches what it expects.
    """
    give_up = time.monotonic() + deadline.total_seconds()
    while True:
        answer = await probe()
        if answer:
            return answer
        if time.monotonic() > give_up:
            raise TimeoutError(f"{what}: not within {deadline.total_seconds():.0f} s; the last answer was {answer!r}")
        await asyncio.sleep(POLL.total_seconds())


def answers(url: str) -> bool:
    """Whether a GET is answered with 200, straight and not through a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), opener.open(url, timeout=PROBE_TIMEOUT.total_seconds()) as answer:
        return bool(answer.status == 200)
    return False


def connects(host: str, port: int) -> bool:
    """Whether something listens there."""
    with suppress(OSError), socket.create_connection((host, port), PROBE_TIMEOUT.total_seconds()):
        return True
    return False
