"""A message that nobody can still mean, as of a queue that was forgotten, makes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import Refused
from devops_reconciler.api.names import record_name
from devops_reconciler.messages.inbox import Inbox, read
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT

from .box import Box
from .cluster import project, record
from .samples import NOW, at, initialize, reconcile, settings

DAY = 24 * 3600


@pytest.mark.parametrize("action", ["deploy", "rollback"])
async def test_a_deployment_that_waited_for_some_days_is_made(box: Box, action: str) -> None:
    assert await box.word(reconcile(action, "e-1", -3 * DAY, to="lastHealthy")) == "created"


@pytest.mark.parametrize("action", ["deploy", "rollback"])
async def test_a_deployment_that_nobody_can_still_mean_is_refused(box: Box, action: str) -> None:
    """An old queue that is read again holds what was carried out long ago, and pruned with its record."""
    box.cluster.put(DEVOPS_PROJECT, project())
    error = await box.refusal(reconcile(action, "e-1", -8 * DAY, to="lastHealthy"))
    assert error.reason is Reason.TRIGGER_TOO_OLD
    assert "timestamp: 2025-12-24T12:00:00+00:00 is 8 days ago" in error.message
    assert "within 7 days (TRIGGER_MAX_AGE)" in error.message
    assert "send it again with a new event_id and timestamp" in error.message
    assert "`devops-reconciler dead-letters replay`" in error.message
    assert (box.cluster.records(), box.cluster.writes, box.made) == ([], [], [])


async def test_an_old_deployment_whose_record_is_there_is_the_one_that_is_there(box: Box) -> None:
    body = reconcile("deploy", "e-1", -8 * DAY)
    name = record_name("shop", "e-1")
    box.cluster.put(DEPLOYMENT_RECORD, record(name, "production", at(-8 * DAY), triggerEventId="e-1"))
    assert await box.word(body) == "duplicate"
    box.cluster.put(DEVOPS_PROJECT, project(deletionTimestamp="2026-01-01T11:00:00Z"))
    assert await box.word(body) == "duplicate"


async def test_an_old_deployment_waits_for_no_project_that_is_being_deleted(box: Box) -> None:
    box.cluster.put(DEVOPS_PROJECT, project(deletionTimestamp="2026-01-01T11:00:00Z"))
    assert (await box.refusal(reconcile("deploy", "e-1", -8 * DAY))).reason is Reason.TRIGGER_TOO_OLD


async def test_an_old_message_does_not_bring_a_deleted_project_back(box: Box) -> None:
    body = initialize("i-1", -8 * DAY)
    assert (await box.refusal(body)).reason is Reason.TRIGGER_TOO_OLD
    assert box.cluster.writes == []
    assert await box.word(body, NOW) == "applied"
    assert await box.word(body) == "duplicate"


async def test_an_old_initialize_after_a_newer_one_is_ignored_as_ever(box: Box) -> None:
    await box.accept(initialize("i-2", -7 * DAY))
    assert await box.word(initialize("i-1", -8 * DAY)) == "outdated"


async def test_what_somebody_has_published_again_is_as_young_as_that(box: Box) -> None:
    body = reconcile("deploy", "e-1", -300 * DAY)
    error = await box.refusal(body, NOW - timedelta(days=9))
    assert error.reason is Reason.TRIGGER_TOO_OLD
    assert "x-replayed-at: 2025-12-23T12:00:00+00:00 is 9 days ago" in error.message
    assert await box.word(body, NOW - timedelta(days=7)) == "created"


async def test_a_message_is_no_older_for_having_been_published_again(box: Box) -> None:
    assert await box.word(reconcile("deploy"), NOW - timedelta(days=9)) == "created"


async def test_a_replay_far_ahead_is_refused_or_it_would_be_good_for_ever(box: Box) -> None:
    error = await box.refusal(reconcile("deploy", "e-1", -8 * DAY), NOW + timedelta(hours=25))
    assert error.reason is Reason.INVALID_MESSAGE
    assert "x-replayed-at: 2026-01-02T13:00:00+00:00 is more than 24 hours ahead" in error.message


async def test_how_old_a_message_may_be_is_a_setting(box: Box) -> None:
    hour = Inbox(box.cluster, settings(trigger_max_age="1h"), FakeClock(NOW))
    assert (await hour.accept(read(reconcile("deploy", "e-1", -3600)))).word == "created"
    with pytest.raises(Refused, match=r"is 3601s ago, .* within 1h \(TRIGGER_MAX_AGE\)"):
        await hour.accept(read(reconcile("deploy", "e-2", -3601)))


@pytest.mark.parametrize("action", ["cancel", "extend", "delete"])
async def test_what_is_about_a_record_that_is_there_may_be_old(box: Box, action: str) -> None:
    box.cluster.put(DEPLOYMENT_RECORD, record("by-hand", "pr-7", at(-9 * DAY)))
    body = reconcile(action, "x-1", -8 * DAY, environment="pr-7", ttl="30d" if action == "extend" else None)
    assert await box.word(body) in ("cancelled", "extended", "deleted")
