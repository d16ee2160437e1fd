"""Messages as users and operators of the operator meet them: a broker in trouble, a dead letter taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from testbed.triggers import initialize, reconcile
from testbed.waiting import eventually

from .play import DEADLINE, Play, Trigger, check_heartbeats
from .test_commands import command

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def short_of_memory(play: Play) -> AsyncIterator[None]:
    """RabbitMQ reads nothing from those who publish."""
    await asyncio.to_thread(play.stage.broker.alarm, on=True)
    try:
        yield
    finally:
        await asyncio.to_thread(play.stage.broker.alarm, on=False)


async def test_a_deployment_goes_on_while_no_heartbeat_can_be_sent_and_a_crash_then_leaves_no_gap(play: Play) -> None:
    await play.set_up()
    preview = f"{play.project}-pr-1"
    # RabbitMQ takes its time to be told: the deployment must not have ended by then.
    play.stage.argocd.hold_operation(preview)
    trigger = await play.send("deploy", environment="pr-1", ttl="1h")
    name = await trigger.name()
    async with short_of_memory(play):
        play.stage.argocd.release(preview)
        await play.wait_record(name, "Finished", reason="Succeeded")
        assert not [beat for beat in trigger.beats if beat.payload["terminal"]]
        outbox = (await play.record(name))["status"]["heartbeat"]["outbox"]
        assert outbox, "the outbox keeps what the broker has not confirmed"
        await play.operator.kill()
    await play.operator.start()
    await play.operator.wait_ready()
    last = await trigger.terminal()
    assert last.payload["result"] == "Succeeded"
    check_heartbeats(trigger.beats, repeats=True)

    async def empty() -> bool:
        return not (await play.record(name))["status"]["heartbeat"].get("outbox")

    await eventually(empty, "the outbox is empty once all is confirmed", DEADLINE)


async def test_a_refused_message_is_found_shown_and_taken_up_again_as_the_same_event(play: Play) -> None:
    """An `extend` that came before what it extends; then it is there."""
    deployed = reconcile(play.project, "deploy", environment="pr-1", ttl="1h")
    extend = reconcile(play.project, "extend", environment="pr-1", ttl="5h")
    await play.stage.publish(extend)
    letter = await listed(play, extend["event_id"])
    assert (letter["reason"], letter["type"]) == ("ProjectNotFound", "DevOpsReconcile")
    page = json.loads(await command(play, "dead-letters", "show", letter["id"], "--json"))
    assert json.loads(page["body"]) == extend
    assert page["headers"]["x-error"] == letter["error"]
    assert await command(play, "dead-letters", "show", letter["id"], "--body") == json.dumps(extend)

    await play.stage.publish(initialize(play.project, await play.spec()))
    await play.ready()
    trigger = await play.send_message({**deployed, "timestamp": extend["timestamp"]})
    record = await trigger.ended()
    before = record["status"]["expiresAt"]
    said = await command(play, "dead-letters", "replay", letter["id"])
    assert said.startswith(f"{letter['id']} published again\n1 published again, ")

    async def extended() -> Any:
        found = await play.record(record["metadata"]["name"])
        return found["status"]["expiresAt"] > before and found

    await eventually(extended, "the preview lives longer", DEADLINE)
    assert letter["id"] not in await command(play, "dead-letters", "list")
    assert len(await play.records()) == 1
    assert "no dead letter has the id" in await command(play, "dead-letters", "show", letter["id"], code=1)
    assert Trigger(play, extend).beats == []


async def listed(play: Play, message_id: str) -> dict[str, Any]:
    """The letter that holds this event, once it is there."""

    async def found() -> dict[str, Any] | None:
        for row in json.loads(await command(play, "dead-letters", "list", "--json")):
            page = json.loads(await command(play, "dead-letters", "show", row["id"], "--json"))
            if message_id in page.get("body", ""):
                return dict(row)
        return None

    letter = await eventually(found, "the letter is there", DEADLINE)
    assert letter is not None
    return letter
