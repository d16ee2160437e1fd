"""The operator leaves a cluster: by releasing everything, or by deleting everything. On a stage of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from testbed.stage import ZONE, Stage
from testbed.stage_cluster import KINDS
from testbed.stage_operator import Operator

from .play import Play
from .test_commands import command, outputs
from .test_kubectl import kubectl

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    """A cluster that may lose its kinds."""
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(stage: Stage) -> Operator:
    return await stage.start_operator()


async def ours(play: Play) -> dict[str, list[str]]:
    """All our resources with their finalizers."""
    return {
        f"{plural}/{each['metadata']['name']}": each["metadata"].get("finalizers", [])
        for plural in KINDS
        for each in await play.stage.kube.every(plural)
    }


async def test_delete_takes_everything_along_that_the_policies_do_not_keep(play: Play) -> None:
    await play.set_up()
    await play.deploy()
    await play.deploy(environment="pr-1", ttl="1h")

    said = await command(play, "drain", "--delete", "--yes")

    assert "Now stop the operator." in said
    assert await ours(play) == {}
    left = [each for each in await play.left() if not each.startswith("dockerhub tag")]
    assert left == [f"dockerhub repository acme/{play.project}", f"kubernetes namespace {play.project}"]
    assert "nothing to do" in await command(play, "drain", "--delete", "--yes")


async def test_without_a_yes_it_says_what_it_would_do_and_does_nothing(play: Play) -> None:
    await play.set_up()
    before = await ours(play)

    refused = await command(play, "drain", code=2)

    assert "Nothing was done" in refused
    assert await ours(play) == before
    assert all(finalizers for finalizers in before.values())
    await play.delete()


async def test_everything_keeps_running_and_nothing_holds_the_kinds_any_more(play: Play, tmp_path: Path) -> None:
    await play.set_up()
    deployed = await play.deploy()
    await play.deploy(environment="pr-1", ttl="1h")
    before = await play.left()

    said = await command(play, "drain", "--yes")

    assert f"DevOpsProject {play.stage.namespace}/{play.project}: released; nothing of it is outside" in said
    assert f"ArgoSettings {play.stage.namespace}/{play.project}: released; stays outside: " in said
    assert f"ArgoApplication {play.project}-pr-1" in said
    assert "stand by for 24 h" in said
    assert f"Waiting for the Lease {play.stage.namespace}/devops-reconciler" in said
    assert [name for name, finalizers in (await ours(play)).items() if finalizers] == []
    assert play.operator.alive
    # The replica that still runs puts nothing back when something changes.
    await play.change({"displayName": "Changed"})
    again = await command(play, "drain", "--yes")
    assert "0 resources released" in again

    names = [f"{plural}.freeleaps.com" for plural in KINDS]
    await kubectl(play, "delete", "crd", *names, "--timeout=60s")

    assert await play.left() == before
    assert (await play.visit()).image == deployed["status"]["image"]
    assert "nothing to do" in await command(play, "drain", "--yes")
    await _comes_back(play, tmp_path)


async def _comes_back(play: Play, tmp_path: Path) -> None:
    """An operator that is started anew takes over at once, though the one before has left the Lease."""
    file = tmp_path / "crds.yaml"
    file.write_text(await command(play, "crds"))
    assert len(list(yaml.safe_load_all(file.read_text()))) > len(KINDS)
    await kubectl(play, "apply", "-f", str(file))
    await kubectl(play, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    await play.operator.restart(kill=False)
    newer = Play(play.stage, play.operator, f"{play.project}-newer"[-25:].strip("-"))
    await newer.set_up()
    # What the old resources have left is nobody's now, and is found.
    report = json.loads((await outputs(play, "orphans", "--json", code=1))[0])
    names = {row["id"] for row in report["orphans"]}
    assert {f"{play.project}/{play.project}", f"{play.project}-pr-1", f"A {play.host} in zone {ZONE}"} <= names
    assert not [name for name in names if newer.project in name]
