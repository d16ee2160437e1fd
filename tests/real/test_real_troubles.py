"""The real Argo CD in the way: busy, away, with a token that has ended, with a deletion that does not end."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

import pytest

from testbed.argocd_settings import OPERATOR
from testbed.stage_cluster import condition
from testbed.stage_operator import REPOSITORY, clean_environment
from testbed.waiting import eventually
from tests.contract.argocd_orders import ENDLESS, HELD, HOLD

from .real_play import DEADLINE, RealPlay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
SLOW = "// standin: slow 10\npipeline {}\n"


async def test_a_rollback_stays_under_automated_sync(play: RealPlay) -> None:
    await play.set_up(argo={"autoSync": True})
    first = await play.succeeds(await play.send("deploy"))
    sample = await play.sample()
    await sample.commit("Worse", {"greeting.txt": "Worse.\n"})
    second = await play.succeeds(await play.send("deploy"))
    assert await play.images() == [second["status"]["image"]]

    await play.succeeds(await play.send("rollback", to="lastHealthy"))

    await sample.commit("Worse still", {"deploy/service.yaml": "not: a service\n"})
    await play.patch_application({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}})

    async def compared() -> bool:
        return "argocd.argoproj.io/refresh" not in (await play.application())["metadata"].get("annotations", {})

    await eventually(compared, "Argo CD has compared it with Git anew", DEADLINE)
    application = await play.application()
    assert application["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert application["spec"]["source"]["targetRevision"] == first["status"]["commit"]
    assert application["status"]["sync"]["status"] == "Synced"
    assert await play.images() == [first["status"]["image"]]


async def test_a_deployment_waits_for_an_operation_of_somebody_else(play: RealPlay) -> None:
    await play.set_up()
    await play.succeeds(await play.send("deploy"))
    commit = await (await play.sample()).commit("Wait for ever", ENDLESS, branch=HELD)
    path = f"/api/v1/applications/{play.project}"
    await play.real.real.call("POST", f"{path}/sync", {"name": play.project, "revision": commit})
    await play.operation_runs()

    trigger = await play.send("deploy", revision="main")

    await trigger.heard("sync", message="another operation is already in progress")
    await play.real.real.call("DELETE", f"{path}/operation")
    record = await play.succeeds(trigger)
    assert await play.images() == [record["status"]["image"]]


async def test_argo_cd_dies_in_the_middle_of_a_deployment_and_comes_back(play: RealPlay) -> None:
    await play.set_up()
    await (await play.sample()).commit("Build slowly", {"Jenkinsfile": SLOW})
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running")

    await asyncio.to_thread(play.real.real.kill)
    await trigger.heard("image", "Succeeded")
    await asyncio.to_thread(play.real.real.resume)

    record = await play.succeeds(trigger)
    assert await play.images() == [record["status"]["image"]]
    assert len(play.builds) == 1


async def test_a_token_that_ends_in_the_middle_is_replaced_without_a_restart(play: RealPlay) -> None:
    await play.set_up()
    await (await play.sample()).commit("Build slowly", {"Jenkinsfile": SLOW})
    try:
        play.real.use_token(await play.real.real.token(OPERATOR, timedelta(seconds=4)))
        trigger = await play.send("deploy")
        await trigger.heard("release", "Waiting", message="token is expired")
    finally:
        play.real.use_token(await play.real.real.token(OPERATOR))

    record = await play.succeeds(trigger)
    assert await play.images() == [record["status"]["image"]]


async def test_a_preview_is_gone_when_everything_of_it_is(play: RealPlay) -> None:
    await play.set_up()
    trigger = await play.send("deploy", environment="pr-7", ttl="1h")
    record = await play.succeeds(trigger)
    preview = f"{play.project}-pr-7"
    assert await play.images(preview) == [record["status"]["image"]]
    held = {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io", HOLD]}}
    await play.patch_application(held, preview)

    await play.send("delete", environment="pr-7")

    async def stuck() -> bool:
        metadata = (await play.application(preview))["metadata"]
        return "deletionTimestamp" in metadata and metadata["finalizers"] == [HOLD]

    await eventually(stuck, "Argo CD has done its part of the deletion", DEADLINE)
    name = record["metadata"]["name"]
    found = condition(await play.record(name), "CleanupVerified")
    assert found is None or found["status"] != "True"
    assert f"argocd application {preview}" in await play.left(preview)

    await play.patch_application({"metadata": {"finalizers": None}}, preview)
    await play.stage.kube.wait_gone("deploymentrecords", name, DEADLINE)
    assert await play.left(preview) == []
    assert await play.stage.kube.find(f"/api/v1/namespaces/{preview}") is None
    assert play.tags == {}


async def test_doctor_finds_that_the_documented_rights_are_enough(play: RealPlay) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devops_reconciler", "doctor", "--json"),
        env=clean_environment(play.operator.environment),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE.total_seconds())
    findings = {each["service"]: each for each in json.loads(out)["findings"]}
    assert findings["argocd"]["ok"], findings["argocd"]
    assert findings["argocd"]["identity"] == OPERATOR
    assert findings["argocd"]["version"].startswith("v3.5.7")
