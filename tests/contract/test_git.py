"""What the Git client assumes of revisions and files."""

from __future__ import annotations

import hashlib
from itertools import count

import pytest

from devops_reconciler.api.errors import CredentialsError, ValidationError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git, GitCredentials
from testbed.git import environment, run_git
from testbed.git import git as run
from testbed.git_server import Credentials, GitServer, Repository

from .git_target import SECRET, OldGitServer, client, client_of, fill, hash_of, server, shop

__all__ = ["client", "server", "shop"]


@pytest.mark.parametrize("name", ["main", "feature/main", "light", "v1", "HEAD", "refs/heads/main", "refs/tags/v1"])
async def test_a_branch_or_tag_resolves_to_its_commit(client: Git, shop: Repository, name: str) -> None:
    assert await client.resolve(shop.url, name) == await hash_of(shop, name)


@pytest.mark.parametrize("old", [False, True])
async def test_a_commit_resolves_to_itself_also_when_no_branch_points_at_it(old: bool) -> None:
    async with OldGitServer() if old else GitServer() as server:
        shop = await server.create("shop")
        if old:
            await run("config", "uploadpack.allowAnySHA1InWant", "false", cwd=shop.path)
        await fill(shop)
        inner = await hash_of(shop, "main~1")
        client = client_of(server.address)

        assert await client.resolve(shop.url, inner) == inner
        assert await client.resolve(shop.url, inner.upper()) == inner
        assert await client.resolve(shop.url, inner[:9]) == inner
        assert await client.resolve(shop.url, "0" * 39 + "1") is None
        for name in (inner, await hash_of(shop, "main")):
            assert await client.read_file(shop.url, name, "deploy/app.yaml") == b"a: 1\n"


async def test_a_revision_that_is_not_there_is_none(client: Git, shop: Repository) -> None:
    for name in ("nowhere", "ain", "abcdef0", "refs/heads/nowhere", "a" * 40):
        assert await client.resolve(shop.url, name) is None


async def test_an_empty_repository_has_no_revision_and_is_readable(client: Git, server: GitServer) -> None:
    empty = await server.create("empty")
    assert await client.resolve(empty.url, "main") is None
    await client.probe(empty.url)


async def test_a_short_hash_that_begins_two_commits_is_refused(client: Git, shop: Repository) -> None:
    tree = await run("rev-parse", "main^{tree}", cwd=shop.path)
    for number, content in enumerate(two_commits_that_begin_alike(tree)):
        output, _, code = await run_git(
            ("hash-object", "-t", "commit", "-w", "--stdin"), environment(), cwd=shop.path, stdin=content
        )
        assert code == 0
        name = output.decode().strip()
        await run("update-ref", f"refs/heads/twin-{number}", name, cwd=shop.path)

    with pytest.raises(ValidationError, match="begins several commits"):
        await client.resolve(shop.url, name[:7])
    assert await client.resolve(shop.url, name[:20]) == name


def two_commits_that_begin_alike(tree: str) -> tuple[bytes, bytes]:
    """Two commit objects whose hashes have the first 7 digits in common: found by trying, about 20,000 times."""
    seen: dict[str, bytes] = {}
    for number in count():
        who = f"Sample <sample@example.com> {1_700_000_000 + number} +0000"
        content = f"tree {tree}\nauthor {who}\ncommitter {who}\n\na change\n".encode()
        digits = hashlib.sha1(b"commit %d\0" % len(content) + content).hexdigest()[:7]
        if digits in seen:
            return seen[digits], content
        seen[digits] = content
    raise AssertionError("unreachable")


async def test_a_file_is_read_at_its_commit(client: Git, shop: Repository) -> None:
    head = await hash_of(shop, "main")
    assert await client.read_file(shop.url, head, ".freeleaps.yaml") == b"jenkins: {scriptPath: ci/Jenkinsfile}\n"
    first = await hash_of(shop, "v1")
    assert await client.read_file(shop.url, first, ".freeleaps.yaml") is None


@pytest.mark.parametrize(
    ("path", "words"), [("deploy", "plain file"), ("link.yaml", "plain file"), ("big.txt", "longer")]
)
async def test_what_is_no_small_plain_file_is_refused(client: Git, shop: Repository, path: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        await client.read_file(shop.url, await hash_of(shop, "main"), path)


async def test_what_is_known_of_a_commit_is_not_asked_again(client: Git, server: GitServer, shop: Repository) -> None:
    head = await hash_of(shop, "main")
    await client.resolve(shop.url, head)
    await client.read_file(shop.url, head, "README.md")
    await client.read_file(shop.url, head, "absent")
    before = server.requests.total()

    assert await client.resolve(shop.url, head) == head
    assert await client.read_file(shop.url, head, "README.md") == b"first"
    assert await client.read_file(shop.url, head, "absent") is None
    assert server.requests.total() == before


async def test_what_one_tenant_read_is_not_given_to_another(client: Git, server: GitServer, shop: Repository) -> None:
    head = await hash_of(shop, "main")
    shop.credentials = Credentials("robot", SECRET)
    assert await client.read_file(shop.url, head, "README.md", GitCredentials("robot", SECRET)) == b"first"
    with pytest.raises(CredentialsError):
        await client.read_file(shop.url, head, "README.md")
    with pytest.raises(CredentialsError):
        await client.read_file(shop.url, head, "README.md", GitCredentials("robot", "other"))


async def test_each_operation_is_observed(server: GitServer, shop: Repository) -> None:
    seen: list[tuple[str, str, str]] = []

    def observe(service: str, operation: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((service, operation, code))

    client = Git([GitHost.parse(f"http://{server.address}")], SystemClock(), observer=observe)
    await client.resolve(shop.url, "main")
    with pytest.raises(ValidationError):
        await client.probe(f"http://{server.address}/nowhere.git")
    shop.credentials = Credentials("robot", SECRET)
    for ours in (True, False):
        with pytest.raises(CredentialsError):
            await client.resolve(shop.url, "main", GitCredentials("robot", "other", ours=ours))
    assert seen == [
        ("git", "resolve", "ok"),
        ("git", "probe", "RepositoryUnreadable"),
        ("git", "resolve", "CredentialsInvalid"),
        ("git", "resolve", "ProjectCredentialsInvalid"),
    ]
