"""What a project's policies allow: as a user sets them, and as the services then look."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from standins.registry_store import RepositoryRecord
from testbed.kube_api import Object
from testbed.stage import ZONE
from testbed.stage_cluster import condition, path
from testbed.waiting import eventually

from .play import DEADLINE, PROJECTS, RECORDS, Play, reason_of, writes_of
from .test_commands import outputs
from .test_kubectl import WAIT, kubectl

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORCE = "freeleaps.com/force-delete"
PAUSED = "freeleaps.com/paused"
REGISTRY = "registrysettings"


def repository(play: Play) -> RepositoryRecord:
    return play.stage.hub.repositories[f"acme/{play.project}"]


def change_repository(play: Play, **changes: Any) -> None:
    """What somebody does at Docker Hub's web page."""
    key = f"acme/{play.project}"
    play.stage.hub.store.repositories.set(key, replace(repository(play), **changes))


def somebody_elses(play: Play, description: str) -> None:
    """A repository of the project's name that was there before."""
    record = RepositoryRecord("acme", play.project, True, datetime.now(UTC), description)
    play.stage.hub.store.repositories.set(f"acme/{play.project}", record)


async def annotate(play: Play, plural: str, **annotations: str | None) -> Object:
    return await play.stage.kube.patch(path(plural, play.project), {"metadata": {"annotations": annotations}})


async def look(play: Play, plural: str, matches: Callable[[Object], bool], what: str) -> Object:
    """Has the operator look now, and waits until the resource is so."""
    await annotate(play, plural, **{"freeleaps.com/requestedAt": datetime.now(UTC).isoformat()})
    return await play.stage.kube.until(plural, play.project, matches, what, DEADLINE)


def lacks_a_policy(it: Object) -> bool:
    """Whether it waits because of managementPolicies: at first it may wait for something else."""
    found = condition(it, "Ready") or {}
    return found.get("reason") == "DependencyNotReady" and "managementPolicies" in found["message"]


def has(kind: str, reason: str) -> Callable[[Object], bool]:
    return lambda it: reason_of(it, kind) == reason


async def test_what_is_there_already_is_left_alone_until_adoption_allows_to_take_it(play: Play) -> None:
    somebody_elses(play, "theirs")
    spec = await play.spec(components={"registry": {"adoption": "Never"}})
    await play.stage.kube.make(PROJECTS, play.project, spec)
    conflict = await play.stage.kube.until(
        REGISTRY, play.project, has("Conflict", "OwnershipConflict"), "a conflict", DEADLINE
    )
    assert "adoption: IfUnowned" in (condition(conflict, "Ready") or {})["message"]
    assert repository(play).description == "theirs"

    await play.change({"components": {"registry": {"adoption": "IfUnowned"}}})
    await play.ready()
    assert "freeleaps:" in repository(play).description

    others = re.sub(r"[0-9a-f]{24}", "0" * 24, repository(play).description)
    change_repository(play, description=others)
    await look(play, REGISTRY, has("Conflict", "OwnershipConflict"), "a conflict again")
    assert repository(play).description == others
    await play.change({"components": {"registry": {"adoption": "Always"}}})

    async def ours() -> bool:
        return repository(play).description != others

    await eventually(ours, "it is taken over", DEADLINE)
    await play.stage.kube.until(REGISTRY, play.project, has("Ready", "Succeeded"), "Ready again", DEADLINE)

    another_clusters = "theirs (freeleaps:00000000:000000000000000000000000)"
    change_repository(play, description=another_clusters)
    conflict = await look(play, REGISTRY, has("Conflict", "OwnershipConflict"), "a conflict with another cluster")
    assert "another installation" in (condition(conflict, "Ready") or {})["message"]
    assert repository(play).description == another_clusters


async def test_a_foreign_change_is_reported_by_its_fields_and_left_or_repaired(play: Play) -> None:
    await play.set_up(driftPolicy="Report")
    change_repository(play, private=False)

    drifted = await look(play, REGISTRY, has("Drifted", "Drifted"), "drift is reported")

    assert "private" in (condition(drifted, "Drifted") or {})["message"]
    assert not repository(play).private
    await play.change({"driftPolicy": "Repair"})
    await play.stage.kube.until(
        REGISTRY, play.project, lambda it: condition(it, "Drifted") is None, "no drift any more", DEADLINE
    )
    assert repository(play).private


async def test_to_observe_alone_makes_nothing_anywhere(play: Play) -> None:
    await play.stage.kube.make(PROJECTS, play.project, await play.spec(managementPolicies=["Observe"]))

    for plural in (REGISTRY, "jenkinssettings", "argosettings", "ingressresources"):
        await play.stage.kube.until(plural, play.project, lacks_a_policy, "it says what is missing", DEADLINE)

    assert await play.left() == []
    assert not writes_of(play.stage, play.project)
    await play.change({"managementPolicies": ["Observe", "Create", "Update", "Delete"]})
    await play.ready()


async def test_a_paused_project_changes_nothing_and_its_deployments_wait(play: Play) -> None:
    await play.set_up()
    for pause, go_on in (
        ({"managementPolicies": []}, {"managementPolicies": ["Observe", "Create", "Update", "Delete"]}),
        ({"suspend": True}, {"suspend": False}),
    ):
        await play.change(pause)
        await play.stage.kube.until(REGISTRY, play.project, has("Suspended", "Paused"), "paused", DEADLINE)
        change_repository(play, private=False)
        before = writes_of(play.stage, play.project)
        trigger = await play.send("deploy")
        waiting = await trigger.heard("queue", "Waiting")
        assert waiting.payload["reason"] == "Paused"
        assert writes_of(play.stage, play.project) == before
        assert not repository(play).private

        await play.change(go_on)

        await trigger.ended()
        await play.stage.kube.until(
            REGISTRY, play.project, lambda it: condition(it, "Suspended") is None, "it goes on", DEADLINE
        )

        async def repaired() -> bool:
            return repository(play).private

        await eventually(repaired, "it is private again", DEADLINE)


async def test_the_annotation_pauses_and_with_all_the_deletion_too(play: Play) -> None:
    await play.set_up(components={"registry": {"deletionPolicy": "Delete"}})
    await annotate(play, REGISTRY, **{PAUSED: "all"})
    paused = await play.stage.kube.until(REGISTRY, play.project, has("Suspended", "Paused"), "paused", DEADLINE)
    assert reason_of(paused, "Ready") == "Succeeded"

    await play.stage.kube.delete(path(PROJECTS, play.project))

    await play.stage.kube.until(
        REGISTRY, play.project, lambda it: "deletionTimestamp" in it["metadata"], "its turn has come", DEADLINE
    )
    await play.stage.kube.wait_gone("argosettings", play.project, DEADLINE)
    assert f"acme/{play.project}" in play.stage.hub.repositories
    await annotate(play, REGISTRY, **{PAUSED: "true"})
    await play.stage.kube.wait_gone(PROJECTS, play.project, DEADLINE)
    assert f"acme/{play.project}" not in play.stage.hub.repositories


async def test_a_deletion_that_cannot_end_is_let_go_on_request_and_orphans_shows_what_is_left(play: Play) -> None:
    await play.set_up(components={"registry": {"deletionPolicy": "Delete"}})
    await play.deploy(environment="pr-1", ttl="1h")
    play.stage.hub.pat_refused.add("delete")
    try:
        await play.stage.kube.delete(path(PROJECTS, play.project))
        blocked = await play.stage.kube.until(
            REGISTRY, play.project, has("Stalled", "DeletionBlocked"), "the deletion is blocked", DEADLINE
        )
        assert f"{FORCE}=YOUR-NAME" in (condition(blocked, "Stalled") or {})["message"]

        await kubectl(play, "annotate", "dop", play.project, f"{FORCE}=alice")

        await play.stage.kube.wait_gone(PROJECTS, play.project, DEADLINE)
    finally:
        play.stage.hub.pat_refused.clear()
    ledgers = await kubectl(play, "get", "configmaps", "-l", "freeleaps.com/left-behind=true", "-o", "yaml")
    assert f"acme/{play.project}" in ledgers
    assert "alice" in ledgers
    events = await kubectl(
        play, "get", "events", "--field-selector", f"reason=ForceDeleted,involvedObject.name={play.project}"
    )
    assert "ForceDeleted" in events
    assert "devops_reconciler_things_left_total" in (await play.operator.answer("/metrics"))[1]
    left = [each for each in await play.left() if not each.startswith(("dockerhub", "kubernetes namespace"))]
    assert left == []

    text = (await outputs(play, "orphans", code=1))[0]

    row = next(line for line in text.splitlines() if line.startswith("orphan") and play.project in line)
    assert "let go by the forced deletion of RegistrySettings" in row
    play.stage.hub.store.repositories.set(f"acme/{play.project}", None)
    text = (await outputs(play, "orphans", code=(0, 1)))[0]
    gone = next(line for line in text.splitlines() if line.startswith("gone"))
    assert f"acme/{play.project}" in gone
    await kubectl(play, "delete", "configmaps", "-l", "freeleaps.com/left-behind=true", WAIT)


async def test_orphans_finds_nothing_after_a_normal_story_and_all_that_a_lost_project_leaves(play: Play) -> None:
    await play.set_up()
    await play.deploy()
    preview = await play.deploy(environment="pr-1", ttl="1h")
    assert await mine(play) == []
    await play.operator.kill()
    await _lose(play, preview["metadata"]["name"])
    await play.operator.restart()

    found = await mine(play)

    assert f"argocd ArgoApplication {play.project}-pr-1" in found
    assert f"godaddy DnsRecord A {play.preview_host('pr-1')} in zone {ZONE}" in found
    assert f"jenkins JenkinsJob {play.project}/{play.project}" in found
    assert f"kubernetes IngressRoute {play.project}/{play.project}" in found


async def mine(play: Play) -> list[str]:
    """What of this project `orphans` lists, as words; other tests have left things of theirs."""
    report = json.loads((await outputs(play, "orphans", "--json", code=(0, 1)))[0])
    rows = [f"{row['service']} {row['kind']} {row['id']}" for row in report["orphans"]]
    return sorted(row for row in rows if play.project in row)


async def _lose(play: Play, record: str) -> None:
    """Somebody takes the finalizers off by hand, and deletes."""
    names = [(RECORDS, each["metadata"]["name"]) for each in await play.records()]
    assert (RECORDS, record) in names
    # The project last: with it, what it owns would be collected.
    kinds = (REGISTRY, "jenkinssettings", "argosettings", "ingressresources", PROJECTS)
    names += [(plural, play.project) for plural in kinds]
    for plural, name in names:
        await play.stage.kube.patch(path(plural, name), {"metadata": {"finalizers": None}})
    for plural, name in names:
        await play.stage.kube.delete(path(plural, name))
