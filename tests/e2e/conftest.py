"""One stage and one operator for all end-to-end tests; each test has a project of its own.

What a test needs to say when it fails is added to its report: the end of the operator's log, and the resources of its
project.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from testbed.launcher import Launcher
from testbed.stage import Ground, Stage
from testbed.stage_cluster import KINDS, Cluster, told
from testbed.stage_operator import Operator

from .play import Play

LOG_LINES = 60
LAST = "test_rights.py"
HERE = Path(__file__).parent


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    """Everything around the operator."""
    async with Ground(Launcher()) as ground, Stage(ground=ground) as stage:
        yield stage


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def running(stage: Stage) -> Operator:
    """The operator of this test run. Tests that end it start it again."""
    return await stage.start_operator()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(running: Operator) -> Operator:
    """The operator, running: also after a test that left it dead."""
    if not running.alive:
        await running.start()
        await running.wait_ready()
    return running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of a project of this test's own: no other name contains it."""
    words = re.sub(r"[^a-z]+", "-", request.node.originalname.removeprefix("test_").lower())
    return f"{words[:14].strip('-')}-{secrets.token_hex(3)}"


@pytest_asyncio.fixture(loop_scope="session")
async def play(stage: Stage, operator: Operator, name: str) -> AsyncIterator[Play]:
    """The words of the tests, for a project of this test's own. What is left of it is looked at no more."""
    play = Play(stage, operator, name)
    yield play
    await play.rest()
    for standin in (stage.jenkins, stage.argocd, stage.hub, stage.hub.registry, stage.godaddy):
        standin.controls.clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the whole run comes after the other tests of this folder."""
    mine = [number for number, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[number] for number in mine), key=lambda item: item.path.name == LAST)
    for number, item in zip(mine, ordered, strict=True):
        items[number] = item


@pytest.fixture
def whole_suite(request: pytest.FixtureRequest) -> bool:
    """Whether all end-to-end tests were chosen, and none failed."""
    session = request.session
    files = {item.path.name for item in session.items if item.path.parent == HERE}
    chosen = not request.config.getoption("keyword") and not any("::" in each for each in request.config.args)
    return chosen and session.testsfailed == 0 and files == {path.name for path in HERE.glob("test_*.py")}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds log and resources to the report of a test that failed."""
    report = yield
    play = getattr(item, "funcargs", {}).get("play")
    if report.when == "call" and report.failed and isinstance(play, Play):
        report.sections.append(("operator log", play.operator.logs(LOG_LINES)))
        report.sections.append(("resources", asyncio.run(_resources(play.stage.kube, play.project))))
        beats = "\n".join(str(beat) for beat in play.stage.heartbeats.of(play.project))
        report.sections.append(("heartbeats", beats))
    return report


async def _resources(cluster: Cluster, project: str) -> str:
    """The status of everything that bears the project's name."""
    found = []
    for plural in KINDS:
        for each in await cluster.every(plural):
            if project in each["metadata"]["name"]:
                found.append(f"{plural}/{each['metadata']['name']}: {json.dumps(told(each), indent=1)}")
    return "\n".join(found)
