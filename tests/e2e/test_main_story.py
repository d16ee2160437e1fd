"""The main job: a message sets a project up, a message deploys it, the address answers."""

from __future__ import annotations

import pytest

from testbed.stage_cluster import condition
from testbed.triggers import initialize, reconcile

from .play import Play, check_heartbeats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_message_sets_a_project_up(play: Play) -> None:
    project = await play.set_up()

    for kind in ("RegistryReady", "JenkinsReady", "ArgoReady", "IngressReady", "DNSReady"):
        found = condition(project, kind)
        assert found is not None, f"there is no condition {kind}"
        assert found["status"] == "True", found
    things = await play.stage.inventory(play.project)
    marks = {thing.mark for thing in things if thing.kind != "A"}
    assert len(marks) == 1, f"not everything has the one mark: {[(str(thing), thing.mark) for thing in things]}"
    assert {f"{thing.service} {thing.kind}" for thing in things} == {
        "argocd application",
        "argocd project",
        "argocd repository",
        "dockerhub repository",
        "godaddy A",
        "godaddy TXT",
        "jenkins credential",
        "jenkins folder",
        "jenkins job",
        "kubernetes ingress",
        "kubernetes namespace",
    }


async def test_jenkins_gets_the_read_only_and_the_push_login_and_never_the_operators_own(play: Play) -> None:
    await play.set_up()

    credentials = play.stage.jenkins.credentials_of((play.project,))
    assert {id: each.username for id, each in credentials.items()} == {"git": "jenkins-ro", "registry": "acmepush"}
    sent = " ".join(call.body for call in play.stage.jenkins.controls.calls)
    assert "git-operator-token" not in sent
    assert "dckr_pat_operator" not in sent


async def test_a_message_deploys_until_the_address_answers_with_the_built_image(play: Play) -> None:
    await play.set_up()
    trigger = await play.send("deploy", revision="main", requested_by="e2e")

    record = await trigger.ended()

    status = record["status"]
    build = play.builds[0]
    assert status["commit"] == await (await play.sample()).head()
    assert status["image"] == f"{play.stage.registry_host}/acme/{play.project}@{build.digest}"
    assert status["build"]["number"] == build.number == 1
    assert build.parameters["DEPLOYMENT_UID"] == record["metadata"]["uid"]
    assert list(play.tags.values()) == [build.digest]
    assert list(play.tags) == [build.parameters["IMAGE_TAG"]]
    assert build.parameters["IMAGE_TAG"].startswith(status["commit"][:12])
    assert {each["state"] for each in status["steps"]} == {"Succeeded"}
    visit = await play.visit()
    assert (visit.status, visit.image) == (200, status["image"])
    assert status["url"] == f"http://{play.host}/"


async def test_heartbeats_tell_every_step_without_a_gap_and_end_once(play: Play) -> None:
    await play.set_up()
    trigger = await play.send("deploy")

    record = await trigger.ended()

    check_heartbeats(trigger.beats)
    beats = [beat.payload for beat in trigger.beats]
    assert beats[0]["step"] == "accepted"
    succeeded = [beat["step"] for beat in beats if beat["state"] == "Succeeded"]
    for step in ("revision", "build", "image", "release", "sync", "health", "address"):
        assert step in succeeded, f"no heartbeat says that {step} has succeeded: {succeeded}"
    last = beats[-1]
    assert (last["terminal"], last["result"], last["percent"]) == (True, "Succeeded", 100)
    assert last["url"] == record["status"]["url"]
    percents = [beat["percent"] for beat in beats]
    assert percents == sorted(percents), f"progress goes back: {percents}"
    uid = record["metadata"]["uid"]
    assert {beat.message_id for beat in trigger.beats} == {f"{uid}-{n}" for n in range(1, len(beats) + 1)}
    assert {beat.routing_key for beat in trigger.beats} == {f"{play.project}.{record['metadata']['name']}"}


async def test_the_same_event_twice_is_one_deployment_and_one_build(play: Play) -> None:
    await play.set_up()
    message = reconcile(play.project, "deploy")
    trigger = await play.send_message(message)
    await play.send_message(message)
    await trigger.ended()
    await play.send_message(message)
    # What comes after it in the queue is done: then the repetition was taken too.
    await play.deploy(environment="after", ttl="1h")

    mine = [each for each in await play.records() if each["spec"]["environment"] == "production"]
    assert len(mine) == 1, [each["metadata"]["name"] for each in mine]
    assert len([each for each in play.builds if each.parameters["DEPLOYMENT_UID"] == mine[0]["metadata"]["uid"]]) == 1
    check_heartbeats(trigger.beats)


async def test_a_second_deployment_takes_production_over(play: Play) -> None:
    await play.set_up()
    first = await play.deploy()
    commit = await (await play.sample()).commit("Change the greeting", {"greeting.txt": "Hello.\n"})

    second = await play.deploy()

    assert second["status"]["commit"] == commit
    assert second["status"]["image"] != first["status"]["image"]
    assert (await play.visit()).image == second["status"]["image"]
    project = await play.ready()
    held = {each["name"]: each["holder"] for each in project["status"]["environments"]}
    assert held == {"production": second["metadata"]["name"]}


async def test_initialising_again_changes_the_project_in_place(play: Play) -> None:
    before = await play.set_up()
    spec = await play.spec(displayName="The shop", previews={"ttl": "2h"})

    await play.stage.publish(initialize(play.project, spec))

    changed = await play.stage.kube.until(
        "devopsprojects", play.project, lambda it: it["spec"].get("displayName") == "The shop", "has its new name"
    )
    assert changed["metadata"]["uid"] == before["metadata"]["uid"]
    assert changed["spec"]["previews"]["ttl"] == "2h"
    await play.ready()
