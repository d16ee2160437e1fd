"""Which codes of failed calls the alerts know, of all that the clients give."""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import timedelta

import aiohttp
import pytest

from devops_reconciler.api.errors import ReconcilerError, ValidationError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git, GitCredentials
from devops_reconciler.services.git_errors import failure, late
from devops_reconciler.services.git_process import Finished, Repository
from devops_reconciler.services.http import Response
from tests.unit.services.http_script import Script, http, refused_connection

from .test_alerts import P, rules

URL = "https://git.example.com/shop.git"
LOGIN = GitCredentials("reader", "s3cret-value", ours=True)
PROJECTS = GitCredentials("team", "s3cret-value")


def known(alert: str, code: str, service: str = "git") -> bool:
    """Whether the alert counts calls that end with this code."""
    for selector in re.findall(rf"{P}vendor_calls_total{{([^}}]*)}}", rules()[alert]["expr"]):
        matchers = re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', selector)
        values = {"code": code, "service": service, "operation": "resolve"}
        judged = [
            (re.fullmatch(wanted, values[label]) is not None) ^ (sign == "!=") for label, sign, wanted in matchers
        ]
        if all(judged):
            return True
    return False


class Codes:
    """An observer that keeps the codes."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, service: str, operation: str, code: str, seconds: float) -> None:
        self.seen.append(code)


async def of_http(answer: Response | Exception) -> str:
    codes = Codes()
    with contextlib.suppress(ReconcilerError):
        await http(Script(answer), observer=codes).request("get thing", "GET", "/x")
    (code,) = codes.seen
    return code


async def of_git(error: BaseException | None, login: GitCredentials | None = None) -> str:
    """The code of a call that fails so while the host is looked up; None: in which nothing comes."""
    codes = Codes()

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        if error is not None:
            raise error
        await asyncio.Event().wait()
        return ()

    git = Git(
        [GitHost.parse("git.example.com")],
        SystemClock(),
        timeout=timedelta(milliseconds=10),
        observer=codes,
        resolve=resolve,
    )
    with pytest.raises((ReconcilerError, asyncio.CancelledError)):
        await git.resolve(URL, "main", login)
    (code,) = codes.seen
    return code


LOST: list[Exception] = [
    TimeoutError(),
    ConnectionResetError(),
    BrokenPipeError(),
    OSError(),
    refused_connection(),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ServerTimeoutError(),
    aiohttp.SocketTimeoutError(),
    aiohttp.ConnectionTimeoutError(),
    aiohttp.ClientConnectionResetError(),
    aiohttp.ClientOSError(),
    aiohttp.ClientPayloadError(),
]


@pytest.mark.parametrize("error", LOST, ids=[type(each).__name__ for each in LOST])
async def test_a_call_that_got_no_answer_counts_as_failing(error: Exception) -> None:
    assert known("ReconcilerCallsFailing", await of_http(error))


@pytest.mark.parametrize(
    "status", [200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503, 504]
)
async def test_an_answer_counts_as_failing_where_the_service_is_ill(status: int) -> None:
    code = await of_http(Response(status))
    assert known("ReconcilerCallsFailing", code) == (status in (408, 425) or status >= 500)
    assert known("ReconcilerCredentialsRefused", code) == (status == 401)


def ended(code: int, words: str, login: GitCredentials | None = None) -> ReconcilerError:
    return failure("resolve", Repository(URL, login), Finished(code, b"", words))


def status(number: int) -> str:
    return f"fatal: unable to access '{URL}/': The requested URL returned error: {number}"


GIT: dict[str, tuple[BaseException | None, bool, bool]] = {
    "time-out": (None, True, False),
    "no address": (OSError("no such host"), True, False),
    "no connection": (ended(128, f"fatal: unable to access '{URL}/': Could not resolve host"), True, False),
    "git is missing": (ended(127, ""), True, False),
    "503": (ended(128, status(503)), True, False),
    "slow repository": (late("resolve", Repository(URL), 60, answered=True), True, False),
    "429": (ended(128, status(429)), False, False),
    "login refused": (ended(128, status(401), LOGIN), False, True),
    "login of a project refused": (ended(128, status(401), PROJECTS), False, False),
    "login needed": (ended(128, status(401)), False, False),
    "403": (ended(128, status(403)), False, False),
    "404": (ended(128, status(404)), False, False),
    "not allowed": (ValidationError("not allowed"), False, False),
    "given up": (asyncio.CancelledError(), False, False),
}
"""What ends a call of git, whether the service is ill then, and whether a login of ours is refused."""
LOGINS = {"login refused": LOGIN, "login of a project refused": PROJECTS}
"""With which login it is called, where it is with one."""


@pytest.mark.parametrize("case", GIT)
async def test_a_call_of_git_counts_as_what_it_is(case: str) -> None:
    error, ill, refused = GIT[case]
    code = await of_git(error, LOGINS.get(case))
    assert (known("ReconcilerCallsFailing", code), known("ReconcilerCredentialsRefused", code)) == (ill, refused), code
