"""Bad input: one clear error in the right place, and everything else goes on."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import Any

import pytest

from testbed.git_server import Credentials
from testbed.stage import ZONE
from testbed.stage_cluster import NAMESPACE, condition
from testbed.stage_operator import REPOSITORY, clean_environment
from testbed.triggers import initialize, reconcile

from .play import DEADLINE, PROJECTS, Play, Trigger, check_heartbeats, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _fails(trigger: Trigger, reason: str, *words: str) -> None:
    """The deployment fails with this reason, on its conditions and in its one terminal heartbeat."""
    record = await trigger.ended("Failed")
    last = (await trigger.terminal()).payload
    assert last["reason"] == reason, last
    for kind in ("Ready", "Stalled", "Finished"):
        assert reason_of(record, kind) == reason, record["status"]["conditions"]
    for word in words:
        assert word in last["message"], f"'{word}' is not in the heartbeat's message: {last['message']}"
        found = condition(record, "Ready")
        assert found is not None
        assert word in found["message"]
    check_heartbeats(trigger.beats)


async def test_an_unknown_revision_is_on_the_condition_and_in_the_heartbeat(play: Play) -> None:
    await play.set_up()

    await _fails(await play.send("deploy", revision="no-such-branch"), "RevisionNotFound", "no-such-branch")

    assert play.builds == []
    await play.deploy()


async def test_a_repository_that_is_not_there_is_named(play: Play) -> None:
    await play.set_up()
    sample = await play.sample()
    await play.change({"git": {"url": sample.url.replace(play.project, f"{play.project}-typo")}})

    await _fails(await play.send("deploy"), "RepositoryUnreadable", f"{play.project}-typo")


async def test_a_repository_that_refuses_the_login_says_so_and_is_read_again_when_it_is_mended(play: Play) -> None:
    await play.set_up()
    repository = (await play.sample()).repository
    opened, readers = repository.credentials, repository.readers
    repository.credentials, repository.readers = Credentials("somebody", "else"), ()
    trigger = await play.send("deploy")

    await _fails(trigger, "CredentialsInvalid", "refuses the user")

    assert "git-operator-token" not in "".join(beat.body.decode() for beat in trigger.beats)
    repository.credentials, repository.readers = opened, readers
    await play.deploy()


async def _dead(play: Play, body: bytes) -> Any:
    return await play.stage.heartbeats.dead_letter(lambda message: message.body == body, DEADLINE)


@pytest.mark.parametrize(
    "body",
    [b'{"event_type": "DevOpsReconcile", ', b"\xff\xfe\x00", b"[1, 2]", b'{"event_type": "DevOpsDestroy"}', b""],
    ids=["cut short", "no text", "no object", "unknown type", "empty"],
)
async def test_a_message_that_is_none_goes_to_the_dead_letters_byte_for_byte(play: Play, body: bytes) -> None:
    unique = body + b" " * (1 + secrets.randbelow(200)) if body else body
    await play.stage.publish(unique)

    message = await _dead(play, unique)

    assert message.headers["x-reason"] == "InvalidMessage"
    assert message.headers["x-error"]


async def test_a_message_with_a_spec_that_the_api_server_refuses_goes_to_the_dead_letters(play: Play) -> None:
    message = initialize(play.project, await play.spec(driftPolicy="Sometimes"))
    await play.stage.publish(message)

    dead = await _dead(play, json.dumps(message).encode())

    assert dead.headers["x-reason"] == "InvalidSpec"
    assert "driftPolicy" in str(dead.headers["x-error"])
    assert await play.stage.kube.read(PROJECTS, play.project) is None


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"action": "explode"}, "action"),
        ({"action": "deploy", "environment": "pr-1", "ttl": "soon"}, "ttl"),
        ({"action": "deploy", "ttl": "2h"}, "ttl"),
        ({"action": "rollback"}, "to"),
        ({"action": "deploy", "environment": "Not A Label"}, "environment"),
    ],
    ids=["action", "ttl", "ttl of production", "rollback to nothing", "environment"],
)
async def test_a_payload_that_makes_no_sense_goes_to_the_dead_letters(
    play: Play, payload: dict[str, Any], word: str
) -> None:
    message = reconcile(play.project, **payload)
    await play.stage.publish(message)

    dead = await _dead(play, json.dumps(message).encode())

    assert dead.headers["x-reason"] in ("InvalidMessage", "InvalidSpec")
    assert word in str(dead.headers["x-error"])
    assert await play.records() == []


async def test_a_message_for_an_unknown_project_waits_and_then_fails(play: Play) -> None:
    trigger = await play.send("deploy")

    waiting = await trigger.heard("queue", "Waiting")
    assert waiting.payload["reason"] == "DependencyNotReady"
    record = await play.record(waiting.payload["deployment"])
    assert reason_of(record, "Ready") == "DependencyNotReady"

    await _fails(trigger, "ProjectNotFound", play.project)


async def test_a_message_that_comes_before_its_project_is_carried_out_when_the_project_comes(play: Play) -> None:
    trigger = await play.send("deploy")
    await trigger.heard("queue", "Waiting")

    await play.set_up()

    await trigger.ended()
    assert (await play.visit()).status == 200
    check_heartbeats(trigger.beats)


async def test_a_host_outside_the_allowed_zones_is_refused_before_any_write(play: Play) -> None:
    sample = await play.sample()
    host = f"{play.project}.elsewhere.test"
    await play.stage.publish(initialize(play.project, {"git": {"url": sample.url}, "ingress": {"host": host}}))

    ingress = await play.stage.kube.wait_condition(
        "ingressresources", NAMESPACE, play.project, "Stalled", deadline=DEADLINE
    )

    found = condition(ingress, "Ready")
    assert found is not None
    assert found["status"] == "False"
    assert host in found["message"]
    assert "DNS_ALLOWED_ZONES" in found["message"]
    project = await play.stage.kube.wait_condition(PROJECTS, NAMESPACE, play.project, "Stalled", deadline=DEADLINE)
    assert (condition(project, "Ready") or {})["status"] == "False"
    assert not [each for each in await play.left() if each.startswith("godaddy")]
    assert not [call for call in play.stage.godaddy.controls.writes if "elsewhere" in call.path]


@pytest.mark.parametrize("namespace", ["kube-system", "argocd", NAMESPACE, "somebody-elses"])
async def test_a_destination_outside_the_allowed_is_refused_before_any_write(play: Play, namespace: str) -> None:
    await play.stage.publish(initialize(play.project, await play.spec(argo={"destination": {"namespace": namespace}})))

    settings = await play.stage.kube.wait_condition(
        "argosettings", NAMESPACE, play.project, "Stalled", deadline=DEADLINE
    )

    found = condition(settings, "Ready")
    assert found is not None
    assert namespace in found["message"]
    assert not [each for each in await play.left() if each.startswith("argocd application")]
    assert not [each for each in await play.left() if each.startswith("kubernetes")]


async def test_a_missing_variable_is_exit_2_with_every_problem_on_stderr(play: Play) -> None:
    environment = play.stage.environment(HEARTBEAT_INTERVAL="often", RABBITMQ_PORT="70000")
    del environment["JENKINS_ENDPOINT"], environment["GODADDY_API_SECRET"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devops_reconciler",
        "run",
        env=clean_environment(environment),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    out, errors = await asyncio.wait_for(process.communicate(), DEADLINE.total_seconds())

    assert process.returncode == 2
    said = errors.decode()
    for variable in ("JENKINS_ENDPOINT", "GODADDY_API_SECRET", "HEARTBEAT_INTERVAL", "RABBITMQ_PORT"):
        assert variable in said
    assert "Traceback" not in said
    assert out == b""
    assert ZONE not in said
