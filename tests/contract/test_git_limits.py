"""What one operation of git may take of the machine, against servers that want it to take more."""

from __future__ import annotations

import asyncio
import hashlib
import random
import resource
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ValidationError
from devops_reconciler.services.git_process import DISK_LIMIT, MEMORY_LIMIT, Repository, run_git
from testbed.git import environment
from testbed.git import git as run
from testbed.git import run_git as run_with_input
from testbed.git_server import GitServer

from .git_target import OldGitServer, answering, client, client_of, hash_of, server

__all__ = ["client", "server"]

MAPPED = 16 * 1024 * 1024
"""Programs and libraries, which are in the resident set and not in the limit."""
TREE = 1024 * 1024 * 1024
"""More than the process of the tests has itself: a child begins as a copy of it."""


def packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


def pack_of_a_tree_of_zeros() -> bytes:
    """A pack with one tree (type 2) of a gigabyte, in one megabyte."""
    header, size = bytearray([2 << 4 | TREE & 15]), TREE >> 4
    while size:
        header[-1] |= 0x80
        header.append(size & 0x7F)
        size >>= 7
    deflate, block = zlib.compressobj(9), bytes(1024 * 1024)
    zeros = b"".join(deflate.compress(block) for _ in range(TREE // len(block))) + deflate.flush()
    pack = b"PACK" + struct.pack(">II", 2, 1) + header + zeros
    return pack + hashlib.sha1(pack).digest()


@pytest.fixture
async def sender_of_zeros() -> AsyncIterator[str]:
    """A server that speaks Git's protocol and answers whatever is asked for with that tree."""
    pack = pack_of_a_tree_of_zeros()
    assert len(pack) < 1_100_000

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            lines = [b"version 2\n", b"ls-refs\n", b"fetch=shallow filter\n", b"object-format=sha1\n"]
            said = packet(b"# service=git-upload-pack\n") + b"0000" + b"".join(map(packet, lines)) + b"0000"
            return web.Response(body=said, content_type="application/x-git-upload-pack-advertisement")
        parts = (b"\1" + pack[at : at + 60_000] for at in range(0, len(pack), 60_000))
        said = packet(b"packfile\n") + b"".join(map(packet, parts)) + b"0000"
        return web.Response(body=said, content_type="application/x-git-upload-pack-result")

    async with answering(answer) as address:
        yield address


def most_resident(of: int = resource.RUSAGE_CHILDREN) -> int:
    """Bytes; of children, that have ended, and theirs. Each begins as a copy of this process."""
    return resource.getrusage(of).ru_maxrss * 1024


async def test_a_tree_of_zeros_is_a_repository_that_is_too_large(sender_of_zeros: str) -> None:
    before = most_resident()
    with pytest.raises(ValidationError, match=f"too large: git needs more than {MEMORY_LIMIT} bytes of mem") as caught:
        await client_of(sender_of_zeros).read_file(f"http://{sender_of_zeros}/a.git", "a" * 40, "file")
    assert caught.value.reason is Reason.REPOSITORY_UNREADABLE
    assert most_resident() <= max(before, most_resident(resource.RUSAGE_SELF), MEMORY_LIMIT + MAPPED) < TREE


async def filled(server: GitServer, name: str, stream: Iterator[bytes]) -> str:
    """The URL of a new repository with what `git fast-import` reads."""
    repository = await server.create(name)
    _, errors, code = await run_with_input(
        ("fast-import", "--quiet"), environment(), cwd=repository.path, stdin=b"".join(stream)
    )
    assert code == 0, errors
    return repository.url


def committed(number: int) -> bytes:
    return b"commit refs/heads/main\ncommitter a <a@example.com> %d +0000\ndata 1\nc\n" % (1_700_000_000 + number)


def many_files() -> Iterator[bytes]:
    yield committed(0)
    for number in range(20_000):
        path = f"services/team{number % 40}/package{number % 1000}/file{number}.py"
        content = f"number = {number}\n".encode()
        yield b"M 644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)
    yield b"M 644 inline .freeleaps.yaml\ndata 2\n{}\n"


async def test_a_repository_of_20000_files_is_read(server: GitServer) -> None:
    url = await filled(server, "monorepo", many_files())
    client = client_of(server.address)
    head = await client.resolve(url, "main")
    assert head == await hash_of(server.repository("monorepo"), "main")
    assert await client.resolve(url, head[:10]) == head
    assert await client.resolve(url, head) == head
    assert await client.read_file(url, head, ".freeleaps.yaml") == b"{}"
    assert await client.read_file(url, head, "services/team7/package7/file7.py") == b"number = 7\n"


def large_versions() -> Iterator[bytes]:
    """80 versions of a file of 900 kB that git does not stream, each a few lines from the one before."""
    chance = random.Random(7)
    lines = [f"{chance.getrandbits(256):064x}" for _ in range(14_000)]
    for number in range(80):
        lines[chance.randrange(len(lines))] = f"{number:064x}"
        content = "\n".join(lines).encode()
        yield committed(number) + b"M 644 inline file\ndata %d\n%s\n" % (len(content), content)


async def test_a_whole_history_of_large_versions_is_read() -> None:
    """An old server gives no commit but the last without all of them: 72 MB, which git puts together one by one."""
    async with OldGitServer() as server:
        url = await filled(server, "versions", large_versions())
        path = server.repository("versions").path
        await run("repack", "-adfq", "--depth=50", cwd=path)
        await run("config", "uploadpack.allowAnySHA1InWant", "false", cwd=path)
        before = await hash_of(server.repository("versions"), "main~1")
        content = await client_of(server.address).read_file(url, before, "file", limit=1024 * 1024)
    assert content is not None
    assert b"%064x" % 78 in content


async def test_what_writes_many_files_is_ended_as_what_writes_one(tmp_path: Path) -> None:
    """It would never end by itself."""
    fill = "!i=0; while :; do i=$(((i + 1) % 1000)); echo > file$i; done"
    asked = {**Repository("https://git.example.com/a.git").environment(tmp_path), "GIT_DIR": str(tmp_path)}
    async with asyncio.timeout(60):
        finished = await run_git(("-c", f"alias.fill={fill}", "fill"), asked, limit=10, disk_limit=1024 * 1024)
    assert finished.code != 0
    assert finished.full
    quiet = await run_git(("--version",), asked, limit=100, disk_limit=DISK_LIMIT)
    assert (quiet.code, quiet.full) == (0, False)
