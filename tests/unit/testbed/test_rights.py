"""Which rights were used, by requests in the form of the audit log."""

from __future__ import annotations

import json

from testbed import chart
from testbed.audit import AuditEvent
from testbed.rights import Right, granted, idle, used

USER = "system:serviceaccount:ours:devops-reconciler"


def event(verb: str, resource: str, code: int = 200, **more: object) -> AuditEvent:
    """A request about `<namespace>/<resource>/<name>[/<subresource>]`, as the API server writes it."""
    group, namespace, plural, name, subresource = (*resource.split("/"), "", "")[:5]
    line = {
        "user": {"username": USER},
        "verb": verb,
        "objectRef": {
            "apiGroup": group,
            "namespace": namespace,
            "resource": plural,
            "name": name,
            "subresource": subresource,
        },
        "requestURI": "/",
        "requestReceivedTimestamp": "2026-05-01T10:00:00Z",
        "responseStatus": {"code": code, **more},
        "stage": "ResponseComplete",
        "annotations": {"authorization.k8s.io/decision": more.get("decision", "allow")},
    }
    return AuditEvent.parse(json.dumps(line))


def test_an_apply_that_creates_needs_both_verbs() -> None:
    assert [right.verb for right in used([event("patch", "/a/secrets/one", code=201)])] == ["patch", "create"]
    assert [right.verb for right in used([event("patch", "/a/secrets/one")])] == ["patch"]


def test_a_subresource_is_a_right_of_its_own() -> None:
    (right,) = used([event("patch", "freeleaps.com/a/devopsprojects/shop/status")])
    assert right == Right("a", "freeleaps.com", "devopsprojects/status", "patch", "shop")


def test_what_every_account_may_ask_is_no_right_of_ours() -> None:
    review = event("create", "authorization.k8s.io//selfsubjectaccessreviews")
    assert list(used([review, event("get", "///")])) == []


def test_only_the_narrowest_right_counts_as_used() -> None:
    everywhere, here = Right("", "", "secrets", "get"), Right("here", "", "secrets", "get")
    uses = [Right("here", "", "secrets", "get", "one")]
    assert idle([everywhere, here], uses) == [everywhere]
    assert idle([everywhere, here], [*uses, Right("there", "", "secrets", "get", "one")]) == []


def test_a_right_to_one_name_does_not_cover_another() -> None:
    mine = Right("", "", "serviceaccounts", "patch", "default")
    assert idle([mine], [Right("a", "", "serviceaccounts", "patch", "robot")]) == [mine]
    assert idle([mine], [Right("a", "", "serviceaccounts", "patch", "default")]) == []


def test_a_refusal_for_want_of_a_right_is_told_from_others() -> None:
    forbidden = event("get", "/a/secrets/one", code=403, message="no", decision="forbid")
    applied = event("patch", "/a/secrets/one", code=403, message='User "x" cannot create resource "secrets"')
    going = event("create", "/a/secrets/", code=403, message="namespace a is being terminated")
    assert [bool(each.refusal) for each in (forbidden, applied, going)] == [True, True, False]


def test_the_chart_gives_the_stage_its_rights_in_the_namespace_of_the_stage() -> None:
    documents = chart.rights("elsewhere")
    assert {each["kind"] for each in documents} == set(chart.RULE_KINDS)
    assert {right.namespace for right in granted(documents)} == {"", "elsewhere"}
    assert chart.NAMESPACE not in json.dumps(documents)
