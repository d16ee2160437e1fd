"""What a new process knows of the heartbeats that an earlier one has sent: only what the outbox says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.world import TEAM

from .life import Life
from .test_running_images import deploy, polls, running


async def finished() -> Life:
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    await life.live("one")
    await life.turn("one")
    assert life.status("one")["heartbeat"]["outbox"] == [], "the outbox is empty when all is confirmed"
    return life


async def test_each_heartbeat_says_whose_project_it_is() -> None:
    """Another tenant can have a project, a record and a trigger of the same names."""
    life = await finished()
    told = life.told("one")
    assert told
    assert {(each["namespace"], each["project"]) for each in told} == {(TEAM, "shop")}


async def test_a_record_that_ended_before_the_operator_was_restarted_can_be_deleted_at_once() -> None:
    life = await finished()
    life.sent.clear()  # a new process has had nothing confirmed
    before = life.out.clock.now()

    await life.delete("one")

    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one") is None
    assert life.out.clock.now() - before < timedelta(seconds=30)


async def test_a_record_with_words_that_the_broker_does_not_have_waits_for_them() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.broker = False
    life.record("one")
    await life.live("one")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")

    verdicts = [await life.turn("one") for _ in range(5)]

    assert not any(verdict.released for verdict in verdicts)


async def test_last_words_are_waited_for_from_when_they_are_said_however_old_the_deletion_is() -> None:
    """Nobody acted for long; the first pass says how it ended, before the sender has connected to the broker."""
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    await life.turn("one")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")
    life.out.clock.advance(timedelta(hours=1))
    life.broker = False

    assert not (await life.turn("one")).released
    life.out.clock.advance(timedelta(minutes=4))
    assert not (await life.turn("one")).released

    life.broker = True
    assert (await life.turn("one")).released
    assert life.told("one")[-1]["result"] == "Cancelled"


async def test_last_words_that_the_broker_does_not_take_hold_no_deletion_for_ever() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    await life.turn("one")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")
    life.broker = False
    assert not (await life.turn("one")).released
    life.out.clock.advance(timedelta(minutes=6))
    assert (await life.turn("one")).released


async def test_a_record_with_words_that_the_broker_does_not_have_is_not_pruned() -> None:
    """However long the broker is away: a deletion would wait for it for some minutes only."""
    life = running(historyLimit=1)
    life.broker = False
    for name in ("one", "two"):
        assert await deploy(life, name) == "True/Succeeded"
    await polls(life)
    assert not life.is_deleted("one")

    life.broker = True
    await life.turn("one")
    await polls(life)
    assert life.is_deleted("one")
    assert life.told("one")[-1]["result"] == "Succeeded"


@pytest.mark.parametrize("length", [20, 1024])
async def test_a_wait_is_told_once_however_long_its_cause(length: int) -> None:
    """The cause is the text of another condition, which alone may be as long as one can be."""
    life = Life()
    life.project()
    ill = {"status": "Unknown", "reason": "ExternalServiceError", "message": "x" * length}
    well = {"status": "True", "reason": "Succeeded"}
    said = [
        {"type": part, **(ill if part == "ArgoReady" else well), "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for part in ("RegistryReady", "JenkinsReady", "ArgoReady")
    ]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": said}})
    life.record("one")
    for _ in range(6):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=5))
    assert [each["step"] for each in life.told("one")] == ["accepted", "queue"]
