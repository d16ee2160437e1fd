"""A project by kubectl alone: the same kinds, without a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from .kubectl import kubectl
from .play import DEADLINE, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")
API = "freeleaps.com/v1alpha1"
WAIT = f"--timeout={DEADLINE.total_seconds():.0f}s"


def manifest(kind: str, name: str, spec: dict[str, Any]) -> str:
    return yaml.safe_dump({"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec})


async def test_a_project_is_set_up_deployed_watched_and_deleted_by_kubectl_alone(play: Play) -> None:
    project = play.project
    await kubectl(play, "apply", "-f", "-", stdin=manifest("DevOpsProject", project, await play.spec()))
    await kubectl(play, "wait", "--for=condition=Ready", f"dop/{project}", WAIT)
    record = f"{project}-first"
    spec = {"projectRef": {"name": project}, "revision": "main"}
    await kubectl(play, "create", "-f", "-", stdin=manifest("DeploymentRecord", record, spec))

    await kubectl(play, "wait", "--for=condition=Ready", f"dr/{record}", WAIT)

    status = json.loads(await kubectl(play, "get", "dr", record, "-o", "json"))["status"]
    assert (await play.visit()).image == status["image"]
    table = await kubectl(play, "get", "dop,dr", "--no-headers")
    assert any(project in line and "True" in line for line in table.splitlines()), table
    everything = await kubectl(play, "get", "freeleaps", "--no-headers", "-o", "name")
    assert len([line for line in everything.splitlines() if project in line]) == 6, everything
    await kubectl(play, "delete", "dop", project, WAIT)
    assert not [each for each in await play.left() if not each.startswith(("dockerhub", "kubernetes namespace"))]


async def test_kubectl_wait_is_right_for_every_kind(play: Play) -> None:
    await play.set_up()

    for short in ("dop", "jks", "regs", "args", "ingr"):
        await kubectl(play, "wait", "--for=condition=Ready", f"{short}/{play.project}", WAIT)


async def test_a_child_kind_is_usable_alone(play: Play) -> None:
    spec = {"repository": play.project, "private": True}
    await kubectl(play, "apply", "-f", "-", stdin=manifest("RegistrySettings", play.project, spec))

    await kubectl(play, "wait", "--for=condition=Ready", f"regs/{play.project}", WAIT)

    assert f"acme/{play.project}" in play.stage.hub.repositories
    await kubectl(play, "delete", "regs", play.project, WAIT)
    assert f"acme/{play.project}" in play.stage.hub.repositories, "an image repository stays by default"


async def test_a_wrong_field_is_refused_at_admission_with_its_name(play: Play) -> None:
    spec = await play.spec(driftPolicy="Sometimes", previews={"max": "many"})

    said = await kubectl(play, "apply", "-f", "-", stdin=manifest("DevOpsProject", play.project, spec), fails=True)

    assert "driftPolicy" in said
    assert "Repair" in said
    assert "previews.max" in said
    assert await play.stage.kube.read("devopsprojects", play.project) is None
