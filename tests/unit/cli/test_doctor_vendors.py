"""What `doctor` says of a service that lets us in and refuses us something."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from devops_reconciler.cli.doctor_vendors import Vendors
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins

from ..world import settings


class Server:
    """A Jenkins that forbids the requests whose path begins with `forbidden`."""

    def __init__(self, forbidden: str) -> None:
        self.forbidden = forbidden

    async def send(self, request: Request) -> Response:
        status = 403 if request.url.startswith(f"https://jenkins.test{self.forbidden}") else 200
        return Response(status, {"x-jenkins": "2.579"}, json.dumps({"name": "operator"}).encode())

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("forbidden", "problem", "todo"),
    [
        ("/api/json", "may not read anything", "give the user of JENKINS_USERNAME Overall/Read in Jenkins"),
        ("/view/all/", "may not create folders at the root", "give operator Job/Create in Jenkins"),
    ],
)
async def test_a_right_that_jenkins_refuses_is_named(forbidden: str, problem: str, todo: str) -> None:
    server, clock = Server(forbidden), FakeClock()
    jenkins = Jenkins(Http("jenkins", "https://jenkins.test", server, clock), username=str, token=str)
    clients: Any = SimpleNamespace(settings=settings(), jenkins=lambda: jenkins, pool=server, clock=clock)
    (examination,) = (each for each in Vendors(clients).all() if each.finding.service == "jenkins")
    finding = await examination.run(str)
    assert (finding.problems, finding.todo) == ([problem], [todo])
