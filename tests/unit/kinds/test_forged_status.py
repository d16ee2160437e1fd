"""A ledger that somebody has written into the status: nothing that is not the object's own is touched because of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.names import image_tag
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, JENKINS_SETTINGS, Object
from tests.unit.world import TEAM

from .life import COMMIT, Life

THEIRS = "team-b"
JOB = ("shop", "shop")
HOLDER = {"name": "production", "holder": "theirs", "commit": COMMIT}


def entry(step: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"step": step, "kind": kind, "key": "forged", "state": "active", "seen": True, "value": value}


IMAGE = entry("image", "Image", namespace="acme", repository="victim", tag="v1", form="acme/victim")
OTHERS_IMAGE = entry(
    "image",
    "Image",
    namespace="acme",
    repository="victim",
    tag=image_tag(COMMIT, "uid-of-another"),
    form="acme/victim",
)
BUILD = entry("build", "JenkinsBuild", folder="shop", name="shop", uid="uid-of-another")
CLAIM = entry(
    "claim",
    "EnvironmentClaim",
    namespace=THEIRS,
    project="shop",
    environment="production",
    record="theirs",
    commit=COMMIT,
    image="acme/victim",
    image_digest="sha256:" + "0" * 64,
)
NEIGHBOURS_CLAIM = {**CLAIM, "value": {**CLAIM["value"], "namespace": TEAM, "project": "next"}}
CHILD = entry(
    "settings", "ProjectChild", child_kind="JenkinsSettings", namespace=THEIRS, name="shop", owner_uid="uid-in-b"
)
FORGED = {
    "an image": IMAGE,
    "another record's image": OTHERS_IMAGE,
    "another record's build": BUILD,
    "another namespace's claim": CLAIM,
    "a neighbour's claim": NEIGHBOURS_CLAIM,
    "another namespace's child": CHILD,
}


def ready() -> Life:
    """Everything that the forged entries name is there, and is somebody else's."""
    life = Life()
    life.project("shop")
    life.set_up("shop")
    out = life.out
    for tag in ("v1", OTHERS_IMAGE["value"]["tag"]):
        out.hub.push("acme/victim", tag)
    out.jenkins.build_time = timedelta(hours=9)
    out.jenkins.add_build(JOB, 7, {"DEPLOYMENT_UID": "uid-of-another"})
    for namespace, name in ((THEIRS, "shop"), (TEAM, "next")):
        metadata = {"name": name, "uid": "uid-in-b"}
        out.kubernetes.put(
            DEVOPS_PROJECT, namespace, {"metadata": metadata, "spec": {}, "status": {"environments": [HOLDER]}}
        )
    references = [{"kind": "DevOpsProject", "name": "shop", "uid": "uid-in-b", "controller": True}]
    child = {"metadata": {"name": "shop", "uid": "uid-of-child", "ownerReferences": references}, "spec": {}}
    out.kubernetes.put(JENKINS_SETTINGS, THEIRS, child)
    return life


def theirs(life: Life) -> Any:
    """All that must stay as it is."""
    out = life.out
    projects = [out.kubernetes.see(DEVOPS_PROJECT, *where) or {} for where in ((THEIRS, "shop"), (TEAM, "next"))]
    return (
        dict(out.hub.held["acme/victim"].tags),
        [build.number for build in out.jenkins.running()],
        out.jenkins.stopped,
        [project["status"]["environments"] for project in projects],
        out.kubernetes.see(JENKINS_SETTINGS, THEIRS, "shop"),
    )


def forge(life: Life, obj: Object, kind: str, *entries: dict[str, Any]) -> None:
    status = {**(obj.get("status") or {}), "applied": list(entries)}
    life.out.kubernetes.put(KINDS[kind].kind, TEAM, {**obj, "status": status})


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_the_removal_of_a_record_touches_nothing_that_its_ledger_was_made_to_say(forged: dict[str, Any]) -> None:
    life = ready()
    life.record("evil")
    forge(life, life.see("evil"), "DeploymentRecord", forged)
    before = theirs(life)
    await life.delete("evil")
    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "evil") is None
    assert theirs(life) == before


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_nor_does_that_of_a_project(forged: dict[str, Any]) -> None:
    life = ready()
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, {"metadata": {"name": "evil", "uid": "uid-of-evil"}, "spec": {}})
    forge(life, life.see("evil", "DevOpsProject"), "DevOpsProject", {**forged, "state": "retired"})
    before = theirs(life)
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "evil")
    await life.live("evil", kind="DevOpsProject")
    assert theirs(life) == before


async def test_what_was_let_go_is_noted() -> None:
    life = ready()
    life.record("evil")
    forge(life, life.see("evil"), "DeploymentRecord", IMAGE, {**BUILD, "state": "retired"})
    await life.one_pass("evil")
    assert [(each["state"], each["note"]) for each in life.status("evil")["applied"]] == [
        ("cleaned", "not of this object")
    ] * 2


async def test_a_finished_preview_writes_its_expiry_into_no_other_project() -> None:
    life = ready()
    life.record("one", environment="pr-1", ttl="1h")
    life.out.jenkins.build_time = timedelta(0)
    await life.live("one")
    applied = [each for each in life.status("one")["applied"] if each["step"] != "claim"]
    before = theirs(life)
    forge(life, life.see("one"), "DeploymentRecord", *applied, CLAIM)
    await life.turn("one")
    assert theirs(life) == before


async def test_what_is_of_the_record_is_removed_as_before() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(0)
    life.record("one", environment="pr-1", ttl="1h")
    await life.live("one")
    tag = image_tag(COMMIT, "uid-of-one")
    assert tag in life.out.hub.held["acme/shop"].tags
    await life.expire("one")
    assert tag not in life.out.hub.held["acme/shop"].tags
    assert life.holder("pr-1") is None
