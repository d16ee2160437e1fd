"""A client of Git, a server and a repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git
from testbed.git import git as run
from testbed.git_server import GitServer, Repository

SECRET = "s3cret/+token"


class OldGitServer(GitServer):
    """A server without protocol v2: it gives out what a branch or tag points at, and nothing else."""

    async def _serve(self, request: web.Request) -> web.Response:
        headers = request.headers.copy()
        headers.pop("Git-Protocol", None)
        return await super()._serve(request.clone(headers=headers))


@pytest.fixture
async def server() -> AsyncIterator[GitServer]:
    async with GitServer() as server:
        yield server


@pytest.fixture
async def shop(server: GitServer) -> Repository:
    repository = await server.create("shop")
    await fill(repository)
    return repository


@pytest.fixture
def client(server: GitServer) -> Git:
    return client_of(server.address)


def client_of(address: str, timeout: timedelta = timedelta(seconds=60)) -> Git:
    return Git([GitHost.parse(f"http://{address}")], SystemClock(), timeout=timeout)


async def fill(repository: Repository) -> None:
    """Two commits on main, a branch with a slash, an annotated and a plain tag, and names that end alike."""
    work = repository.path.parent / f"{repository.name}-work"
    await run("clone", "--quiet", str(repository.path), str(work), cwd=repository.path.parent)
    await run("checkout", "-q", "-B", "main", cwd=work)
    await commit(work, {"README.md": "first", "big.txt": "x" * 100_000})
    await run("tag", "light", cwd=work)
    await run("tag", "--annotate", "--message=one", "v1", cwd=work)
    await run("branch", "feature/main", cwd=work)
    await commit(work, {".freeleaps.yaml": "jenkins: {scriptPath: ci/Jenkinsfile}\n", "deploy/app.yaml": "a: 1\n"})
    (work / "link.yaml").symlink_to(".freeleaps.yaml")
    await commit(work, {})
    await run("push", "--quiet", "--all", cwd=work)
    await run("push", "--quiet", "--tags", cwd=work)


async def commit(work: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    await run("add", "--all", cwd=work)
    await run("commit", "--quiet", "--allow-empty", "--message=a change", cwd=work)


async def hash_of(repository: Repository, name: str) -> str:
    return await run("rev-parse", f"{name}^{{commit}}", cwd=repository.path)


@asynccontextmanager
async def answering(handler: object) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()
