"""The stand-in as a program of its own, with its controls over HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.http import AiohttpTransport, Http
from devops_reconciler.services.jenkins import Jenkins

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def program() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "standins.jenkins", "--port", "0"),
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_it_says_where_it_is_obeys_its_controls_and_ends_with_its_parent(
    program: asyncio.subprocess.Process, transport: AiohttpTransport
) -> None:
    assert program.stdout is not None
    assert program.stdin is not None
    told = json.loads(await program.stdout.readline())
    http = Http("jenkins", told["url"], transport, SystemClock())
    client = Jenkins(http, username=lambda: told["username"], token=lambda: told["token"])
    assert await client.whoami() == "operator"
    async with aiohttp.ClientSession() as session:

        async def control(path: str, order: object) -> None:
            async with session.post(told["controls"] + path, json=order) as reply:
                assert reply.status == 200

        await control("/set", {"down": True})
        with pytest.raises(ExternalServiceError):
            await client.whoami()
        await control("/clear", {})
        await control("/fault", {"method": "GET", "path": "/whoAmI", "kind": 503})
        with pytest.raises(ExternalServiceError, match="503"):
            await client.whoami()
        assert await client.whoami() == "operator"
        async with session.get(told["controls"] + "/calls") as reply:
            assert [call["status"] for call in await reply.json()] == [200, 503, 200]
    program.stdin.close()
    assert await asyncio.wait_for(program.wait(), timeout=20) == 0
