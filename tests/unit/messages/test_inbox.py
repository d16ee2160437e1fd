"""Messages become custom resources, each exactly once, in whatever order and number they come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ConflictError, ExternalServiceError, Refused, Waiting
from devops_reconciler.api.names import record_name
from devops_reconciler.messages.inbox import BODY_LIMIT, Inbox, read
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.urgency import Urgency, current_tenant, current_urgency
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Kind, Object

from .box import Box
from .cluster import NAMESPACE, FakeCluster, project, record
from .samples import NOW, SPEC, at, initialize, reconcile, settings


async def test_initialize_makes_the_project_in_the_first_watched_namespace(box: Box) -> None:
    assert await box.word(initialize()) == "applied"
    made = box.the_project()
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["spec"] == SPEC
    assert made["metadata"]["annotations"] == {
        "freeleaps.com/event-id": "i-1",
        "freeleaps.com/event-timestamp": "2026-01-01T12:00:00Z",
    }


@pytest.mark.parametrize("body", [initialize(), reconcile("deploy")])
async def test_a_message_goes_before_the_passes_over_objects(body: bytes) -> None:
    seen = set()

    class Watched(FakeCluster):
        async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
            seen.add((current_urgency(), current_tenant()))
            return await super().get(kind, namespace, name)

    await Inbox(Watched(), settings(), FakeClock(NOW)).accept(read(body))
    assert seen == {(Urgency.ARRIVAL, (NAMESPACE, "shop"))}


async def test_a_namespace_that_is_watched_is_taken(box: Box) -> None:
    await box.accept(initialize(namespace="team-b"))
    assert box.the_project()["metadata"]["namespace"] == "team-b"


@pytest.mark.parametrize("body", [initialize(namespace="kube-system"), reconcile("deploy", namespace="kube-system")])
async def test_a_namespace_that_is_not_watched_is_refused(box: Box, body: bytes) -> None:
    error = await box.refusal(body)
    assert error.reason is Reason.PERMISSION_DENIED
    assert "does not watch kube-system, only team-a, team-b" in error.message
    assert box.cluster.writes == []


async def test_a_newer_message_changes_the_project(box: Box) -> None:
    await box.accept(initialize("i-1", 0))
    await box.accept(initialize("i-2", 1, spec={**SPEC, "historyLimit": 3}))
    assert box.the_project()["spec"]["historyLimit"] == 3
    assert box.the_project()["metadata"]["annotations"]["freeleaps.com/event-id"] == "i-2"


async def test_an_older_message_is_ignored(box: Box) -> None:
    await box.accept(initialize("i-2", 1, spec={**SPEC, "historyLimit": 3}))
    assert await box.word(initialize("i-1", 0)) == "outdated"
    assert box.the_project()["spec"]["historyLimit"] == 3


async def test_a_message_that_comes_again_undoes_no_edit(box: Box) -> None:
    await box.accept(initialize())
    box.the_project()["spec"] = {**SPEC, "suspend": True}
    assert await box.word(initialize()) == "duplicate"
    assert box.the_project()["spec"]["suspend"] is True


async def test_a_newer_message_that_comes_in_between_wins(box: Box) -> None:
    await box.accept(initialize("i-1", 0))
    newer = project(annotations={"freeleaps.com/event-id": "i-9", "freeleaps.com/event-timestamp": at(9)})
    box.cluster.before_write = lambda: void(box.cluster.put(DEVOPS_PROJECT, newer))
    assert await box.word(initialize("i-2", 1)) == "outdated"
    assert box.the_project()["metadata"]["annotations"]["freeleaps.com/event-id"] == "i-9"


async def test_a_project_that_always_changes_is_given_up_for_now(box: Box) -> None:
    await box.accept(initialize("i-1", 0))

    def change() -> None:
        box.cluster.put(DEVOPS_PROJECT, box.the_project())
        box.cluster.before_write = change

    box.cluster.before_write = change
    with pytest.raises(ConflictError):
        await box.accept(initialize("i-2", 1))


async def test_a_timestamp_that_was_edited_by_hand_stops_nothing(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project(annotations={"freeleaps.com/event-timestamp": "soon"}))
    assert await box.word(initialize()) == "applied"


async def test_initialize_waits_for_a_project_that_is_being_deleted(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project(deletionTimestamp="2026-01-01T11:00:00Z"))
    with pytest.raises(Waiting, match="is being deleted"):
        await box.accept(initialize())


@pytest.mark.parametrize("action", ["deploy", "rollback"])
async def test_a_deployment_waits_for_a_project_that_is_being_deleted(box: Box, action: str) -> None:
    """The removal of the project deletes every record of it: one that is made now would go unheard."""
    box.cluster.put(DEVOPS_PROJECT, project(deletionTimestamp="2026-01-01T11:00:00Z"))
    with pytest.raises(Waiting, match="DevOpsProject team-a/shop is being deleted"):
        await box.accept(reconcile(action, to="lastHealthy"))
    assert (box.cluster.writes, box.made) == ([], [])


async def test_a_deployment_that_comes_again_while_its_project_is_being_deleted_is_the_one_that_is_there(
    box: Box,
) -> None:
    await box.accept(reconcile("deploy"))
    box.cluster.put(DEVOPS_PROJECT, project(deletionTimestamp="2026-01-01T11:00:00Z"))
    assert await box.word(reconcile("deploy")) == "duplicate"


async def test_deploy_makes_a_record(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project())
    body = reconcile(
        "deploy",
        environment="pr-7",
        revision="main",
        ttl="2h",
        concurrency_policy="Replace",
        requested_by="somebody",
    )
    assert await box.word(body) == "created"
    made = box.the_record()
    assert made["metadata"]["name"] == record_name("shop", "e-1")
    assert made["metadata"]["labels"] == {"freeleaps.com/project": "shop", "freeleaps.com/environment": "pr-7"}
    assert made["metadata"]["annotations"] == {
        "freeleaps.com/event-id": "e-1",
        "freeleaps.com/event-timestamp": "2026-01-01T12:00:00Z",
        "freeleaps.com/requested-by": "somebody",
    }
    assert made["spec"] == {
        "projectRef": {"name": "shop"},
        "environment": "pr-7",
        "revision": "main",
        "ttl": "2h",
        "concurrencyPolicy": "Replace",
        "triggerEventId": "e-1",
        "requestedBy": "somebody",
    }
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner["uid"] == box.the_project()["metadata"]["uid"]
    assert owner["blockOwnerDeletion"] is True


async def test_rollback_names_its_goal_and_no_revision(box: Box) -> None:
    await box.accept(reconcile("rollback", to="lastHealthy", revision="main"))
    spec = box.the_record()["spec"]
    assert spec["rollbackTo"] == "lastHealthy"
    assert "revision" not in spec


async def test_a_record_without_its_project_has_no_owner(box: Box) -> None:
    assert await box.word(reconcile("deploy")) == "created"
    assert "ownerReferences" not in box.the_record()["metadata"]


async def test_the_same_event_twice_is_one_deployment(box: Box) -> None:
    assert await box.word(reconcile("deploy")) == "created"
    assert await box.word(reconcile("deploy")) == "duplicate"
    assert len(box.cluster.records()) == 1


async def test_a_new_record_is_told_of_at_once_as_the_server_has_made_it(box: Box) -> None:
    """The watch tells of it too, but in a storm only after all that it tells before."""
    for _ in range(2):
        await box.accept(reconcile("deploy"))
    assert box.made == [box.the_record()]
    assert box.made[0]["metadata"]["resourceVersion"]


async def test_a_record_of_another_event_under_our_name_is_refused(box: Box) -> None:
    box.cluster.put(DEPLOYMENT_RECORD, record(record_name("shop", "e-1"), "production", at(0), triggerEventId="other"))
    assert (await box.refusal(reconcile("deploy"))).reason is Reason.OWNERSHIP_CONFLICT


async def test_cancel_means_the_newest_of_the_environment(box: Box) -> None:
    for number, environment in enumerate(["production", "production", "pr-7"]):
        await box.accept(reconcile("deploy", f"e-{number}", number, environment=environment))
    assert await box.word(reconcile("cancel", "c-1", 10)) == "cancelled"
    cancelled = [made["spec"]["triggerEventId"] for made in box.cluster.records() if made["spec"].get("cancel")]
    assert cancelled == ["e-1"]


async def test_a_record_counts_from_its_message_not_from_when_it_was_written(box: Box) -> None:
    await box.accept(reconcile("deploy", "e-1", 1))
    box.the_record()["metadata"]["creationTimestamp"] = at(60)
    await box.accept(reconcile("cancel", "c-1", 2))
    assert box.the_record()["spec"]["cancel"] is True


async def test_cancel_spares_what_was_asked_for_later(box: Box) -> None:
    await box.accept(reconcile("deploy", "e-1", 1))
    await box.accept(reconcile("deploy", "e-2", 5))
    await box.accept(reconcile("cancel", "c-1", 3))
    later = box.record_of("e-2")
    assert later is not None
    assert "cancel" not in later["spec"]


async def test_a_record_made_by_hand_is_found(box: Box) -> None:
    box.cluster.put(DEPLOYMENT_RECORD, record("by-hand", "production", "2026-01-01T11:00:00Z"))
    await box.accept(reconcile("cancel"))
    assert box.the_record()["spec"]["cancel"] is True


async def test_cancel_twice_writes_once(box: Box) -> None:
    await box.accept(reconcile("deploy"))
    await box.accept(reconcile("cancel", "c-1", 1))
    box.cluster.writes.clear()
    assert await box.word(reconcile("cancel", "c-1", 1)) == "duplicate"
    assert box.cluster.writes == []


async def test_extend_counts_from_the_message(box: Box) -> None:
    await box.accept(reconcile("deploy", environment="pr-7"))
    assert await box.word(reconcile("extend", "x-1", 30.5, environment="pr-7", ttl="2h")) == "extended"
    assert box.the_record()["spec"]["expiresAt"] == "2026-01-01T14:00:30Z"


async def test_extend_may_shorten_but_an_older_one_changes_nothing(box: Box) -> None:
    await box.accept(reconcile("deploy", environment="pr-7"))
    await box.accept(reconcile("extend", "x-1", 10, environment="pr-7", ttl="2h"))
    await box.accept(reconcile("extend", "x-2", 20, environment="pr-7", ttl="1h"))
    assert await box.word(reconcile("extend", "x-1", 10, environment="pr-7", ttl="2h")) == "outdated"
    assert await box.word(reconcile("extend", "x-2", 20, environment="pr-7", ttl="1h")) == "duplicate"
    assert box.the_record()["spec"]["expiresAt"] == "2026-01-01T13:00:20Z"


async def test_an_extended_record_is_no_newer_than_before(box: Box) -> None:
    await box.accept(reconcile("deploy", "e-1", 1, environment="pr-7"))
    await box.accept(reconcile("extend", "x-1", 10, environment="pr-7", ttl="2h"))
    await box.accept(reconcile("deploy", "e-2", 5, environment="pr-7"))
    await box.accept(reconcile("cancel", "c-1", 20, environment="pr-7"))
    newest = box.record_of("e-2")
    assert newest is not None
    assert newest["spec"]["cancel"] is True


async def test_delete_takes_the_newest(box: Box) -> None:
    await box.accept(reconcile("deploy", "e-1", 1))
    await box.accept(reconcile("deploy", "e-2", 2))
    assert await box.word(reconcile("delete", "d-1", 3)) == "deleted"
    assert box.the_record()["spec"]["triggerEventId"] == "e-1"


async def test_delete_twice_takes_one(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project())
    await box.accept(reconcile("deploy", "e-1", 1))
    await box.accept(reconcile("deploy", "e-2", 2))
    await box.accept(reconcile("delete", "d-1", 3))
    assert await box.word(reconcile("delete", "d-1", 3)) == "absent"
    assert box.record_of("e-1") is not None
    assert await box.word(reconcile("delete", "d-2", 4)) == "deleted"
    assert box.cluster.records() == []


async def test_a_delete_that_was_cut_short_takes_the_record_it_had_chosen(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project())
    await box.accept(reconcile("deploy", "e-1", 1))

    def fail_after_this_write() -> None:
        box.cluster.go_down()

    box.cluster.before_write = fail_after_this_write
    with pytest.raises(ExternalServiceError):
        await box.accept(reconcile("delete", "d-1", 3))
    box.cluster.error = None
    await box.accept(reconcile("deploy", "e-2", 2))
    await box.accept(reconcile("delete", "d-1", 3))
    assert [made["spec"]["triggerEventId"] for made in box.cluster.records()] == ["e-2"]


async def test_the_memory_of_deletions_is_bounded(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project())
    for number in range(30):
        await box.accept(reconcile("deploy", f"e-{number}", number))
        await box.accept(reconcile("delete", f"d-{number}", number + 0.5))
    text = box.the_project()["metadata"]["annotations"]["freeleaps.com/deletions"]
    assert len(json.loads(text)) == 20


async def test_delete_of_what_is_not_there_is_done(box: Box) -> None:
    assert await box.word(reconcile("delete")) == "absent"
    assert await box.word(reconcile("delete", deployment="shop-abc")) == "absent"


@pytest.mark.parametrize("action", ["cancel", "extend"])
async def test_a_deployment_that_is_not_there_is_refused_with_what_is_missing(box: Box, action: str) -> None:
    body = reconcile(action, deployment="shop-abc", ttl="1h")
    error = await box.refusal(body)
    assert error.reason is Reason.PROJECT_NOT_FOUND
    assert "no project shop in team-a" in error.message
    box.cluster.put(DEVOPS_PROJECT, project())
    error = await box.refusal(body)
    assert error.reason is Reason.INVALID_MESSAGE
    assert "no deployment shop-abc in team-a" in error.message
    error = await box.refusal(reconcile(action, environment="pr-7", ttl="1h"))
    assert "no deployment of shop to pr-7" in error.message


@pytest.mark.parametrize(
    ("payload", "says"),
    [({"project": "other"}, "is one of project shop, not of other"), ({"environment": "pr-8"}, "one of pr-7, not of")],
)
async def test_a_deployment_of_something_else_is_refused(box: Box, payload: dict[str, Any], says: str) -> None:
    await box.accept(reconcile("deploy", environment="pr-7"))
    error = await box.refusal(reconcile("cancel", "c-1", 1, deployment=record_name("shop", "e-1"), **payload))
    assert error.reason is Reason.INVALID_MESSAGE
    assert says in error.message


async def test_a_named_deployment_needs_no_environment(box: Box) -> None:
    await box.accept(reconcile("deploy", environment="pr-7"))
    assert await box.word(reconcile("cancel", "c-1", 1, deployment=record_name("shop", "e-1"))) == "cancelled"


async def test_a_timestamp_far_ahead_is_refused(box: Box) -> None:
    error = await box.refusal(initialize("i-1", 25 * 3600))
    assert error.reason is Reason.INVALID_MESSAGE
    assert "more than 24 hours ahead" in error.message


@pytest.mark.parametrize("body", [initialize(), reconcile("deploy"), reconcile("cancel"), reconcile("delete")])
async def test_an_api_server_that_is_away_is_told(box: Box, body: bytes) -> None:
    box.cluster.go_down()
    with pytest.raises(ExternalServiceError):
        await box.accept(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"not json", "not JSON"),
        (b"{" + b" " * BODY_LIMIT + b"}", f"bytes long; at most {BODY_LIMIT}"),
        (json.dumps({**json.loads(initialize()), "version": 2}).encode(), "unknown version '2'"),
        (json.dumps({**json.loads(initialize()), "version": {"x": 1}}).encode(), "unknown version"),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        read(body)
    assert refused.value.reason is Reason.INVALID_MESSAGE


def test_the_known_version_and_unknown_fields_pass() -> None:
    assert read(json.dumps({**json.loads(initialize()), "version": 1, "extra": True}).encode()).event_id == "i-1"


def void(_value: object) -> None:
    """For a lambda that must give nothing."""
