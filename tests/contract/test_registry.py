"""What the client of a registry assumes, driven against the stand-in of Docker's, or with `--real` a real registry.

The real one is open to everybody and is not Docker's: what is about logins, limits and Docker's own ways stays with the
stand-in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dockerhub import DockerHub
from devops_reconciler.services.http import AiohttpTransport, Http
from devops_reconciler.services.registry import Registry
from standins.dockerhub import DockerHubStandin
from standins.registry import RegistryStandin
from standins.registry_accounts import Account, Secret
from standins.registry_auth import Auth

from .registry_pushing import DOCKER_MANIFEST, OCI_MANIFEST, Pusher, digest_of

USER, SECRET = "acme", "dckr_pat_standin"


@dataclass
class Target:
    """A registry to ask, and how to put images there."""

    url: str
    clock: FakeClock
    transport: AiohttpTransport
    secret: list[str] = field(default_factory=lambda: [SECRET])

    def client(self, username: str = USER, token_hosts: frozenset[str] | None = None) -> Registry:
        http = Http("registry", self.url, self.transport, self.clock, timeout=timedelta(seconds=5))
        return Registry(
            http,
            username=lambda: username,
            secret=lambda: self.secret[0] if username else "",
            clock=self.clock,
            token_hosts=token_hosts,
        )

    def pusher(self, repository: str, username: str = USER) -> Pusher:
        return Pusher(self.url, repository, username, SECRET)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport()
    yield transport
    await transport.close()


@pytest.fixture
async def hub(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[DockerHubStandin]:
    if request.config.getoption("--real"):
        pytest.skip("about the stand-in of Docker's registry")
    accounts = [Account(USER, [Secret(SECRET)]), Account("other", [Secret(SECRET)])]
    async with DockerHubStandin(accounts=accounts, clock=clock) as hub:
        yield hub


@pytest.fixture
def target(request: pytest.FixtureRequest, clock: FakeClock, transport: AiohttpTransport) -> Target:
    if request.config.getoption("--real"):
        return Target(request.getfixturevalue("registry_service").url, clock, transport)
    return Target(request.getfixturevalue("hub").registry_url, clock, transport)


def tokens_asked(hub: DockerHubStandin) -> int:
    return len(hub.registry.controls.seen("GET", "^/token$"))


async def test_the_digest_of_a_tag_is_that_of_the_pushed_manifest(target: Target) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    assert await target.client().digest("acme/shop", "v1") == digest


async def test_a_digest_is_found_by_itself(target: Target) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    assert await target.client().digest("acme/shop", digest) == digest
    assert await target.client().digest("acme/shop", digest_of(b"none")) is None


async def test_asking_for_a_digest_is_no_pull(hub: DockerHubStandin, target: Target) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.pull_limit = 0
    assert await target.client().digest("acme/shop", "v1")
    assert not hub.registry.pulls
    assert not hub.registry.controls.seen("GET", "/manifests/")


async def test_the_digest_of_an_index_is_that_of_the_index(target: Target) -> None:
    index, image = await target.pusher("acme/shop").push_index("v1")
    assert await target.client().digest("acme/shop", "v1") == index != image


async def test_with_too_few_accepted_types_a_registry_gives_another_digest_or_none(target: Target) -> None:
    pusher = target.pusher("acme/shop")
    _, image = await pusher.push_index("index")
    await pusher.push_image("oci", media_type=OCI_MANIFEST)
    accept = {"Accept": DOCKER_MANIFEST}
    other = await pusher.ask("HEAD", "/v2/acme/shop/manifests/index", headers=accept)
    # Docker's gives the image for this platform; the open one has nothing of these types.
    assert other.headers.get("docker-content-digest") in (image, None)
    assert (await pusher.ask("HEAD", "/v2/acme/shop/manifests/oci", headers=accept)).status == 404
    assert (await pusher.ask("HEAD", "/v2/acme/shop/manifests/oci")).status == 404


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, OCI_MANIFEST])
async def test_both_forms_of_an_image_are_found(target: Target, media_type: str) -> None:
    digest = await target.pusher("acme/shop").push_image("v1", media_type=media_type)
    assert await target.client().digest("acme/shop", "v1") == digest


async def test_a_missing_tag_is_none(target: Target) -> None:
    await target.pusher("acme/shop").push_image("v1")
    assert await target.client().digest("acme/shop", "v2") is None


async def test_a_missing_repository_is_not_found_or_no_access(hub: DockerHubStandin, target: Target) -> None:
    with pytest.raises(CredentialsError, match="acme/none is not found, or there is no access") as caught:
        await target.client().digest("acme/none", "v1")
    assert caught.value.reason == Reason.PERMISSION_DENIED
    assert tokens_asked(hub) == 1, "a token was issued all the same: it proves nothing"


async def test_a_missing_repository_is_asked_for_with_two_calls_and_found_once_it_is_there(
    hub: DockerHubStandin, target: Target
) -> None:
    client = target.client()
    for _ in range(2):
        hub.registry.controls.forget()
        with pytest.raises(CredentialsError):
            await client.digest("acme/shop", "v1")
    assert [call.method for call in hub.registry.controls.calls] == ["GET", "HEAD"]
    digest = await target.pusher("acme/shop").push_image("v1")
    assert await client.digest("acme/shop", "v1") == digest


async def test_a_private_repository_of_others_looks_like_a_missing_one(hub: DockerHubStandin, target: Target) -> None:
    hub.registry.new_private = True
    await target.pusher("other/secret", "other").push_image("v1")
    for username in (USER, ""):
        with pytest.raises(CredentialsError, match="not found, or there is no access") as caught:
            await target.client(username).digest("other/secret", "v1")
        assert caught.value.reason == Reason.PERMISSION_DENIED
    assert await target.client("other").digest("other/secret", "v1")


async def test_a_public_repository_is_read_without_a_name(target: Target) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    assert await target.client("").digest("acme/shop", "v1") == digest


async def test_one_token_serves_a_repository_until_it_ends(
    hub: DockerHubStandin, target: Target, clock: FakeClock
) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.controls.forget()
    client = target.client()
    for _ in range(3):
        await client.digest("acme/shop", "v1")
    assert tokens_asked(hub) == 1
    clock.advance(timedelta(seconds=299))
    assert await client.digest("acme/shop", "v1")
    assert tokens_asked(hub) == 2
    assert not [call for call in hub.registry.controls.seen("HEAD")[1:] if call.status == 401], "never with an old one"


async def test_a_token_without_an_end_is_good_for_less_than_a_minute(
    hub: DockerHubStandin, target: Target, clock: FakeClock
) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.door.says_expiry = False
    hub.registry.door.token_lifetime = timedelta(seconds=60)
    hub.registry.door.token_field = "access_token"
    hub.registry.controls.forget()
    client = target.client()
    for _ in range(2):
        await client.digest("acme/shop", "v1")
    assert tokens_asked(hub) == 1
    clock.advance(timedelta(seconds=59))
    await client.digest("acme/shop", "v1")
    assert tokens_asked(hub) == 2


async def test_each_repository_has_a_token_of_its_own_for_reading_only(hub: DockerHubStandin, target: Target) -> None:
    for name in ("acme/shop", "acme/cart"):
        await target.pusher(name).push_image("v1")
    hub.registry.controls.forget()
    client = target.client()
    assert await client.digest("acme/shop", "v1")
    assert await client.digest("acme/cart", "v1")
    queries = [call.query for call in hub.registry.controls.seen("GET", "^/token$")]
    assert ["scope=repository:acme/shop:pull" in queries[0], "scope=repository:acme/cart:pull" in queries[1]] == [
        True,
        True,
    ]


async def test_a_withdrawn_token_is_replaced_once(hub: DockerHubStandin, target: Target) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    client = target.client()
    await client.digest("acme/shop", "v1")
    hub.accounts.revoke_tokens()
    hub.registry.controls.forget()
    assert await client.digest("acme/shop", "v1") == digest
    assert tokens_asked(hub) == 1


async def test_wrong_credentials_are_not_tried_again_and_again(
    hub: DockerHubStandin, target: Target, clock: FakeClock
) -> None:
    await target.pusher("acme/shop").push_image("v1")
    target.secret[0] = "wrong-and-secret"
    hub.registry.controls.forget()
    client = target.client()
    for _ in range(20):
        with pytest.raises(CredentialsError, match="incorrect username or password") as caught:
            await client.digest("acme/shop", "v1")
        assert caught.value.reason == Reason.CREDENTIALS_INVALID
        assert "wrong-and-secret" not in str(caught.value)
    assert tokens_asked(hub) == 1, "failed logins lock the account"
    target.secret[0] = SECRET
    assert await client.digest("acme/shop", "v1"), "a changed secret is tried at once"


async def test_credentials_go_to_no_other_host(hub: DockerHubStandin, target: Target, clock: FakeClock) -> None:
    await target.pusher("acme/shop").push_image("v1")
    async with DockerHubStandin(clock=clock) as elsewhere:
        hub.registry.realm = f"{elsewhere.registry_url}/token"
        with pytest.raises(CredentialsError, match="not an allowed token service") as caught:
            await target.client().digest("acme/shop", "v1")
        assert caught.value.reason == Reason.PERMISSION_DENIED
        assert elsewhere.registry.controls.calls == []


async def test_credentials_go_to_a_token_service_that_is_allowed(
    hub: DockerHubStandin, target: Target, clock: FakeClock
) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    issuer = RegistryStandin(auth="token", clock=clock)
    issuer.door = hub.registry.door
    async with issuer:
        hub.registry.realm = f"{issuer.url}/token"
        allowed = frozenset({issuer.url.removeprefix("http://")})
        assert await target.client(token_hosts=allowed).digest("acme/shop", "v1") == digest
        assert len(issuer.controls.calls) == 1


@pytest.mark.parametrize("realm", ["http://example.com/token", "ftp://127.0.0.1/token", "/token", "", "http://[::1"])
async def test_an_odd_token_service_gets_nothing(hub: DockerHubStandin, target: Target, realm: str) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.realm = realm or " "
    client = target.client(token_hosts=frozenset({"example.com"}))
    with pytest.raises((CredentialsError, ExternalServiceError)):
        await client.digest("acme/shop", "v1")


async def test_over_the_limit_is_waiting_not_absence(hub: DockerHubStandin, target: Target) -> None:
    await target.pusher("acme/shop").push_image("v1")
    body = '{"errors":[{"code":"TOOMANYREQUESTS"}]}'
    hub.registry.controls.fault("HEAD", "/manifests/", 429, retry_after="17", body=body)
    with pytest.raises(ExternalServiceError) as caught:
        await target.client().digest("acme/shop", "v1")
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, timedelta(seconds=17))


@pytest.mark.parametrize("kind", ["html", "reset", 500, 503])
@pytest.mark.parametrize("path", ["/manifests/", "^/token"])
async def test_a_bad_answer_is_never_an_absence(
    hub: DockerHubStandin, target: Target, kind: str | int, path: str
) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    fault = hub.registry.controls.fault("*", path, kind, times=None)  # type: ignore[arg-type]
    client = target.client()
    with pytest.raises(ExternalServiceError):
        await client.digest("acme/shop", "v1")
    hub.registry.controls.faults.remove(fault)
    assert await client.digest("acme/shop", "v1") == digest


async def test_a_404_of_a_proxy_is_no_absence(hub: DockerHubStandin, target: Target) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.controls.fault("*", "", 404, times=None)
    with pytest.raises(ExternalServiceError, match="no registry under /v2/"):
        await target.client().digest("acme/shop", "v1")


async def test_a_404_of_a_registry_says_whose_it_is_and_nothing_more_is_asked(
    hub: DockerHubStandin, target: Target
) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.controls.forget()
    assert await target.client().digest("acme/shop", "v2") is None
    assert [call.path for call in hub.registry.controls.calls if call.path == "/v2/"] == []


async def test_a_registry_whose_404_does_not_say_whose_it_is_is_asked_whether_it_is_one(
    hub: DockerHubStandin, target: Target
) -> None:
    await target.pusher("acme/shop").push_image("v1")
    hub.registry.controls.fault("HEAD", "/manifests/", 404, times=None)
    assert await target.client().digest("acme/shop", "v1") is None
    assert [call.status for call in hub.registry.controls.seen("GET", "^/v2/$")] == [401]


@pytest.mark.parametrize("kind", ["truncated", "garbled"])
async def test_half_a_token_is_no_token(hub: DockerHubStandin, target: Target, kind: str) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    hub.registry.controls.fault("GET", "^/token", kind, after_effect=True)  # type: ignore[arg-type]
    client = target.client()
    with pytest.raises(ExternalServiceError):
        await client.digest("acme/shop", "v1")
    assert await client.digest("acme/shop", "v1") == digest


async def test_a_tag_that_docker_hub_deleted_is_none_and_its_image_stays(hub: DockerHubStandin, target: Target) -> None:
    digest = await target.pusher("acme/shop").push_image("v1")
    http = Http("dockerhub", hub.url, target.transport, target.clock)
    await DockerHub(http, username=lambda: USER, secret=lambda: SECRET, clock=target.clock).delete_tag(
        "acme", "shop", "v1"
    )
    client = target.client()
    assert (await client.digest("acme/shop", "v1"), await client.digest("acme/shop", digest)) == (None, digest)


async def test_a_pushed_tag_may_be_seen_late(hub: DockerHubStandin, target: Target, clock: FakeClock) -> None:
    hub.registry.lag = timedelta(seconds=3)
    digest = await target.pusher("acme/shop").push_image("v1")
    assert await target.client().digest("acme/shop", "v1") is None
    clock.advance(timedelta(seconds=3))
    assert await target.client().digest("acme/shop", "v1") == digest


@pytest.mark.parametrize("auth", ["none", "basic"])
async def test_registries_without_tokens_are_read_too(
    clock: FakeClock, transport: AiohttpTransport, auth: Auth
) -> None:
    async with RegistryStandin([Account(USER, [Secret(SECRET)])], auth="none", clock=clock) as registry:
        target = Target(registry.url, clock, transport)
        digest = await target.pusher("acme/shop").push_image("v1")
        registry.door.auth = auth
        client = target.client()
        await client.ping()
        assert await client.digest("acme/shop", "v1") == digest
        assert await client.digest("acme/shop", "v2") is None
        assert registry.controls.seen("HEAD")[-1].headers.get("authorization", "").startswith("Basic") is (
            auth == "basic"
        )


async def test_basic_credentials_that_are_wrong_are_refused(clock: FakeClock, transport: AiohttpTransport) -> None:
    async with RegistryStandin([Account(USER, [Secret(SECRET)])], auth="basic", clock=clock) as registry:
        target = Target(registry.url, clock, transport, ["wrong"])
        for username in (USER, ""):
            with pytest.raises(CredentialsError, match="does not accept") as caught:
                await target.client(username).digest("acme/shop", "v1")
            assert caught.value.reason == Reason.CREDENTIALS_INVALID


async def test_a_ping_proves_the_credentials(hub: DockerHubStandin, target: Target) -> None:
    await target.client().ping()
    await target.client("").ping()
    target.secret[0] = "wrong"
    with pytest.raises(CredentialsError):
        await target.client().ping()
