"""Where the status goes, what the watch has told, and what Kopf takes for handled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import kopf
import pytest

from devops_reconciler.api.errors import ConflictError
from devops_reconciler.host.diffbase import NothingCompared
from devops_reconciler.host.index import Index, key_of
from devops_reconciler.host.queue import Key
from devops_reconciler.host.store import StatusStore
from devops_reconciler.runtime.urgency import Urgency
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM, Outside, outside

NOW = datetime(2026, 1, 1, tzinfo=UTC)


# The store


class Stored:
    """A store over an object in memory, and what it told of its saves."""

    def __init__(self) -> None:
        self.out: Outside = outside()
        self.told: list[dict[str, Any]] = []
        status = {"observedGeneration": 1, "url": "http://x/", "conditions": [{"type": "Ready"}]}
        obj = {"metadata": {"name": "shop"}, "spec": {}, "status": status}
        self.obj = self.out.kubernetes.put(DEVOPS_PROJECT, TEAM, obj)
        self.sent: list[Mapping[str, Any]] = []
        kubernetes = self.out.world.kubernetes
        self.store = StatusStore(kubernetes, DEVOPS_PROJECT, self.obj, self._saved)

    def _saved(self, obj: dict[str, Any], changed: Mapping[str, Any]) -> None:
        self.told.append(dict(changed))

    @property
    def status(self) -> dict[str, Any]:
        found = self.out.kubernetes.see(DEVOPS_PROJECT, TEAM, "shop")
        assert found is not None
        return dict(found["status"])


async def test_no_difference_is_no_write() -> None:
    it = Stored()
    await it.store.save({"url": "http://x/", "conditions": [{"type": "Ready"}], "plan": None})
    assert it.out.kubernetes.writes == []
    assert it.told == []


async def test_only_what_differs_is_sent_and_none_takes_a_field_away() -> None:
    it = Stored()
    await it.store.save({"url": None, "observedGeneration": 2, "conditions": [{"type": "Ready"}]})
    assert it.told == [{"url": None, "observedGeneration": 2}]
    assert it.status == {"observedGeneration": 2, "conditions": [{"type": "Ready"}]}


async def test_a_second_save_goes_on_from_the_first() -> None:
    it = Stored()
    await it.store.save({"observedGeneration": 2})
    await it.store.save({"observedGeneration": 2})
    await it.store.save({"observedGeneration": 3})
    assert [verb for verb, _, _ in it.out.kubernetes.writes] == ["status", "status"]


async def test_a_save_over_somebody_elses_change_is_refused_and_changes_nothing() -> None:
    it = Stored()
    it.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"url": "http://theirs/"}})
    with pytest.raises(ConflictError):
        await it.store.save({"observedGeneration": 2})
    assert it.status["url"] == "http://theirs/"
    assert it.status["observedGeneration"] == 1
    assert it.told == []


async def test_a_save_of_what_is_gone_is_a_conflict() -> None:
    it = Stored()
    it.out.kubernetes.remove(DEVOPS_PROJECT, TEAM, "shop")
    with pytest.raises(ConflictError):
        await it.store.save({"observedGeneration": 2})


# The index


def record(name: str, project: str = "shop", *conditions: str, expires: datetime | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": [{"type": each, "status": "True"} for each in conditions]}
    if expires is not None:
        status["expiresAt"] = expires.isoformat()
    metadata = {"name": name, "namespace": TEAM, "resourceVersion": "1"}
    return {
        "kind": "DeploymentRecord",
        "metadata": metadata,
        "spec": {"projectRef": {"name": project}},
        "status": status,
    }


def other(kind: str, name: str = "shop", *, owned: bool = True) -> dict[str, Any]:
    owner = {"kind": "DevOpsProject", "name": "shop", "uid": "u", "controller": True}
    metadata = {"name": name, "namespace": TEAM, "ownerReferences": [owner] if owned else []}
    return {"kind": kind, "metadata": metadata}


PROJECT = Key("DevOpsProject", TEAM, "shop")


def key(name: str) -> Key:
    return Key("DeploymentRecord", TEAM, name)


def test_a_change_of_a_project_concerns_its_records_that_are_at_work_or_held_back() -> None:
    index = Index()
    for obj in (
        record("one"),
        record("two", "shop", "Finished"),
        record("three", "another"),
        record("held-back", "shop", "Finished", "Suspended"),
    ):
        index.note(obj, deleted=False)
    project = {"kind": "DevOpsProject", "metadata": {"name": "shop", "namespace": TEAM}}
    assert index.concerned(project) == [key("one"), key("held-back")]


def test_a_record_that_ends_concerns_its_project_and_those_that_wait_behind_it() -> None:
    index = Index()
    for obj in (record("one"), record("two")):
        index.note(obj, deleted=False)
    assert index.concerned(record("one")) == [key("two")]
    ended = record("one", "shop", "Finished")
    index.note(ended, deleted=False)
    assert index.concerned(ended) == [PROJECT, key("two")]
    index.note(ended, deleted=True)
    assert index.concerned(ended) == [PROJECT, key("two")]


def test_a_record_that_is_deleted_concerns_its_project_and_those_that_wait() -> None:
    index = Index()
    for obj in (record("one"), record("two")):
        index.note(obj, deleted=False)
    index.note(record("one"), deleted=True)
    assert index.concerned(record("one")) == [PROJECT, key("two")]


def test_a_child_concerns_its_project_and_the_project_file_the_argo_settings() -> None:
    index = Index()
    assert index.concerned(other("RegistrySettings")) == [PROJECT]
    assert index.concerned(other("JenkinsSettings")) == [PROJECT, Key("ArgoSettings", TEAM, "shop")]
    assert index.concerned(other("JenkinsSettings", owned=False)) == []


def test_expired_are_the_finished_records_past_their_time_that_are_not_clean() -> None:
    index, past, future = Index(), NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    for obj in (
        record("due", "shop", "Finished", expires=past),
        record("later", "shop", "Finished", expires=future),
        record("at-work", "shop", expires=past),
        record("clean", "shop", "Finished", "CleanupVerified", expires=past),
        record("production", "shop", "Finished"),
        record("held-back", "shop", "Finished", "Suspended", expires=past),
    ):
        index.note(obj, deleted=False)
    assert index.expired(NOW) == [key("due")]
    index.note(record("due"), deleted=True)
    assert index.expired(NOW) == []


def test_the_progress_of_a_record_is_news_to_nobody_else() -> None:
    index = Index()
    assert index.note(record("one"), deleted=False)
    assert not index.note(record("one", "shop", "Synced"), deleted=False)
    assert index.note(record("one", "shop", "Synced", "Finished"), deleted=False)
    assert index.note(record("one"), deleted=True)
    assert index.note(other("RegistrySettings"), deleted=False)


def test_an_application_concerns_the_records_of_its_environment_that_are_at_work_or_take_it_down() -> None:
    index, past = Index(), NOW - timedelta(seconds=1)
    going, elsewhere = record("going", "shop", "Finished"), record("elsewhere")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    elsewhere["spec"]["environment"] = "pr-7"
    for obj in (
        record("at-work"),
        record("ended", "shop", "Finished"),
        record("expired", "shop", "Finished", expires=past),
        record("clean", "shop", "Finished", "CleanupVerified", expires=past),
        record("of-another-project", "blog"),
        going,
        elsewhere,
    ):
        index.note(obj, deleted=False)
    assert index.of_application(TEAM, "shop", "production", NOW) == [key("at-work"), key("expired"), key("going")]
    assert index.of_application(TEAM, "shop", "pr-7", NOW) == [key("elsewhere")]
    assert index.of_application("another", "shop", "production", NOW) == []


def test_a_record_that_is_given_to_another_project_is_found_there_alone() -> None:
    index = Index()
    index.note(record("one"), deleted=False)
    index.note(record("one", "blog"), deleted=False)
    assert index.active(TEAM, "shop") == []
    assert index.active(TEAM, "blog") == [key("one")]


def at_rest(obj: dict[str, Any]) -> dict[str, Any]:
    """Ready, with its newest spec."""
    obj["metadata"]["generation"] = 1
    status = obj.setdefault("status", {})
    status["observedGeneration"] = 1
    status.setdefault("conditions", []).append({"type": "Ready", "status": "True"})
    return obj


def test_a_deployment_is_urgent_until_it_has_finished_and_then_when_it_is_to_expire() -> None:
    index, past = Index(), NOW - timedelta(seconds=1)
    going = at_rest(record("going", "shop", "Finished"))
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    under_way = record("under-way")
    under_way["status"]["startedAt"] = "2026-01-01T00:00:00Z"
    for obj in (
        record("new"),
        under_way,
        at_rest(record("ended", "shop", "Finished")),
        at_rest(record("due", "shop", "Finished", expires=past)),
        at_rest(record("expired", "shop", "Finished", "Expired", expires=past)),
        at_rest(record("clean", "shop", "Finished", "CleanupVerified", expires=past)),
        going,
    ):
        index.note(obj, deleted=False)
    names = ("new", "under-way", "ended", "due", "expired", "clean", "going")
    assert {name: index.urgency(key(name), NOW) for name in names} == {
        "new": Urgency.ARRIVAL,
        "under-way": Urgency.DEPLOYMENT,
        "ended": Urgency.CHECK,
        "due": Urgency.DEPLOYMENT,
        "expired": Urgency.CHANGE,
        "clean": Urgency.CHECK,
        "going": Urgency.CHANGE,
    }


def test_an_expiry_that_we_have_told_is_no_more_urgent_before_the_watch_tells_it_and_is_no_news_then() -> None:
    index, past = Index(), NOW - timedelta(seconds=1)
    index.note(at_rest(record("one", "shop", "Finished", expires=past)), deleted=False)
    saved = at_rest(record("one", "shop", "Finished", "Expired", expires=past))
    index.told(saved)
    assert index.urgency(key("one"), NOW) is Urgency.CHANGE
    assert not index.note(saved, deleted=False)


def test_a_record_is_new_until_its_first_save_though_the_watch_has_not_told_of_it() -> None:
    index = Index()
    index.note(record("one"), deleted=False)
    index.told(record("one"))
    assert index.urgency(key("one"), NOW) is Urgency.DEPLOYMENT
    assert not index.note(record("one"), deleted=False), "that is news to nobody else"
    index.told(record("nobody"))


def test_work_is_for_a_namespace_and_a_project() -> None:
    index = Index()
    index.note(record("one"), deleted=False)
    assert index.tenant(key("one")) == (TEAM, "shop")
    assert index.tenant(Key("ArgoSettings", TEAM, "shop")) == (TEAM, "shop"), "children are named as their project"
    assert index.tenant(key("unknown")) == (TEAM, "unknown")


def test_what_is_ready_is_only_checked_until_somebody_wants_something_of_it() -> None:
    index, child = Index(), Key("RegistrySettings", TEAM, "shop")
    index.note(other("RegistrySettings"), deleted=False)
    assert index.urgency(child, NOW) is Urgency.CHANGE
    index.note(at_rest(other("RegistrySettings")), deleted=False)
    assert index.urgency(child, NOW) is Urgency.CHECK
    asked = at_rest(other("RegistrySettings"))
    asked["metadata"]["annotations"] = {"freeleaps.com/requestedAt": "now"}
    index.note(asked, deleted=False)
    assert index.urgency(child, NOW) is Urgency.CHANGE
    asked["status"]["lastHandledReconcileAt"] = "now"
    index.note(asked, deleted=False)
    assert index.urgency(child, NOW) is Urgency.CHECK
    index.note(other("RegistrySettings"), deleted=False)
    index.note(other("RegistrySettings"), deleted=True)
    assert index.urgency(child, NOW) is Urgency.CHECK


def test_the_index_takes_objects_without_status_and_spec() -> None:
    index = Index()
    bare = {"kind": "DeploymentRecord", "metadata": {"name": "one", "namespace": TEAM}}
    index.note(bare, deleted=False)
    assert index.active(TEAM, "") == [key_of(bare)]


# What Kopf takes for handled


@pytest.mark.parametrize("status", [{}, {"status": {"observedGeneration": -1}}, {"status": {"observedGeneration": 1}}])
def test_nothing_differs_from_what_was_handled(status: dict[str, Any]) -> None:
    storage, raw = NothingCompared(), {"metadata": {"name": "shop", "generation": 2}, "spec": {"a": 1}, **status}
    body = kopf.Body(cast(Any, raw))
    assert storage.fetch(body=body) == storage.build(body=body)
    assert storage.fetch(body=body) is not None, "a creation"


def test_nothing_is_written_to_the_object() -> None:
    patch = kopf.Patch()
    NothingCompared().store(body=kopf.Body({}), patch=patch, essence={"spec": {"a": 1}})
    assert not patch
