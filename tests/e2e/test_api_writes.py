"""What a project costs the API server, by its own audit log."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import UTC, datetime

import pytest

from testbed.audit import AuditEvent
from testbed.rights import user_in
from testbed.stage_cluster import KINDS
from testbed.waiting import eventually

from .play import DEADLINE, Play, by_operator

WRITES = ("create", "update", "patch", "delete")
CHILD_LIMIT, PROJECT_LIMIT = 3, 5
OURS = set(KINDS) - {"deploymentrecords"}
"""The project and its children."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


def asked(play: Play, since: int) -> list[AuditEvent]:
    """What the operator asked about our objects of this project."""
    found = play.stage.control_plane.audit.events(user=user_in(play.stage.namespace), since=since)
    return [event for event in found if event.resource in KINDS and event.name == play.project]


async def log_is_up_to_date(play: Play, since: int) -> None:
    """Until the log has a request of ours that was made after all that has been answered so far."""
    mark = f"/version?mark={secrets.token_hex(8)}"
    await play.stage.kube.get(mark)

    async def there() -> bool:
        return any(event.path == mark for event in play.stage.control_plane.audit.events(since=since))

    await eventually(there, "the audit log has caught up")


async def test_each_child_costs_three_writes_and_its_project_five_at_most(play: Play) -> None:
    since = play.stage.control_plane.audit.position()
    await play.set_up()
    await log_is_up_to_date(play, since)
    written = Counter(event.resource for event in asked(play, since) if event.verb in WRITES and event.code < 400)
    assert set(written) == OURS
    assert written.pop("devopsprojects") <= PROJECT_LIMIT, written
    assert max(written.values()) <= CHILD_LIMIT, written


def looked_at(play: Play, since: datetime) -> bool:
    """Whether the operator has asked each of these services about the project since."""
    services = (play.stage.jenkins, play.stage.argocd, play.stage.hub)
    return all(
        any(by_operator(call) and call.at > since and play.project in call.path for call in each.controls.calls)
        for each in services
    )


async def test_looks_at_what_rests_read_none_of_it(play: Play) -> None:
    await play.set_up()

    async def nothing_was_read() -> bool:
        """From one look at each to the next."""
        since, started = play.stage.control_plane.audit.position(), datetime.now(UTC)

        async def all_looked_at() -> bool:
            return looked_at(play, started)

        await eventually(all_looked_at, "the project's parts are looked at outside", DEADLINE)
        await log_is_up_to_date(play, since)
        return asked(play, since) == []

    await eventually(nothing_was_read, "a look that reads no object of the project", 3 * DEADLINE)


async def test_a_new_process_looks_at_all_and_writes_nothing(play: Play) -> None:
    await play.set_up()
    since = play.stage.control_plane.audit.position()
    await play.operator.kill()
    started = datetime.now(UTC)
    await play.operator.start()
    await play.operator.wait_ready()

    def of_new_process() -> list[AuditEvent]:
        return [event for event in asked(play, since) if event.received > started]

    async def looked_at() -> bool:
        return {event.resource for event in of_new_process() if event.verb == "get"} >= OURS

    await eventually(looked_at, "the new process has looked at the project and its children")
    assert [event for event in of_new_process() if event.verb in WRITES] == []
