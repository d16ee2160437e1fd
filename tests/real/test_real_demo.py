"""The demo on the real Argo CD, as its user runs it."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from testbed.stage_operator import REPOSITORY, clean_environment

DEADLINE_SECONDS = 600


@pytest.mark.timeout(2 * DEADLINE_SECONDS)
async def test_the_demo_comes_true_on_the_real_argo_cd(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--real"):
        pytest.skip("needs the real Argo CD: make test-real")
    command = ("-m", "devops_reconciler", "demo", "--real", "--once", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=clean_environment({}),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert process.returncode == 0, f"{errors.decode()}{out.decode()}"
    result = json.loads(out.decode().splitlines()[-1])
    assert result["ok"]
    assert all(chapter["ok"] and chapter["detail"] for chapter in result["chapters"])
