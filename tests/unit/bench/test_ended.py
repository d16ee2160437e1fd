"""Copies of records at their end, and what restarts and expiries with many of them come to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.names import image_tag
from testbed.kube_api import Object
from tests.bench.ended import Copy
from tests.bench.expiry import Size, previews_of
from tests.bench.expiry_table import Cost
from tests.bench.expiry_table import findings_of as of_expiry
from tests.bench.figures import Spread
from tests.bench.previews import REAL, Preview, copy_of
from tests.bench.restart_table import Restarted
from tests.bench.restart_table import findings_of as of_restart

COMMIT = "0123456789abcdef"
UID, EVENT, DIGEST = "uid-of-the-original", "event-of-the-original", "sha256:aa"


def original(project: str = "shop") -> Object:
    """A record as the operator leaves it."""
    tag = image_tag(COMMIT, UID)
    entry = {"step": "build", "key": f"{project}/{project}#{UID}", "value": {"uid": UID, "image_tag": tag}}
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "DeploymentRecord",
        "metadata": {
            "name": f"{project}-1a2b",
            "namespace": "team",
            "uid": UID,
            "resourceVersion": "7",
            "generation": 1,
            "labels": {"freeleaps.com/environment": REAL},
            "annotations": {"freeleaps.com/event-id": EVENT},
            "finalizers": ["freeleaps.com/finalizer"],
        },
        "spec": {"projectRef": {"name": project}, "environment": REAL, "triggerEventId": EVENT},
        "status": {
            "commit": COMMIT,
            "image": f"registry.test/acme/{project}@{DIGEST}",
            "application": f"{project}-{REAL}",
            "applied": [entry, {"step": "claim", "value": {"record": f"{project}-1a2b", "image_digest": DIGEST}}],
        },
    }


def said(thing: Any) -> str:
    return json.dumps(thing)


def test_a_copy_is_made_under_its_own_name_and_for_an_event_of_its_own() -> None:
    body = Copy(original(), "other").body()
    assert body["metadata"]["name"] == "other"
    assert body["metadata"]["finalizers"] == ["freeleaps.com/finalizer"]
    assert {"uid", "resourceVersion", "generation"}.isdisjoint(body["metadata"])
    assert "status" not in body
    assert EVENT not in said(body)
    assert body["spec"]["triggerEventId"] == body["metadata"]["annotations"]["freeleaps.com/event-id"]


def test_a_copy_has_the_status_of_the_original_with_its_own_name_uid_and_tag() -> None:
    status = Copy(original(), "other").status_of("uid-of-the-copy")
    build, claim = status["applied"]
    assert build["key"] == "shop/shop#uid-of-the-copy"
    assert build["value"] == {"uid": "uid-of-the-copy", "image_tag": image_tag(COMMIT, "uid-of-the-copy")}
    assert claim["value"] == {"record": "other", "image_digest": DIGEST}


def test_the_original_stays_as_it_was() -> None:
    it = original()
    Copy(it, "other", {DIGEST: "sha256:bb"}, {"url": None}).status_of("uid-of-the-copy")
    assert it == original()


def test_a_copied_preview_has_an_environment_an_image_and_an_end_of_its_own() -> None:
    first = datetime(2026, 1, 1, 11, 59, 30, tzinfo=UTC)
    copy = copy_of(Preview(original(), 7, timedelta(seconds=30)), "sha256:bb", first)
    assert copy.body()["spec"]["environment"] == "pr-007"
    status = copy.status_of("uid-of-the-copy")
    assert (status["finishedAt"], status["expiresAt"]) == ("2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z")
    assert status["application"] == "shop-pr-007"
    assert status["image"] == "registry.test/acme/shop@sha256:bb"
    assert REAL not in said(status) + said(copy.body())


def test_previews_of_all_projects_in_turn_end_evenly_within_a_minute() -> None:
    made = list(previews_of([original("one"), original("two")], Size(projects=2, each=30)))
    assert len({preview.name for preview in made}) == 60
    assert {preview.environment for preview in made}.isdisjoint({REAL})
    assert [preview.project for preview in made[:4]] == ["one", "two", "one", "two"]
    assert [preview.later for preview in made] == [timedelta(seconds=number) for number in range(60)]


def restarted(records: int, **more: Any) -> Restarted:
    seconds = Spread.of([2.0, 3.0, 4.0])
    plain = Restarted(records, seconds, seconds, 0, 0, 300, {"Jenkins": 40}, 5.0, 90_000, 120_000)
    return replace(plain, **more)


def test_records_at_their_end_cost_no_write_and_no_call_at_a_restart() -> None:
    found = of_restart(restarted(50), restarted(5000))
    assert [(goal.value, goal.reached) for goal in found.goals] == [(0, True), (0, True), (3.0, True)]
    assert found.tables[0].head == ("", "50 records", "5,000 records")
    assert ["API reads", "300", "300"] in [list(row) for row in found.tables[0].rows]


@pytest.mark.parametrize("more", [{"record_writes": 1}, {"other_writes": 1}])
def test_each_write_at_a_restart_misses_the_goal(more: dict[str, int]) -> None:
    found = of_restart(restarted(50), restarted(5000, **more))
    assert (found.goals[0].value, found.goals[0].reached) == (1, False)


def test_a_call_to_a_vendor_for_records_at_their_end_misses_the_goal() -> None:
    found = of_restart(restarted(50), restarted(5000, vendors={"Jenkins": 41}))
    assert (found.goals[1].value, found.goals[1].reached) == (1, False)


def test_the_tail_of_the_lag_is_what_the_goal_is_about() -> None:
    lags = {"Expired": Spread.of([0.5] * 97 + [6.0] * 3), "CleanupVerified": Spread.of([9.0] * 100)}
    found = of_expiry(lags, Cost({"deploymentrecords": 3.0, "events": 2.0}, 7.0, 9.5, 0.05, 0.1))
    assert (found.goals[0].value, found.goals[0].reached) == (6.0, False)
    assert found.tables[0].rows[0] == ["`Expired=True`", "0.5 s", "6.0 s", "6.0 s"]
    assert found.tables[1].rows[0] == ["writes to deploymentrecords", "3.00"]
    assert json.loads(json.dumps(found.json()))["cost"]["vendors"] == 9.5
