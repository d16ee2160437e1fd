"""The end of a build's log: little is kept of it, and nothing is read without an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import repeat

import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import Redactor
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins
from devops_reconciler.services.jenkins_log import KEPT, LINE_LIMIT, READ_LIMIT, READ_TIME, UNREAD, last_lines

from .http_script import SECRET

JOB = ("shop", "web")
MIB = 1024 * 1024
HIDE = Redactor(lambda: [SECRET])


class Logging:
    """A transport that gives a log piece by piece, and counts what is taken of it."""

    def __init__(self, chunks: Iterable[bytes], clock: FakeClock, pause: timedelta = timedelta(0)) -> None:
        self._chunks = chunks
        self._clock = clock
        self._pause = pause
        self.asked: list[Request] = []
        self.taken = 0

    async def send(self, request: Request) -> Response:
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        self.asked.append(request)
        yield Response(200, {"content-type": "text/plain"}), self._all()

    async def _all(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += len(chunk)
            self._clock.advance(self._pause)
            yield chunk

    async def close(self) -> None:
        return None


def reading(chunks: Iterable[bytes], pause: timedelta = timedelta(0)) -> tuple[Jenkins, Logging]:
    clock = FakeClock()
    transport = Logging(chunks, clock, pause)
    http = Http("jenkins", "https://ci.example.com", transport, clock).hiding(HIDE)
    return Jenkins(http, username=lambda: "operator", token=lambda: "t0ken"), transport


@pytest.mark.parametrize("chunk", [b"x" * MIB, b"a line\n" * 100_000])
async def test_a_log_without_an_end_is_left_and_that_is_said(chunk: bytes) -> None:
    client, transport = reading(repeat(chunk))
    assert await client.log_tail(JOB, 1, 3) == [UNREAD]
    assert transport.taken <= READ_LIMIT + len(chunk)


async def test_a_log_that_comes_too_slowly_is_left() -> None:
    client, transport = reading(repeat(b"a line\n"), pause=timedelta(seconds=1))
    assert await client.log_tail(JOB, 1, 3) == [UNREAD]
    assert transport.taken <= (READ_TIME.total_seconds() + 1) * len(b"a line\n")


async def test_a_log_is_asked_for_as_it_is() -> None:
    """Packed, its limits would be those of what is sent and not of what it becomes."""
    client, transport = reading([b"a line\n"])
    assert await client.log_tail(JOB, 1, 3) == ["a line"]
    assert transport.asked[0].headers["Accept-Encoding"] == "identity"
    assert not transport.asked[0].by_line


async def test_lines_and_characters_may_be_cut_anywhere_on_the_way() -> None:
    def bytes_of(text: str) -> Iterator[bytes]:
        return (bytes([byte]) for byte in text.encode())

    client, _ = reading(bytes_of("one\r\n\r\n  \nzwölf \n" + "drei"))
    assert await client.log_tail(JOB, 1, 2) == ["zwölf", "drei"]


@pytest.mark.parametrize("size", [KEPT - 10, KEPT, 3 * KEPT, 10 * MIB])
async def test_of_a_log_in_one_line_the_end_is_quoted(size: int) -> None:
    client, _ = reading([b"x" * (size // 2), b"y" * (size // 2), b"\n"])
    (line,) = await client.log_tail(JOB, 1, 3)
    assert len(line) == LINE_LIMIT + 1


def test_a_secret_that_a_cut_goes_through_does_not_show() -> None:
    for at in range(len(SECRET)):
        end = (SECRET[at:] + "\n" + "x" * KEPT)[:KEPT] + "\nthe end"
        assert last_lines(end.encode(), 9, HIDE) == ["the end"]
    within = "x" * (LINE_LIMIT - 5) + SECRET
    assert last_lines(within.encode(), 1, HIDE) == ["x" * (LINE_LIMIT - 5) + "****"]


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        (b"\x1b[31mE\x1b[0m\n", ["E"]),
        (b"E\n\x1b[0m\n", ["E"]),
        (b"\x1b]0;title\x07  10 %\r  20 %\r\n", ["  10 %   20 %"]),
        (f"\x1b[31m{SECRET[:3]}\x1b[0m{SECRET[3:]}".encode(), ["****"]),
        (b"\x1b[31m" + b"x" * 2 * KEPT + b"\x1b[0m\n", ["…" + "x" * LINE_LIMIT]),
    ],
)
def test_lines_do_nothing_to_a_terminal(end: bytes, lines: list[str]) -> None:
    assert last_lines(end, 1, HIDE) == lines
