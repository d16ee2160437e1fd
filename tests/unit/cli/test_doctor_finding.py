"""How a finding is told, and what to do is said for each kind of trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from email.utils import format_datetime

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, ReconcilerError, ValidationError
from devops_reconciler.cli.doctor_finding import Examination, Finding, note_clock
from devops_reconciler.cli.doctor_vendors import by_host
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Request, Response


def raising(error: ReconcilerError) -> Callable[[Finding], Awaitable[None]]:
    async def look(finding: Finding) -> None:
        finding.version = "2.579"
        raise error

    return look


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (CredentialsError("401"), "check JENKINS_USERNAME and JENKINS_TOKEN (runbook: CredentialsInvalid)"),
        (
            CredentialsError("403", reason=Reason.PERMISSION_DENIED),
            "give this account the permission (runbook: PermissionDenied)",
        ),
        (
            ExternalServiceError("no answer", service="jenkins"),
            "check JENKINS_ENDPOINT, and the way there: name, port, firewall, network policy (most judge by the port "
            "of the pod, not of its Service), certificate (runbook: ExternalServiceError)",
        ),
        (ValidationError("400"), "check JENKINS_ENDPOINT (runbook: InvalidSpec)"),
    ],
    ids=["login", "permission", "reach", "refused"],
)
async def test_each_trouble_says_what_to_do_and_keeps_what_was_found_before_it(
    error: ReconcilerError, todo: str
) -> None:
    examination = Examination(
        Finding("jenkins"), raising(error), endpoint="JENKINS_ENDPOINT", login="JENKINS_USERNAME and JENKINS_TOKEN"
    )
    finding = await examination.run(str)
    assert (finding.ok, finding.version, finding.todo) == (False, "2.579", [todo])


async def test_a_secret_in_an_error_is_hidden() -> None:
    finding = await Examination(Finding("x"), raising(ValidationError("hunter2"))).run(
        lambda text: text.replace("hunter2", "****")
    )
    assert finding.problems == ["****"]


def test_a_finding_is_one_line() -> None:
    finding = Finding("jenkins", "http://jenkins", "2.579", "operator", ["create folders"], clock=timedelta(seconds=2))
    assert finding.line() == "ok   jenkins         http://jenkins  2.579  as operator  clock +2 s; may: create folders"
    finding.fail("no\npipelines", "install a plugin")
    assert finding.line().startswith("FAIL jenkins")
    assert finding.line().endswith("; problem: no pipelines; do: install a plugin")


def test_a_finding_does_nothing_to_a_terminal() -> None:
    finding = Finding("jenkins", version="2.579\x1b]0;x\x07")
    finding.fail("\x1b[2Jno\rpipelines", "")
    assert finding.line() == "FAIL jenkins         2.579; problem: no pipelines"


class Dated:
    """A server with a clock of its own."""

    def __init__(self, date: str | None) -> None:
        self.date = date

    async def send(self, request: Request) -> Response:
        assert request.method == "GET"
        return Response(401, {} if self.date is None else {"date": self.date})

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


async def clock_of(ahead: timedelta) -> Finding:
    clock, finding = FakeClock(), Finding("jenkins")
    date = format_datetime((clock.now() + ahead).astimezone(UTC), usegmt=True)
    await note_clock(finding, Dated(date), "http://jenkins/", clock)
    return finding


async def test_the_difference_of_clocks_is_told() -> None:
    finding = await clock_of(timedelta(seconds=10))
    assert finding.clock is not None
    assert abs(finding.clock - timedelta(seconds=10)) <= timedelta(seconds=1)
    assert finding.ok


@pytest.mark.parametrize(("ahead", "word"), [(300, "300 s ahead of ours"), (-300, "behind ours")])
async def test_a_clock_that_is_far_off_is_a_problem(ahead: int, word: str) -> None:
    finding = await clock_of(timedelta(seconds=ahead))
    assert word in finding.problems[0]
    assert "NTP" in finding.todo[0]


@pytest.mark.parametrize("date", [None, "yesterday"])
async def test_a_clock_that_cannot_be_read_is_a_note(date: str | None) -> None:
    finding = Finding("jenkins")
    await note_clock(finding, Dated(date), "http://jenkins/", FakeClock())
    assert (finding.ok, finding.clock, len(finding.notes)) == (True, None, 1)


def test_a_login_is_tried_at_a_repository_that_the_operators_own_login_is_for() -> None:
    projects = [
        {"spec": {"git": {"url": "https://git.example.com/a.git", "credentialsRef": {"name": "own"}}}},
        {"spec": {"git": {"url": "https://git.example.com/b.git"}}},
        {"spec": {"git": {"url": "https://git.example.com:8443/c.git"}}},
        {"spec": {}},
    ]
    assert by_host(projects) == {
        "git.example.com": "https://git.example.com/b.git",
        "git.example.com:8443": "https://git.example.com:8443/c.git",
    }
