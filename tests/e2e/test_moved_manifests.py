"""A team moves its manifests to another folder, in the commit in which `.freeleaps.yaml` says so."""

from __future__ import annotations

from uuid import uuid4

import pytest

from devops_reconciler.api.names import plain_name
from testbed.sample import DEPLOYMENT, KUSTOMIZATION, PROJECT_FILE, SERVICE
from testbed.stage_cluster import path

from .play import DEADLINE, Play
from .test_changes_of_mind import source

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_manifests_move_with_a_deployment_and_back_with_a_rollback(play: Play) -> None:
    await play.set_up()
    first = await play.deploy()
    image = plain_name(first["status"]["image"].partition("@")[0])
    moved = {
        "k8s/deployment.yaml": DEPLOYMENT.format(name=play.project, image=image),
        "k8s/service.yaml": SERVICE.format(name=play.project),
        "k8s/kustomization.yaml": KUSTOMIZATION,
        ".freeleaps.yaml": PROJECT_FILE.replace("path: deploy", "path: k8s"),
    }
    await (await play.sample()).commit("Move the manifests", moved)

    second = await play.deploy()

    assert (source(play)["path"], source(play)["targetRevision"]) == ("k8s", second["status"]["commit"])
    assert (await play.visit()).image == second["status"]["image"]
    await _read(play, "k8s")
    await (await play.send("rollback", to=first["metadata"]["name"])).ended()
    assert (source(play)["path"], source(play)["targetRevision"]) == ("deploy", first["status"]["commit"])
    assert (await play.visit()).image == first["status"]["image"]
    await _read(play, "k8s")
    assert source(play)["path"] == "deploy", "what runs is left alone"


async def _read(play: Play, folder: str) -> None:
    """JenkinsSettings has read the file, and ArgoSettings knows the folder by it."""
    asked = uuid4().hex
    for kind in ("jenkinssettings", "argosettings"):
        change = {"metadata": {"annotations": {"freeleaps.com/requestedAt": asked}}}
        await play.stage.kube.patch(path(kind, play.project), change)
        await play.stage.kube.until(
            kind,
            play.project,
            lambda it: it["status"].get("lastHandledReconcileAt") == asked,
            f"{kind} is looked at again",
            DEADLINE,
        )
    settings = await play.stage.kube.get(path("jenkinssettings", play.project))
    assert settings["status"]["projectFile"]["argo"]["path"] == folder
