"""The operator runs with the rights of its chart: none is lacking, none is idle. Runs after all other tests here."""

from __future__ import annotations

import pytest

from testbed import chart
from testbed.audit import AuditEvent
from testbed.rights import ACCOUNT, Right, granted, idle, used, user_in
from testbed.stage import Stage
from testbed.stage_operator import Operator

pytestmark = pytest.mark.asyncio(loop_scope="session")

GROUP = "freeleaps.com"
EXCEPTIONS = {
    Right("", GROUP, "devopsprojects/finalizers", "update"): (
        "the admission plugin OwnerReferencesPermissionEnforcement asks for it, which is no request of ours"
    ),
}
"""Rights that no request shows, with the reason why they are granted all the same. Without namespace: in any."""


@pytest.fixture
def requests(stage: Stage, running: Operator) -> list[AuditEvent]:
    """All that operators of this run have asked of the API server."""
    return list(stage.control_plane.audit.events(user=f":{ACCOUNT}"))


async def test_no_request_was_forbidden(requests: list[AuditEvent]) -> None:
    assert requests
    assert sorted({(each.verb, each.path.partition("?")[0], each.refusal) for each in requests if each.refusal}) == []


async def test_every_right_was_used(stage: Stage, requests: list[AuditEvent], whole_suite: bool) -> None:
    if not whole_suite:
        pytest.skip("only after all end-to-end tests: each uses some of the rights")
    mine = [each for each in requests if each.user == user_in(stage.namespace)]
    rights = [right for right in granted(chart.rights(stage.namespace)) if not any(e.covers(right) for e in EXCEPTIONS)]
    assert [str(right) for right in idle(rights, used(mine))] == []


async def test_what_is_beyond_the_watched_namespaces_is_not_watched_and_of_it_only_ingresses_are_listed() -> None:
    beyond = [right for right in granted(chart.rights()) if not right.namespace]
    assert {right.verb for right in beyond} <= {"get", "list", "create", "patch", "delete"}
    assert {right.resource for right in beyond if right.verb == "list"} == {"ingresses"}
    assert {right.resource for right in beyond} <= {"namespaces", "ingresses", "secrets", "serviceaccounts"}


async def test_the_stage_gives_no_other_rights(stage: Stage) -> None:
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    found = (await stage.kube.get(bindings))["items"]
    mine = [
        each["roleRef"]["name"]
        for each in found
        for subject in each.get("subjects") or ()
        if subject["name"] == ACCOUNT and subject.get("namespace") == stage.namespace
    ]
    assert mine == [f"{ACCOUNT}-{stage.namespace}"]
