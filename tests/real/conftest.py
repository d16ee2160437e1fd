"""One stage with the real Argo CD, and one operator, for all tests of this folder; each has a project of its own.

`make test-real` runs all of them, `make test` those with the mark `representative`.
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

from testbed.stage_cluster import KINDS, told
from testbed.stage_operator import Operator
from testbed.stage_real import RealStage

from .real_play import SYNC_TIMEOUT, RealPlay

LOG_LINES = 60
HERE = Path(__file__).parent


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stage() -> AsyncIterator[RealStage]:
    """Everything around the operator."""
    async with RealStage() as stage:
        yield stage


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def operator(stage: RealStage) -> Operator:
    """The operator of this test run, with the documented rights at Argo CD and no more."""
    return await stage.start_operator(SYNC_TIMEOUT=f"{SYNC_TIMEOUT.total_seconds():.0f}s")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of a project of this test's own: no other name contains it."""
    words = re.sub(r"[^a-z]+", "-", request.node.originalname.removeprefix("test_").lower())
    return f"{words[:14].strip('-')}-{secrets.token_hex(3)}"


@pytest.fixture
def play(stage: RealStage, operator: Operator, name: str) -> RealPlay:
    """The words of the tests, for a project of this test's own."""
    return RealPlay(stage, operator, name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--real`, only what represents the rest: a deployment, and a failure."""
    if config.getoption("--real"):
        return
    others = [item for item in items if item.path.parent == HERE and not item.get_closest_marker("representative")]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds logs and resources to the report of a test that failed."""
    report = yield
    play = getattr(item, "funcargs", {}).get("play")
    if report.when == "call" and report.failed and isinstance(play, RealPlay):
        report.sections.append(("operator log", play.operator.logs(LOG_LINES)))
        report.sections.append(("argocd", play.real.real.logs()))
        report.sections.append(("resources", asyncio.run(_resources(play))))
        beats = "\n".join(str(beat) for beat in play.stage.heartbeats.of(play.project))
        report.sections.append(("heartbeats", beats))
    return report


async def _resources(play: RealPlay) -> str:
    found = [f"application: {json.dumps(await play.real.application(play.project), indent=1)}"]
    for plural in KINDS:
        for each in await play.stage.kube.every(plural):
            if play.project in each["metadata"]["name"]:
                found.append(f"{plural}/{each['metadata']['name']}: {json.dumps(told(each), indent=1)}")
    return "\n".join(found)
