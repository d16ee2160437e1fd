"""What the Git client assumes of git as a process: what it leaves, and what it reads of the machine."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.urgency import Urgency, urgency
from devops_reconciler.services.git import Git, GitCredentials
from devops_reconciler.services.git_process import Repository as Source
from devops_reconciler.services.git_session import Session
from testbed.git import git as run
from testbed.git_server import GitServer, Repository
from testbed.waiting import eventually

from .git_target import SECRET, answering, client, client_of, commit, hash_of, server, shop

__all__ = ["client", "server", "shop"]


def git_processes(address: str) -> list[int]:
    """Processes whose arguments or environment name this server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if address.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def arguments_of(processes: list[int]) -> list[bytes]:
    return [Path(f"/proc/{process}/cmdline").read_bytes() for process in processes]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_silent_server_leaves_no_process_behind(cancelled: bool) -> None:
    asked, never = asyncio.Event(), asyncio.Event()
    arguments: list[bytes] = []

    async def hang(_: web.Request) -> web.Response:
        arguments.extend(arguments_of(git_processes(address)))
        asked.set()
        await never.wait()
        return web.Response()

    async with answering(hang) as address:
        client = client_of(address, timeout=timedelta(seconds=60 if cancelled else 2))
        task = asyncio.create_task(client.resolve(f"http://{address}/a.git", "main", GitCredentials("robot", SECRET)))
        await asked.wait()
        assert arguments
        assert not any(SECRET.encode() in line or b"Authorization" in line for line in arguments)
        if cancelled:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(ExternalServiceError, match="not done within 2 s"):
                await task

        async def gone() -> bool:
            return not git_processes(address)

        await eventually(gone, "no process of git is left")


PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def process_one() -> Iterator[None]:
    """As in a container: orphans become our children."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def children() -> set[int]:
    """Our children, dead ones that nobody has collected too."""
    me = Path(f"/proc/{os.getpid()}/task")
    return {int(child) for task in me.iterdir() for child in (task / "children").read_text().split()}


async def test_a_killed_git_leaves_no_zombie_in_a_container(process_one: None) -> None:
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    before = children()
    async with answering(hang) as address:
        with pytest.raises(ExternalServiceError, match="not done within"):
            await client_of(address, timeout=timedelta(seconds=1)).resolve(f"http://{address}/a.git", "main")
    assert children() == before


@pytest.mark.parametrize(("of", "at_most"), [(Urgency.DEPLOYMENT, 4), (Urgency.CHANGE, 3)])
async def test_one_slow_server_holds_at_most_four_processes_one_of_them_for_deployments(
    of: Urgency, at_most: int
) -> None:
    now, most, go_on = 0, 0, asyncio.Event()
    waiting = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == at_most:
            waiting.set()
        await go_on.wait()
        now -= 1
        return web.Response(status=404)

    async with answering(slow) as address:
        client = client_of(address)
        with urgency(of):
            calls = [asyncio.create_task(client.resolve(f"http://{address}/{n}.git", "main")) for n in range(10)]
        await waiting.wait()
        go_on.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, ValidationError) for result in results)
    assert most == at_most


async def test_the_configuration_of_the_machine_is_not_read(
    client: Git, shop: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ".gitconfig"
    config.write_text('[url "http://127.0.0.1:9/"]\n  insteadOf = http://\n[credential]\n  helper = "!touch pwned"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert await client.resolve(shop.url, "main") == await hash_of(shop, "main")


@pytest.mark.parametrize(("files", "size"), [(1, 300_000), (150, 2_000)])
async def test_a_repository_that_is_larger_than_it_may_be_is_refused(
    server: GitServer, tmp_path: Path, files: int, size: int
) -> None:
    """One object is unpacked as it comes, many are kept in the pack: git words the two in different ways."""
    large = await server.create("large")
    await run("config", "uploadpack.allowFilter", "false", cwd=large.path)
    work, folder = tmp_path / "work", tmp_path / "session"
    work.mkdir()
    folder.mkdir()
    await run("init", "--quiet", cwd=work)
    for number in range(files):
        (work / f"file{number}").write_bytes(os.urandom(size))
    await commit(work, {})
    await run("push", "--quiet", str(large.path), "HEAD:main", cwd=work)
    session = Session("read file", Source(large.url), folder, disk_limit=64 * 1024)
    with pytest.raises(ValidationError, match="more than 65536 bytes on disk") as caught:
        await session.read(await hash_of(large, "main"), "file0", 10)
    assert caught.value.reason is Reason.REPOSITORY_UNREADABLE
