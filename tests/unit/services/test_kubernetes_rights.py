"""What the API server says that we may do, compared with what is needed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, LEASE, SECRET, Kubernetes
from devops_reconciler.services.kubernetes_rights import Right, lacking, whoami

NEEDED = (
    Right(DEPLOYMENT_RECORD, ("get", "patch")),
    Right(DEPLOYMENT_RECORD, ("patch",), "status"),
    Right(SECRET, ("get",)),
    Right(LEASE, ("get",), name="ours"),
)


class Server:
    """Answers reviews: `rules` for all at once, `allowed` for single questions."""

    def __init__(self, rules: list[dict[str, Any]], *, incomplete: bool = False, allowed: bool = False) -> None:
        self.rules = rules
        self.incomplete = incomplete
        self.allowed = allowed
        self.asked = 0

    async def send(self, request: Request) -> Response:
        if "selfsubjectreviews" in request.url:
            return self._answer({"userInfo": {"username": "system:serviceaccount:ops:reconciler"}})
        if "selfsubjectrulesreviews" in request.url:
            return self._answer({"resourceRules": self.rules, "incomplete": self.incomplete})
        self.asked += 1
        return self._answer({"allowed": self.allowed})

    @staticmethod
    def _answer(status: dict[str, Any]) -> Response:
        return Response(201, {}, json.dumps({"status": status}).encode())

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


def client(server: Server) -> Kubernetes:
    return Kubernetes(Http("kubernetes", "http://api", server, FakeClock()))


def rule(group: str, resources: list[str], verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return found if names is None else {**found, "resourceNames": names}


ENOUGH = [
    rule("freeleaps.com", ["deploymentrecords"], ["get", "patch"]),
    rule("freeleaps.com", ["deploymentrecords/status"], ["patch"]),
    rule("", ["secrets"], ["get"]),
    rule("coordination.k8s.io", ["leases"], ["get"], ["ours"]),
]


async def test_who_we_are_is_told() -> None:
    assert await whoami(client(Server([]))) == "system:serviceaccount:ops:reconciler"


@pytest.mark.parametrize("rules", [ENOUGH, [rule("*", ["*", "*/status"], ["*"])]], ids=["exact", "all"])
async def test_nothing_is_lacking_where_each_right_is_there(rules: list[dict[str, Any]]) -> None:
    assert await lacking(client(Server(rules)), "team", NEEDED) == []


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (0, "get, patch deploymentrecords.freeleaps.com in team"),
        (1, "patch deploymentrecords/status.freeleaps.com in team"),
        (2, "get secrets in team"),
        (3, "get leases.coordination.k8s.io in team"),
    ],
)
async def test_each_right_that_is_not_there_is_named(left_out: int, said: str) -> None:
    rules = [each for index, each in enumerate(ENOUGH) if index != left_out]
    assert await lacking(client(Server(rules)), "team", NEEDED) == [said]


async def test_a_right_to_another_object_of_the_kind_is_none() -> None:
    rules = [*ENOUGH[:3], rule("coordination.k8s.io", ["leases"], ["get"], ["theirs"])]
    assert await lacking(client(Server(rules)), "team", NEEDED) == ["get leases.coordination.k8s.io in team"]


async def test_where_the_list_is_incomplete_single_questions_decide() -> None:
    server = Server([], incomplete=True, allowed=True)
    assert await lacking(client(server), "team", NEEDED) == []
    assert server.asked == 5
    assert len(await lacking(client(Server([], incomplete=True)), "team", NEEDED)) == 4
