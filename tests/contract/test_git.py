"""What the Git client assumes of git and of a server that speaks smart HTTP."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, Refused, ValidationError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git, GitCredentials
from testbed.git import environment, run_git
from testbed.git import git as run
from testbed.git_server import Credentials, GitServer, Repository
from testbed.waiting import eventually

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


async def test_a_private_repository_opens_with_its_credentials(client: Git, shop: Repository) -> None:
    shop.credentials = Credentials("robot", SECRET)
    head = await hash_of(shop, "main")
    good = GitCredentials("robot", SECRET)

    assert await client.resolve(shop.url, "main", good) == head
    assert await client.resolve(shop.url, head[:10], good) == head
    assert await client.read_file(shop.url, head, "README.md", good) == b"first"
    with pytest.raises(CredentialsError) as missing:
        await client.resolve(shop.url, "main")
    assert missing.value.reason == Reason.REPOSITORY_UNREADABLE
    with pytest.raises(CredentialsError) as wrong:
        await client.resolve(shop.url, "main", GitCredentials("robot", "wr0ng-token"))
    assert wrong.value.reason == Reason.CREDENTIALS_INVALID
    assert "wr0ng-token" not in str(wrong.value)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, CredentialsError, Reason.PERMISSION_DENIED),
        (404, ValidationError, Reason.REPOSITORY_UNREADABLE),
        (429, ExternalServiceError, Reason.RATE_LIMITED),
        (500, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (503, ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
    ],
)
async def test_a_bad_status_has_its_error(
    client: Git, shop: Repository, status: int, error: type[Exception], reason: Reason
) -> None:
    shop.fail_with = status
    with pytest.raises(error) as caught:
        await client.resolve(shop.url, "main")
    assert isinstance(caught.value, Refused | ExternalServiceError)
    assert caught.value.reason == reason
    with pytest.raises(error):
        await client.read_file(shop.url, "a" * 40, "README.md")


async def test_a_repository_that_is_not_there_is_unreadable(client: Git, server: GitServer) -> None:
    with pytest.raises(ValidationError, match="no Git repository") as caught:
        await client.resolve(f"http://{server.address}/nowhere.git", "main")
    assert caught.value.reason == Reason.REPOSITORY_UNREADABLE


async def test_a_server_that_is_down_is_an_external_failure(server: GitServer) -> None:
    with pytest.raises(ExternalServiceError, match="onnect"):
        await client_of("127.0.0.1:9").resolve("http://127.0.0.1:9/shop.git", "main")


async def test_git_connects_to_the_address_that_was_judged_and_resolves_nothing_again(
    server: GitServer, shop: Repository
) -> None:
    """No resolver but ours knows the name: whatever the name means a moment later (rebinding) counts no more."""
    asked = []

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        asked.append((host, port))
        return ("127.0.0.1",)

    here = [GitHost.parse(f"http://git.rebinding.invalid:{server.port}")]
    url = f"http://git.rebinding.invalid:{server.port}/shop.git"
    client = Git(here, SystemClock(), resolve=resolve)
    assert await client.resolve(url, "main") == await hash_of(shop, "main")
    assert asked == [("git.rebinding.invalid", server.port)]


async def test_a_name_that_has_no_address_is_an_external_failure(server: GitServer) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        raise OSError("Name or service not known")

    client = Git([], SystemClock(), resolve=resolve)
    with pytest.raises(ExternalServiceError, match=r"the host git\.example\.com has no address"):
        await client.resolve("https://git.example.com/shop.git", "main")


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


async def test_credentials_do_not_follow_a_redirect(server: GitServer, shop: Repository) -> None:
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=404)

    async with answering(elsewhere) as target:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=301, headers={"Location": f"http://{target}{request.path_qs}"})

        async with answering(redirect) as address:
            with pytest.raises(ValidationError, match="redirects"):
                await client_of(address).resolve(f"http://{address}/a.git", "main", GitCredentials("robot", SECRET))
    assert seen == []


@pytest.mark.parametrize("text", ["<html>Welcome</html>", "<html>\n<p>Welcome\tback</p>\n</html>\n", ""])
@pytest.mark.parametrize("revision", ["main", "HEAD", "a" * 40, "abcdef0"])
async def test_a_page_instead_of_a_repository_is_unreadable_and_not_an_absent_revision(
    text: str, revision: str
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async with answering(page) as address:
        with pytest.raises(ValidationError) as caught:
            await client_of(address).resolve(f"http://{address}/a.git", revision)
    assert caught.value.reason == Reason.REPOSITORY_UNREADABLE


async def test_a_server_that_echoes_the_credentials_does_not_get_them_into_the_error() -> None:
    async def echo(request: web.Request) -> web.Response:
        said = f"ERR {request.headers['Authorization']} {SECRET} \x1b[31m"
        body = f"001e# service=git-upload-pack\n0000{len(said) + 4:04x}{said}".encode()
        return web.Response(body=body, content_type="application/x-git-upload-pack-advertisement")

    credentials = GitCredentials("robot", SECRET)
    async with answering(echo) as address:
        with pytest.raises(ExternalServiceError, match="remote error") as caught:
            await client_of(address).resolve(f"http://{address}/a.git", "main", credentials)
    for secret in (*credentials.secrets, "\x1b"):
        assert secret not in str(caught.value)


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


async def test_one_slow_server_holds_at_most_four_processes() -> None:
    now, most, go_on = 0, 0, asyncio.Event()
    waiting = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 4:
            waiting.set()
        await go_on.wait()
        now -= 1
        return web.Response(status=404)

    async with answering(slow) as address:
        client = client_of(address)
        calls = [asyncio.create_task(client.resolve(f"http://{address}/{n}.git", "main")) for n in range(10)]
        await waiting.wait()
        go_on.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, ValidationError) for result in results)
    assert most == 4


async def test_credentials_are_sent_to_their_own_host_alone(client: Git, server: GitServer, shop: Repository) -> None:
    own = GitCredentials("robot", SECRET, host=server.address)
    assert await client.resolve(shop.url, "main", own) is not None
    before = server.requests.total()
    with pytest.raises(CredentialsError, match="git-host"):
        await client.resolve(shop.url, "main", GitCredentials("robot", SECRET, host="git.example.com"))
    assert server.requests.total() == before


async def test_each_operation_is_observed(server: GitServer, shop: Repository) -> None:
    seen: list[tuple[str, str, str]] = []

    def observe(service: str, operation: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((service, operation, code))

    client = Git([GitHost.parse(f"http://{server.address}")], SystemClock(), observer=observe)
    await client.resolve(shop.url, "main")
    with pytest.raises(ValidationError):
        await client.probe(f"http://{server.address}/nowhere.git")
    assert seen == [("git", "resolve", "ok"), ("git", "probe", "RepositoryUnreadable")]


async def test_the_configuration_of_the_machine_is_not_read(
    client: Git, shop: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ".gitconfig"
    config.write_text('[url "http://127.0.0.1:9/"]\n  insteadOf = http://\n[credential]\n  helper = "!touch pwned"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert await client.resolve(shop.url, "main") == await hash_of(shop, "main")
