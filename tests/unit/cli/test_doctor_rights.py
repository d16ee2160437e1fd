"""`doctor` asks for exactly the rights that the Roles of the chart give."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
import yaml

from devops_reconciler.cli.doctor_rights import missing
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import Kubernetes
from testbed import chart
from testbed.rights import Right, granted

WATCHED, OWN = "team", "ops"
ROLES = {chart.RELEASE: WATCHED, f"{chart.RELEASE}-lease": OWN}
"""The Roles of the chart, and the namespace that each is for."""
PEERING = yaml.safe_load((chart.CHART / "values.yaml").read_text())["peeringName"]


def given() -> list[Right]:
    """Each right of these Roles, as if the operator watched another namespace than its own."""
    roles = [each for each in chart.rights() if each["kind"] == "Role"]
    assert {role["metadata"]["name"] for role in roles} == ROLES.keys()
    return [replace(right, namespace=ROLES[role["metadata"]["name"]]) for role in roles for right in granted([role])]


class Server:
    """An API server that gives these rights."""

    def __init__(self, rights: Iterable[Right]) -> None:
        self.rights = list(rights)

    async def send(self, request: Request) -> Response:
        assert "/selfsubjectrulesreviews" in request.url
        namespace = json.loads(request.body or b"")["spec"]["namespace"]
        rules = [
            {"apiGroups": [each.group], "resources": [each.resource], "verbs": [each.verb]}
            | ({"resourceNames": [each.name]} if each.name else {})
            for each in self.rights
            if each.namespace == namespace
        ]
        return Response(201, {}, json.dumps({"status": {"resourceRules": rules}}).encode())

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


async def missing_with(rights: Iterable[Right]) -> list[str]:
    kubernetes = Kubernetes(Http("kubernetes", "http://api", Server(rights), FakeClock()))
    return await missing(kubernetes, [WATCHED], own=OWN, peering=PEERING)


async def test_doctor_asks_for_nothing_that_the_chart_does_not_give() -> None:
    assert await missing_with(given()) == []


@pytest.mark.parametrize("right", given(), ids=str)
async def test_doctor_misses_each_right_of_the_chart_that_is_not_there(right: Right) -> None:
    assert await missing_with(each for each in given() if each != right) == [str(replace(right, name=""))]
