"""Which records a `cancel`, `extend` or `delete` takes that names none: what can still be stopped, kept or removed."""

from __future__ import annotations

import json

import pytest

from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.api.names import record_name
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Kind, Object

from .box import Box
from .cluster import NAMESPACE, project
from .samples import reconcile

ENDS = {"e-1": "Succeeded", "e-2": "Failed"}


def finish(box: Box, event_id: str, reason: str = "Succeeded") -> None:
    made = box.record_of(event_id)
    assert made is not None
    finished = {"type": "Finished", "status": "True", "reason": reason, "message": ""}
    box.cluster.put(DEPLOYMENT_RECORD, {**made, "status": {"conditions": [finished]}})


def hold(box: Box, event_id: str, environment: str = "pr-7") -> None:
    """The project as it is when the record of `event_id` has claimed the environment."""
    held = [{"name": environment, "holder": record_name("shop", event_id)}]
    box.cluster.put(DEVOPS_PROJECT, {**box.the_project(), "status": {"environments": held}})


async def deployments(box: Box, count: int, environment: str = "pr-7") -> None:
    """A project with so many records, `e-1` the first, all under way."""
    box.cluster.put(DEVOPS_PROJECT, project())
    for number in range(1, count + 1):
        await box.accept(reconcile("deploy", f"e-{number}", number, environment=environment))


async def held_and_failed(box: Box, environment: str = "pr-7") -> None:
    """`e-1` is up, and `e-2` has failed before it claimed the environment."""
    await deployments(box, 2, environment)
    for event_id, reason in ENDS.items():
        finish(box, event_id, reason)
    hold(box, "e-1", environment)


def left(box: Box) -> list[str]:
    return [made["spec"]["triggerEventId"] for made in box.cluster.records()]


def having(box: Box, field: str) -> list[str]:
    return [made["spec"]["triggerEventId"] for made in box.cluster.records() if made["spec"].get(field)]


async def test_delete_takes_the_holder_of_a_preview_whose_next_deployment_has_failed(box: Box) -> None:
    await held_and_failed(box)
    assert await box.word(reconcile("delete", "d-1", 10, environment="pr-7")) == "deleted"
    assert left(box) == ["e-2"]


async def test_delete_of_a_preview_takes_its_holder_and_what_is_under_way(box: Box) -> None:
    await deployments(box, 4)
    finish(box, "e-1")
    finish(box, "e-2")
    hold(box, "e-2")
    outcome = await box.accept(reconcile("delete", "d-1", 10, environment="pr-7", requested_by="alice"))
    names = ", ".join(f"{NAMESPACE}/{record_name('shop', event_id)}" for event_id in ("e-4", "e-3", "e-2"))
    assert (outcome.word, outcome.detail) == ("deleted", f"DeploymentRecord {names}")
    assert left(box) == ["e-1"]


async def test_delete_of_a_preview_spares_what_was_asked_for_later(box: Box) -> None:
    await deployments(box, 3)
    await box.accept(reconcile("delete", "d-1", 2, environment="pr-7"))
    assert left(box) == ["e-3"]


@pytest.mark.parametrize("status", [{}, {"environments": []}])
async def test_where_nothing_of_a_preview_lives_delete_takes_the_newest(box: Box, status: Object) -> None:
    await held_and_failed(box)
    box.the_project()["status"] = status
    assert await box.word(reconcile("delete", "d-1", 10, environment="pr-7")) == "deleted"
    assert left(box) == ["e-1"]


async def test_without_its_project_delete_takes_all_of_a_preview_that_is_under_way(box: Box) -> None:
    for number in (1, 2, 3):
        await box.accept(reconcile("deploy", f"e-{number}", number, environment="pr-7"))
    finish(box, "e-2")
    assert await box.word(reconcile("delete", "d-1", 10, environment="pr-7")) == "deleted"
    assert left(box) == ["e-2"]


async def test_delete_of_production_takes_the_newest_alone(box: Box) -> None:
    """Its holder must not go by a message that meant a failed attempt."""
    await held_and_failed(box, "production")
    assert await box.word(reconcile("delete", "d-1", 10)) == "deleted"
    assert left(box) == ["e-1"]


async def test_delete_takes_no_more_than_the_deployment_that_it_names(box: Box) -> None:
    await deployments(box, 2)
    body = reconcile("delete", "d-1", 10, environment="pr-7", deployment=record_name("shop", "e-1"))
    assert await box.word(body) == "deleted"
    assert left(box) == ["e-2"]


async def test_delete_of_a_preview_that_comes_again_goes_on_to_no_other(box: Box) -> None:
    await deployments(box, 3)
    finish(box, "e-1")
    body = reconcile("delete", "d-1", 10, environment="pr-7")
    assert await box.word(body) == "deleted"
    assert await box.word(body) == "absent"
    assert left(box) == ["e-1"]


async def test_delete_of_a_preview_that_was_cut_short_is_finished_when_it_comes_again(box: Box) -> None:
    await deployments(box, 3)
    finish(box, "e-1")
    delete = box.cluster.delete

    async def delete_and_go_down(kind: Kind, namespace: str | None, name: str, *, uid: str | None = None) -> bool:
        there = await delete(kind, namespace, name, uid=uid)
        box.cluster.go_down()
        return there

    box.cluster.delete = delete_and_go_down  # type: ignore[method-assign]
    body = reconcile("delete", "d-1", 10, environment="pr-7")
    with pytest.raises(ExternalServiceError):
        await box.accept(body)
    assert left(box) == ["e-1", "e-2"]
    box.cluster.error, box.cluster.delete = None, delete  # type: ignore[method-assign]
    finish(box, "e-2")  # what it is by now changes nothing of what was chosen
    assert await box.word(body) == "deleted"
    assert left(box) == ["e-1"]


async def test_a_record_whose_name_is_anothers_by_now_keeps_no_other_from_its_deletion(box: Box) -> None:
    await deployments(box, 2)
    body = reconcile("delete", "d-1", 10, environment="pr-7", requested_by="alice")

    def make_anew() -> None:
        newest = box.record_of("e-2")
        assert newest is not None
        metadata = {name: value for name, value in newest["metadata"].items() if name != "uid"}
        box.cluster.put(DEPLOYMENT_RECORD, {**newest, "metadata": metadata})

    box.cluster.before_write = make_anew
    assert await box.word(body) == "deleted"
    assert left(box) == ["e-2"]


async def test_who_takes_the_environment_meanwhile_is_deleted_too(box: Box) -> None:
    await held_and_failed(box)
    await box.accept(reconcile("deploy", "e-3", 3, environment="pr-7"))

    def take_over() -> None:
        hold(box, "e-3")
        finish(box, "e-3")

    box.cluster.before_write = take_over
    assert await box.word(reconcile("delete", "d-1", 10, environment="pr-7")) == "deleted"
    assert left(box) == ["e-1", "e-2"]


async def test_a_deletion_that_an_older_version_remembers_is_finished(box: Box) -> None:
    await deployments(box, 2)
    older = box.record_of("e-1")
    assert older is not None
    chosen = {record_name("shop", "d-1"): f"{older['metadata']['name']}/{older['metadata']['uid']}"}
    annotations = {"freeleaps.com/deletions": json.dumps(chosen)}
    box.cluster.put(DEVOPS_PROJECT, project(annotations=annotations))
    assert await box.word(reconcile("delete", "d-1", 10, environment="pr-7")) == "deleted"
    assert left(box) == ["e-2"]


async def test_what_an_older_version_can_remember_is_remembered_as_it_does(box: Box) -> None:
    await deployments(box, 1)
    made = box.record_of("e-1")
    assert made is not None
    await box.accept(reconcile("delete", "d-1", 10, environment="pr-7"))
    text = box.the_project()["metadata"]["annotations"]["freeleaps.com/deletions"]
    assert list(json.loads(text).values()) == [f"{made['metadata']['name']}/{made['metadata']['uid']}"]


async def test_extend_keeps_the_preview_whose_next_deployment_has_failed(box: Box) -> None:
    await held_and_failed(box)
    assert await box.word(reconcile("extend", "x-1", 10, environment="pr-7", ttl="1h")) == "extended"
    assert having(box, "expiresAt") == ["e-1"]


async def test_extend_keeps_what_is_to_take_the_preview_over(box: Box) -> None:
    await held_and_failed(box)
    await box.accept(reconcile("deploy", "e-3", 3, environment="pr-7"))
    body = reconcile("extend", "x-1", 10, environment="pr-7", ttl="1h")
    outcome = await box.accept(body)
    names = ", ".join(f"{NAMESPACE}/{record_name('shop', event_id)}" for event_id in ("e-3", "e-1"))
    assert (outcome.word, outcome.detail) == ("extended", f"DeploymentRecord {names}")
    assert having(box, "expiresAt") == ["e-1", "e-3"]
    assert await box.word(body) == "duplicate"
    assert await box.word(reconcile("extend", "x-0", 9, environment="pr-7", ttl="2h")) == "outdated"


async def test_extend_of_several_goes_on_where_somebody_came_in_between(box: Box) -> None:
    await deployments(box, 2)

    def change(event_id: str) -> None:
        found = box.record_of(event_id)
        assert found is not None
        box.cluster.put(DEPLOYMENT_RECORD, found)

    def change_the_newest() -> None:
        change("e-2")
        box.cluster.before_write = change_the_next

    def change_the_next() -> None:
        box.cluster.before_write = lambda: change("e-1")

    box.cluster.before_write = change_the_newest
    assert await box.word(reconcile("extend", "x-1", 10, environment="pr-7", ttl="1h")) == "extended"
    assert having(box, "expiresAt") == ["e-1", "e-2"]
    assert [name for _, name in box.cluster.writes[2:]] == [record_name("shop", e) for e in ("e-2", "e-1")]


async def test_a_record_that_always_changes_is_not_extended_for_now(box: Box) -> None:
    await deployments(box, 1)

    def change() -> None:
        box.cluster.put(DEPLOYMENT_RECORD, box.the_record())
        box.cluster.before_write = change

    box.cluster.before_write = change
    with pytest.raises(ConflictError):
        await box.accept(reconcile("extend", "x-1", 10, environment="pr-7", ttl="1h"))


async def test_where_nothing_of_a_preview_lives_extend_takes_the_newest(box: Box) -> None:
    await held_and_failed(box)
    box.the_project()["status"] = {}
    assert await box.word(reconcile("extend", "x-1", 10, environment="pr-7", ttl="1h")) == "extended"
    assert having(box, "expiresAt") == ["e-2"]


@pytest.mark.parametrize("environment", ["pr-7", "production"])
async def test_cancel_takes_the_newest_that_has_not_finished(box: Box, environment: str) -> None:
    await deployments(box, 3, environment)
    finish(box, "e-3", "Failed")
    assert await box.word(reconcile("cancel", "c-1", 10, environment=environment)) == "cancelled"
    assert having(box, "cancel") == ["e-2"]


async def test_where_all_have_finished_cancel_takes_the_newest(box: Box) -> None:
    await held_and_failed(box)
    assert await box.word(reconcile("cancel", "c-1", 10, environment="pr-7")) == "cancelled"
    assert having(box, "cancel") == ["e-2"]


async def test_cancel_that_comes_again_goes_on_to_no_other(box: Box) -> None:
    """What it has cancelled has finished by then."""
    await deployments(box, 2)
    body = reconcile("cancel", "c-1", 10, environment="pr-7")
    assert await box.word(body) == "cancelled"
    finish(box, "e-2", "Cancelled")
    assert await box.word(body) == "duplicate"
    assert having(box, "cancel") == ["e-2"]
    assert await box.word(reconcile("cancel", "c-2", 11, environment="pr-7")) == "cancelled"
    assert having(box, "cancel") == ["e-1", "e-2"]
