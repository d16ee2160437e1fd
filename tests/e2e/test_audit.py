"""The audit trail of a whole life: each change at a service is in it, with who asked; a kill breaks nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed.stage import Stage
from testbed.triggers import initialize

from .play import DEADLINE, RECORDS, Play
from .test_commands import command

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOGINS = ("/api/v1/session", "/v2/auth/token")


def lines_of(stage: Stage) -> list[dict[str, Any]]:
    """All whole lines: the last one may be half written."""
    whole = stage.audit_file.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def outcomes_of(stage: Stage, project: str) -> list[dict[str, Any]]:
    """What came of each change that was made for the project or something of it."""
    found = [line for line in lines_of(stage) if line["phase"] == "outcome" and line["object"] is not None]
    return [line for line in found if project in line["object"]["name"]]


def sent_to(stage: Stage, project: str) -> Counter[tuple[str, str]]:
    """Method and path of each request about the project that writes, as the services have seen it."""
    counted: Counter[tuple[str, str]] = Counter()
    for standin in (stage.jenkins, stage.argocd, stage.hub, stage.godaddy):
        for call in standin.controls.writes:
            if project in call.path + call.query + call.body and call.path not in LOGINS:
                counted[call.method, call.path] += 1
    return counted


def recorded(stage: Stage, project: str) -> Counter[tuple[str, str]]:
    at_services = [line for line in outcomes_of(stage, project) if line["service"] != "kubernetes"]
    return Counter((line["method"], "/" + line["target"].partition("/")[2]) for line in at_services)


async def test_each_change_outside_is_recorded_with_who_asked_and_what_came_of_it(play: Play) -> None:
    message = initialize(play.project, await play.spec())
    message["payload"]["requested_by"] = "alice"
    await play.stage.publish(message)
    await play.ready()
    trigger = await play.send("deploy", requested_by="bob")
    await trigger.ended()

    found = outcomes_of(play.stage, play.project)
    asked = {(line["object"]["kind"], line["asked_by"]) for line in found}
    assert asked == {
        *((kind, "alice") for kind in ("JenkinsSettings", "RegistrySettings", "ArgoSettings", "IngressResource")),
        ("DeploymentRecord", "bob"),
    }
    assert {line["outcome"]["result"] for line in found} <= {"applied", "refused"}
    assert recorded(play.stage, play.project) == sent_to(play.stage, play.project)
    made = {line["thing"]["kind"] for line in found if line["thing"] and line["thing"]["action"] == "create"}
    assert {"JenkinsFolder", "JenkinsJob", "HubRepository", "ArgoApplication", "DnsRecord", "IngressRoute"} <= made
    assert all(line["before"] is None and line["after"] for line in found if line["thing"]["action"] == "create")


async def test_a_deletion_names_who_asked_for_it_by_message(play: Play) -> None:
    await play.set_up()
    before = await play.left()
    record = await (await play.send("deploy", environment="pr-1", requested_by="bob")).ended()
    await play.send("delete", environment="pr-1", requested_by="carol")

    # Its finalizer goes when all is known to be gone: by then each outcome is in the trail.
    await play.stage.kube.wait_gone(RECORDS, record["metadata"]["name"], DEADLINE)

    assert await play.left() == before
    found = outcomes_of(play.stage, play.project)
    removed = [line for line in found if (line["thing"] or {}).get("action") == "delete"]
    assert removed
    assert {line["asked_by"] for line in removed} == {"carol"}
    assert all(line["after"] is None and line["before"] for line in removed)


async def test_the_trail_of_a_killed_operator_goes_on_and_verifies_and_a_changed_one_does_not(
    play: Play, tmp_path: Path
) -> None:
    await play.set_up()
    trigger = await play.send("deploy")
    await trigger.heard("build", "Running")
    await play.operator.restart()
    await trigger.ended()

    said = await command(play, "audit", "verify", "--json")
    assert json.loads(said)["ok"], said

    copy = tmp_path / "audit.jsonl"
    changed = play.stage.audit_file.read_text().replace('"asked_by":"', '"asked_by":"x', 1)
    await asyncio.to_thread(copy.write_text, changed)
    await command(play, "audit", "verify", str(copy), code=1)


async def test_no_secret_is_in_the_trail(play: Play) -> None:
    await play.set_up()
    text = await asyncio.to_thread(play.stage.audit_file.read_text)
    variables = play.operator.environment
    secrets = [name for name in variables if name.endswith(("TOKEN", "PASSWORD", "SECRET", "KEY"))]
    assert secrets
    assert [name for name in secrets if variables[name] in text] == []
