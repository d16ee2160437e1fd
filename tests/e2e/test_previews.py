"""Previews: they come with all of their own, pass to later deployments, expire, and are verified gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from testbed.stage_cluster import NAMESPACE, condition, path
from testbed.waiting import eventually

from .play import DEADLINE, RECORDS, Play, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_preview_has_application_namespace_ingress_and_record_of_its_own(play: Play) -> None:
    await play.set_up()
    production = await play.deploy()
    commit = await (await play.sample()).commit("Try a thing", {"greeting.txt": "Try.\n"}, branch="try")

    preview = await play.deploy(environment="pr-1", revision="try", ttl="1h")

    assert preview["status"]["commit"] == commit
    host = play.preview_host("pr-1")
    visit = await play.visit(host)
    assert (visit.status, visit.image) == (200, preview["status"]["image"])
    assert visit.facts["namespace"] == f"{play.project}-pr-1"
    assert (await play.visit()).image == production["status"]["image"]
    assert await play.left(f"{play.project}-pr-1") == [
        f"argocd application {play.project}-pr-1",
        f"godaddy A {host}",
        f"godaddy TXT a-{host}",
        f"kubernetes ingress {play.project}-pr-1/{play.project}-pr-1",
        f"kubernetes namespace {play.project}-pr-1",
    ]


async def test_a_preview_expires_and_is_verified_gone_while_production_stays(play: Play) -> None:
    await play.set_up()
    await play.deploy()
    before = await play.left()
    await (await play.sample()).commit("Try a thing", {"greeting.txt": "Try.\n"}, branch="try")
    trigger = await play.send("deploy", environment="pr-2", revision="try", ttl="2s")
    record = await trigger.ended()
    finished, expires = (datetime.fromisoformat(record["status"][each]) for each in ("finishedAt", "expiresAt"))
    assert expires - finished == timedelta(seconds=2)

    gone = await play.wait_record(record["metadata"]["name"], "CleanupVerified")
    await trigger.heard("expiry", "Succeeded")

    assert await play.left() == before
    assert await play.outside.is_gone(play.preview_host("pr-2"))
    assert (await play.visit()).status == 200
    assert condition(gone, "Expired")["status"] == "True"  # type: ignore[index]
    ready = condition(gone, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "Expired")
    assert condition(gone, "Stalled") is None
    assert condition(gone, "Finished")["status"] == "True"  # type: ignore[index]
    check_heartbeats(trigger.beats)
    project = await play.ready()
    assert [each["name"] for each in project["status"]["environments"]] == ["production"]


async def test_a_later_record_takes_the_environment_over_and_the_older_ones_deletion_takes_nothing_down(
    play: Play,
) -> None:
    await play.set_up()
    older = await play.deploy(environment="pr-3", ttl="1h")
    await (await play.sample()).commit("More", {"greeting.txt": "More.\n"})
    newer = await play.deploy(environment="pr-3", ttl="1h")
    host = play.preview_host("pr-3")
    assert (await play.visit(host)).image == newer["status"]["image"]
    assert len(play.tags) == 2

    await play.stage.kube.delete(path(RECORDS, older["metadata"]["name"]))
    await play.stage.kube.wait_gone(RECORDS, older["metadata"]["name"], DEADLINE)

    assert (await play.visit(host)).image == newer["status"]["image"]
    assert list(play.tags.values()) == [newer["status"]["image"].partition("@")[2]]
    project = await play.ready()
    assert [each["holder"] for each in project["status"]["environments"]] == [newer["metadata"]["name"]]


async def test_the_expiry_of_an_older_record_takes_nothing_down(play: Play) -> None:
    await play.set_up()
    older = await play.deploy(environment="pr-4", ttl="4s")
    await (await play.sample()).commit("More", {"greeting.txt": "More.\n"})
    newer = await play.deploy(environment="pr-4", ttl="1h")

    await play.wait_record(older["metadata"]["name"], "CleanupVerified")

    assert (await play.visit(play.preview_host("pr-4"))).image == newer["status"]["image"]
    assert (await play.record(newer["metadata"]["name"]))["status"]["expiresAt"] == newer["status"]["expiresAt"]


async def test_extend_sets_the_expiry_from_the_time_of_the_message(play: Play) -> None:
    await play.set_up()
    record = await play.deploy(environment="pr-5", ttl="1h")

    trigger = await play.send("extend", environment="pr-5", ttl="3h")

    sent = datetime.fromisoformat(trigger.message["timestamp"]).astimezone(UTC)
    wanted = (sent + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = record["metadata"]["name"]
    await play.stage.kube.until(
        RECORDS, name, lambda it: it["status"]["expiresAt"] == wanted, f"expires at {wanted}", DEADLINE
    )
    # A shorter time by kubectl counts as well: the preview goes at once.
    past = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await play.stage.kube.patch(path(RECORDS, name), {"spec": {"expiresAt": past}})
    await play.wait_record(name, "CleanupVerified")
    assert await play.left(f"{play.project}-pr-5") == []


async def test_the_action_delete_removes_the_preview_and_its_record(play: Play) -> None:
    await play.set_up()
    record = await play.deploy(environment="pr-6", ttl="1h")

    await play.send("delete", environment="pr-6")

    await play.stage.kube.wait_gone(RECORDS, record["metadata"]["name"], DEADLINE)
    assert await play.left(f"{play.project}-pr-6") == []
    assert play.tags == {}


async def test_a_preview_beyond_previews_max_is_refused_and_nothing_is_evicted(play: Play) -> None:
    await play.set_up(previews={"max": 1})
    kept = await play.deploy(environment="pr-7", ttl="1h")

    refused = await (await play.send("deploy", environment="pr-8", ttl="1h")).ended("Failed")

    found = condition(refused, "Finished")
    assert found is not None
    assert found["reason"] == "QuotaExceeded"
    assert (await play.visit(play.preview_host("pr-7"))).image == kept["status"]["image"]
    assert await play.left(f"{play.project}-pr-8") == []


async def test_a_ttl_on_production_is_refused_at_admission_with_what_to_do(play: Play) -> None:
    await play.set_up()

    with pytest.raises(RuntimeError, match=r"production does not expire: leave ttl .* out, or name another env"):
        await play.stage.kube.make(
            RECORDS, f"{play.project}-wrong", {"projectRef": {"name": play.project}, "ttl": "1h"}, NAMESPACE
        )


async def test_a_preview_is_not_gone_while_its_application_is_stuck(play: Play) -> None:
    """CleanupVerified is what was read, not what was asked for."""
    await play.set_up()
    record = await play.deploy(environment="pr-9", ttl="1s")
    application = f"{play.project}-pr-9"
    play.stage.argocd.stick_deletion(application)
    name = record["metadata"]["name"]
    await play.wait_record(name, "Expired")

    async def waits_for_it() -> bool:
        return "deletionTimestamp" in play.stage.argocd.state.apps[application]["metadata"]

    await eventually(waits_for_it, "the application is being deleted", DEADLINE)
    found = condition(await play.record(name), "CleanupVerified")
    assert found is None or found["status"] != "True"

    play.stage.argocd.release(application)
    await play.wait_record(name, "CleanupVerified")
    assert await play.left(application) == []
