"""The phases of a record: waiting, its turn, cancelled, superseded, failed, deleted; and what it says meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.first_look import is_at_work
from devops_reconciler.inputs.subject import REQUESTED_ANNOTATION as REQUESTED
from devops_reconciler.services.kubernetes import ARGO_SETTINGS, DEPLOYMENT_RECORD, DEVOPS_PROJECT, JENKINS_SETTINGS
from tests.unit.world import TEAM

from .life import Life

SECOND = timedelta(seconds=1)


def ready(**changes: Any) -> Life:
    life = Life(**changes)
    life.project()
    life.set_up()
    return life


def cancel(life: Life, name: str) -> None:
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"spec": {"cancel": True}})


def terminal(life: Life, name: str) -> list[str]:
    told = life.told(name)
    assert [p["sequence"] for p in told] == list(range(1, len(told) + 1))
    return [p["result"] for p in told if p["terminal"]]


# Before the first step


async def test_the_first_pass_says_that_the_record_is_here_and_leaves_the_work_to_the_next_one() -> None:
    life = ready()
    life.record("one")
    verdict = await life.one_pass("one")
    assert verdict.after == timedelta(0)
    assert [told["step"] for told in life.told("one")] == ["accepted"]
    assert life.see("one", "DeploymentRecord")["status"]["applied"] == []
    await life.turn("one")
    assert life.see("one", "DeploymentRecord")["status"]["applied"] != []


async def test_a_record_waits_for_its_project_and_goes_on_when_it_comes() -> None:
    life = Life()
    life.record("one")
    verdict = await life.turn("one")
    assert life.reason("one", "Ready") == "Unknown/DependencyNotReady"
    assert verdict.after is not None
    life.project()
    life.set_up()
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


async def test_a_record_whose_project_never_comes_fails_after_the_time_out_with_one_terminal_heartbeat() -> None:
    life = Life()
    life.record("one")
    await life.live("one", most=1000)
    assert life.out.clock.now() - _created(life, "one") >= timedelta(minutes=10)
    assert life.reason("one") == "True/ProjectNotFound"
    assert life.reason("one", "Stalled") == "True/ProjectNotFound"
    assert terminal(life, "one") == ["Failed"]
    assert [p["step"] for p in life.told("one")].count("queue") == 1


def _created(life: Life, name: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(life.see(name)["metadata"]["creationTimestamp"])


async def test_a_record_that_waits_for_its_project_can_be_cancelled() -> None:
    life = Life()
    life.record("one")
    await life.turn("one")
    cancel(life, "one")
    await life.turn("one")
    assert life.reason("one") == "True/Cancelled"
    assert terminal(life, "one") == ["Cancelled"]


async def test_a_record_of_a_suspended_project_waits_and_writes_nothing_outside() -> None:
    life = ready()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": True}})
    life.record("one")
    await life.turn("one")
    assert life.reason("one", "Ready") == "Unknown/Paused"
    assert life.out.jenkins.triggers == []
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": False}})
    life.set_up()
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


@pytest.mark.parametrize("passes", [0, 1, 2])
@pytest.mark.parametrize("held", [{"suspend": True}, {"mode": "Plan"}], ids=["suspended", "planned"])
async def test_a_record_that_a_new_project_has_held_back_waits_for_its_set_up_from_then_on(
    held: dict[str, Any], passes: int
) -> None:
    life = Life()
    life.project(**held)
    await life.turn("shop", "DevOpsProject")
    life.record("one")
    await life.turn("one")
    assert life.reason("one", "Ready") in ("Unknown/Paused", "Unknown/Planned")
    life.out.clock.advance(timedelta(minutes=20))
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": False, "mode": "Apply"}})
    for _ in range(passes):
        await life.one_pass("shop", "DevOpsProject")
    await life.turn("one")
    assert life.reason("one", "Ready") == "Unknown/DependencyNotReady"
    life.out.clock.advance(timedelta(minutes=9))
    await life.turn("one")
    assert life.reason("one", "Ready") == "Unknown/DependencyNotReady"
    life.set_up()
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_a_record_that_was_held_back_waits_for_a_set_up_that_never_comes_no_longer_than_others() -> None:
    life = Life()
    life.project(suspend=True)
    life.record("one")
    await life.turn("one")
    life.out.clock.advance(timedelta(minutes=20))
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": False}})
    began = life.out.clock.now()
    await life.live("one", most=1000)
    assert life.reason("one") == "True/DependencyNotReady"
    assert timedelta(minutes=10) <= life.out.clock.now() - began < timedelta(minutes=11)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_look_at_a_record_that_was_asked_for_is_acknowledged(ended: bool) -> None:
    life = ready()
    life.record("one")
    await (life.live("one") if ended else life.turn("one"))
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"metadata": {"annotations": {REQUESTED: "now"}}})
    assert is_at_work(life.see("one"))
    await life.turn("one")
    assert life.status("one")["lastHandledReconcileAt"] == "now"
    assert is_at_work(life.see("one")) is not ended


async def test_a_record_of_a_suspended_project_can_be_cancelled() -> None:
    life = ready()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": True}})
    life.record("one")
    await life.turn("one")
    cancel(life, "one")
    await life.turn("one")
    assert terminal(life, "one") == ["Cancelled"]


async def test_a_record_made_by_hand_gets_its_labels_and_its_owner_and_is_deployed() -> None:
    life = ready()
    obj = life.record("one")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"metadata": {"labels": None}})
    await life.live("one")
    metadata = life.see("one")["metadata"]
    assert metadata["labels"] == {"freeleaps.com/project": "shop", "freeleaps.com/environment": "production"}
    assert [r["uid"] for r in metadata["ownerReferences"]] == ["uid-of-shop"]
    assert metadata["uid"] == obj["metadata"]["uid"]
    assert terminal(life, "one") == ["Succeeded"]


async def test_a_project_that_is_not_set_up_holds_the_build_back_for_a_bounded_time() -> None:
    life = Life()
    life.project()
    life.record("one")
    await life.live("one", most=1000)
    assert life.reason("one") == "True/DependencyNotReady"
    assert life.out.jenkins.triggers == []
    message = life.condition("one", "Finished")
    assert message is not None
    assert "RegistryReady" in message["message"]


async def test_what_happens_to_the_projects_parts_after_the_start_does_not_fail_a_long_build() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=20)
    life.record("one")
    while life.out.clock.now() < _created(life, "one") + timedelta(minutes=15):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    conditions = life.status("shop", "DevOpsProject")["conditions"]
    changed = [{**c, "status": "Unknown"} if c["type"] == "JenkinsReady" else c for c in conditions]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": changed}})
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_time_in_the_queue_does_not_count_as_time_waited_for_the_projects_parts() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=20)
    life.record("one")
    life.out.clock.advance(SECOND)
    life.record("two")
    await life.turn("two")
    await life.live("one", most=2000)
    conditions = life.status("shop", "DevOpsProject")["conditions"]
    now = life.out.clock.now().isoformat()
    changed = [
        {**c, "status": "Unknown", "lastTransitionTime": now} if c["type"] == "JenkinsReady" else c for c in conditions
    ]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": changed}})
    await life.turn("two")
    assert life.reason("two", "Finished") is None
    assert life.reason("two", "Ready") == "Unknown/DependencyNotReady"


# Errors on the way


async def test_an_unreadable_input_in_the_middle_costs_neither_steps_nor_percent_nor_repeated_news() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=5)
    life.record("one")
    for _ in range(3):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    before, told = life.status("one"), len(life.told("one"))
    life.out.line.fail("kubernetes.get JenkinsSettings", ExternalServiceError("time-out", service="kubernetes"))
    verdict = await life.turn("one")
    after = life.status("one")
    assert [s["name"] for s in after["steps"]] == [s["name"] for s in before["steps"]]
    assert after["percent"] >= before["percent"]
    assert life.reason("one", "Reconciling") == "True/ProgressingWithRetry"
    assert verdict.after is not None
    assert verdict.after >= timedelta(seconds=30)
    life.out.clock.advance(verdict.after)
    await life.turn("one")
    repeated = [(p["step"], p["state"]) for p in life.told("one")[told:]]
    assert ("revision", "Succeeded") not in repeated
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_an_ill_service_never_turns_the_percentage_back() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=5)
    life.out.jenkins.estimated = timedelta(minutes=5)
    life.record("one")
    seen = [0]
    for turn in range(400):
        if turn % 3 == 2:
            life.out.line.fail("*.builds", ExternalServiceError("jenkins: 503", service="jenkins"))
        verdict = await life.turn("one")
        seen.append(life.status("one").get("percent") or 0)
        if life.is_over("one", "DeploymentRecord"):
            break
        life.out.clock.advance(verdict.after or SECOND)
    assert seen == sorted(seen)
    told = [p["percent"] for p in life.told("one")]
    assert told == sorted(told)
    assert told[-1] == 100


async def test_a_vendor_that_was_ill_on_the_way_is_no_condition_of_the_finished_record() -> None:
    life = ready()
    life.record("one")
    life.out.line.fail("dns.shows", ExternalServiceError("dns: time-out", service="dns"))
    while life.condition("one", "VendorDegraded") is None:
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "VendorDegraded") is None


async def test_a_project_spec_that_cannot_be_read_ends_the_record_with_its_reason() -> None:
    life = ready()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"previews": {"max": "many"}}})
    life.record("one", environment="production")
    await life.live("one")
    assert life.reason("one") == "True/InvalidSpec"
    assert terminal(life, "one") == ["Failed"]


async def test_a_fault_of_our_own_becomes_a_condition_and_is_tried_again() -> None:
    life = ready()
    life.record("one")
    await life.turn("one")
    life.out.line.fail("kubernetes.get JenkinsSettings", KeyError("no such key"))
    verdict = await life.turn("one")
    assert life.reason("one", "Ready") == "False/InternalError"
    assert verdict.after == timedelta(seconds=60)
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_a_red_build_fails_the_record_with_the_end_of_the_log() -> None:
    life = ready()
    life.out.jenkins.result = "FAILURE"
    life.record("one")
    await life.live("one")
    assert life.reason("one") == "True/BuildFailed"
    finished = life.condition("one", "Finished")
    assert finished is not None
    assert "pushing failed: no space" in finished["message"]
    assert terminal(life, "one") == ["Failed"]
    assert life.holder() is None


async def test_a_build_that_takes_too_long_is_a_failure_with_its_own_reason() -> None:
    life = ready(build_timeout=timedelta(minutes=30))
    life.out.jenkins.build_time = timedelta(hours=10)
    life.record("one")
    await life.live("one", most=1000)
    assert life.reason("one") == "True/BuildTimeout"


async def test_an_unknown_revision_fails_before_anything_is_written() -> None:
    life = ready()
    life.record("one", revision="no-such-branch")
    await life.live("one")
    assert life.reason("one") == "True/RevisionNotFound"
    assert life.out.jenkins.triggers == []


async def test_an_image_that_comes_late_is_waited_for_with_short_looks() -> None:
    life = ready()
    life.out.jenkins.pushes = lambda parameters: None
    life.record("one")
    for _ in range(4):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    assert verdict.after is not None
    assert verdict.after <= timedelta(seconds=10)
    assert life.status("one")["step"] == "image"
    trigger = life.out.jenkins.triggers[0]
    life.out.hub.push(trigger["IMAGE_REPOSITORY"], trigger["IMAGE_TAG"])
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


async def test_an_application_that_is_not_there_yet_is_looked_for_soon() -> None:
    life = ready()
    app = life.out.argocd.apps.pop("shop")
    life.record("one")
    for _ in range(8):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    assert life.status("one")["step"] == "release"
    assert verdict.after is not None
    assert verdict.after <= timedelta(seconds=10)
    life.out.argocd.apps["shop"] = app
    await life.live("one")
    assert terminal(life, "one") == ["Succeeded"]


# Cancelled and deleted


@pytest.mark.parametrize("policy", ["Delete", "Orphan"])
async def test_cancelling_stops_the_build_whatever_is_to_stay_of_the_project(policy: str) -> None:
    life = Life()
    life.project(deletionPolicy=policy)
    life.set_up()
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    for _ in range(3):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    cancel(life, "one")
    await life.live("one")
    assert life.out.jenkins.running() == []
    assert terminal(life, "one") == ["Cancelled"]


async def test_cancelling_in_the_queue_takes_the_build_out_of_it() -> None:
    life = ready()
    life.out.jenkins.queue_time = timedelta(minutes=10)
    life.record("one")
    await life.turn("one")
    assert len(life.out.jenkins.queue) == 1
    cancel(life, "one")
    await life.live("one")
    assert life.out.jenkins.queue == []
    assert terminal(life, "one") == ["Cancelled"]


async def test_cancelling_terminates_our_own_sync_only() -> None:
    life = ready()
    life.out.argocd.sync_time = timedelta(minutes=5)
    life.record("one")
    while not life.out.argocd.syncs:
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    assert life.out.argocd.app("shop").get("operation")
    cancel(life, "one")
    await life.live("one")
    assert life.out.argocd.app("shop").get("operation") is None
    assert terminal(life, "one") == ["Cancelled"]


async def test_deleting_productions_record_removes_nothing_shared() -> None:
    life = ready()
    life.record("one")
    await life.live("one")
    await life.delete("one")
    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one") is None
    assert "shop" in life.out.argocd.apps
    assert [r.name for r in life.out.godaddy.zones["example.com"] if r.type == "A"] == ["shop"]
    assert life.out.kubernetes.see(JENKINS_SETTINGS, TEAM, "shop") is not None
    assert life.out.kubernetes.see(ARGO_SETTINGS, TEAM, "shop") is not None
    assert life.out.hub.held["acme/shop"].tags, "production runs this image"


@pytest.mark.parametrize("passes", [1, 2, 4, 6, 8, 10])
async def test_deleting_a_record_at_any_moment_ends_with_one_terminal_heartbeat_and_no_build(passes: int) -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(seconds=10)
    life.record("one", environment="pr-1")
    for _ in range(passes):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(0))
    await life.delete("one")
    assert len(terminal(life, "one")) == 1
    assert life.out.jenkins.running() == []
    assert life.holder("pr-1") is None
    assert "shop-pr-1" not in life.out.argocd.apps
