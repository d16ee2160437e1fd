"""The commands that go with the operator, each as a program of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from testbed.stage_operator import REPOSITORY, clean_environment
from testbed.triggers import reconcile
from testbed.waiting import eventually

from .play import DEADLINE, Play, Trigger

pytestmark = pytest.mark.asyncio(loop_scope="session")
DEMO_DEADLINE_SECONDS = 180.0
OF_ADMINISTRATORS = {"orphans", "--delete"}
"""What needs more than the operator may: it is for people, with a kubeconfig of their own."""


async def command(play: Play, *arguments: str, code: int = 0, seconds: float = DEADLINE.total_seconds()) -> str:
    """Runs ``devops-reconciler`` with the operator's environment; stdout, or stderr when it is expected to fail."""
    out, errors = await outputs(play, *arguments, code=code, seconds=seconds)
    return errors if code else out


async def outputs(
    play: Play, *arguments: str, code: int | Collection[int] = 0, seconds: float = DEADLINE.total_seconds()
) -> tuple[str, str]:
    """Runs ``devops-reconciler`` with the operator's environment; stdout and stderr. Its exit code is (one of) this."""
    codes = (code,) if isinstance(code, int) else code
    process = await begin(play, *arguments)
    out, errors = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode in codes, f"{arguments}: {process.returncode}: {errors.decode()}{out.decode()}"
    return out.decode(), errors.decode()


async def begin(play: Play, *arguments: str) -> asyncio.subprocess.Process:
    """Starts ``devops-reconciler`` with the operator's environment."""
    environment = dict(play.operator.environment)
    if OF_ADMINISTRATORS & set(arguments):
        environment["KUBECONFIG"] = str(play.stage.control_plane.kubeconfig(namespace=play.stage.namespace))
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devops_reconciler",
        *arguments,
        env=clean_environment(environment),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_send_and_watch_set_up_deploy_and_follow_to_the_end(play: Play) -> None:
    sample = await play.sample()
    await command(play, "send", "initialize", play.project, "--git-url", sample.url, "--host", play.host)
    await play.ready()
    play.stage.argocd.hold_operation(play.project)

    event_id = (await command(play, "send", "reconcile", play.project, "--revision", "main")).strip()

    trigger = Trigger(play, {"event_id": event_id})
    watching = await begin(play, "watch", "--json", "--deployment", await trigger.name())
    assert watching.stdout is not None
    first = json.loads(await asyncio.wait_for(watching.stdout.readline(), DEADLINE.total_seconds()))
    assert not first["terminal"]
    play.stage.argocd.release(play.project)
    out, errors = await asyncio.wait_for(watching.communicate(), DEADLINE.total_seconds())
    assert watching.returncode == 0, errors.decode()
    last = json.loads(out.decode().splitlines()[-1])
    assert (last["terminal"], last["result"], last["percent"]) == (True, "Succeeded", 100)
    assert last["url"] == f"http://{play.host}/"
    assert (await play.visit()).status == 200


async def test_watch_exits_with_1_when_the_deployment_fails(play: Play) -> None:
    await play.set_up()
    trigger = await play.send("deploy", revision="no-such-branch")

    await command(play, "watch", "--json", "--deployment", await trigger.name(), code=1)

    await trigger.ended("Failed")


async def test_send_takes_a_whole_message_from_a_file_and_keeps_its_event_id(play: Play, tmp_path: Path) -> None:
    await play.set_up()
    message = reconcile(play.project, "deploy", environment="pr-1", ttl="1h")
    file = tmp_path / "message.json"
    file.write_text(json.dumps(message))

    said = [await command(play, "send", "reconcile", "--file", str(file)) for _ in range(2)]

    assert said == [f"{message['event_id']}\n"] * 2
    await Trigger(play, message).ended()
    assert len(await play.records()) == 1


async def test_crds_are_what_the_cluster_was_given(play: Play) -> None:
    printed = list(yaml.safe_load_all(await command(play, "crds")))

    assert {each["kind"] for each in printed} == {"CustomResourceDefinition"}
    for each in printed:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{each['metadata']['name']}"
        there = await play.stage.kube.get(path)
        assert there["spec"]["versions"][0]["name"] == each["spec"]["versions"][0]["name"]


async def test_health_tells_every_check_and_readiness_only_what_nothing_works_without(play: Play) -> None:
    own = ("kopf_operator", "kubernetes_api", "rabbitmq_connection")
    wanted = (*own, "argocd_connection", "jenkins_connection", "dockerhub_connection", "godaddy_connection")

    async def all_well() -> bool:
        status, body = await play.operator.answer("/health")
        assert status == 200
        checks = json.loads(body)["checks"]
        return all(checks[name]["ok"] for name in wanted)

    # An outage of the test before may be remembered for a minute.
    await eventually(all_well, f"{', '.join(wanted)} are well", 2 * DEADLINE)
    assert (await play.operator.answer("/healthz"))[0] == 200
    status, ready = await play.operator.answer("/readyz")
    assert status == 200
    for task in ("ttl_monitor", "heartbeat_sender", "message_listener"):
        assert f"{task}: runs" in ready, "readiness depends on each task"
    status, metrics = await play.operator.answer("/metrics")
    assert status == 200
    assert "devops_reconciler_" in metrics


async def test_demo_comes_true_chapter_by_chapter(play: Play) -> None:
    out = await command(play, "demo", "--once", "--json", seconds=DEMO_DEADLINE_SECONDS)

    result = json.loads(out.splitlines()[-1])
    assert result["ok"], result
    names = [chapter["name"] for chapter in result["chapters"]]
    assert names == ["start", "set-up", "deploy", "preview", "outage", "crash"]
    assert all(chapter["ok"] and chapter["detail"] for chapter in result["chapters"])
