"""What the Git client assumes of servers that ask for a login, refuse, lead elsewhere or are no Git servers."""

from __future__ import annotations

import pytest
from aiohttp import web

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, Refused, ValidationError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git, GitCredentials
from testbed.git_server import Credentials, GitServer, Repository

from .git_target import SECRET, answering, client, client_of, hash_of, server, shop

__all__ = ["client", "server", "shop"]


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


async def test_credentials_are_sent_to_their_own_host_alone(client: Git, server: GitServer, shop: Repository) -> None:
    own = GitCredentials("robot", SECRET, host=server.address)
    assert await client.resolve(shop.url, "main", own) is not None
    before = server.requests.total()
    with pytest.raises(CredentialsError, match="git-host"):
        await client.resolve(shop.url, "main", GitCredentials("robot", SECRET, host="git.example.com"))
    assert server.requests.total() == before
