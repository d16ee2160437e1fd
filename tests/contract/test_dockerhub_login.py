"""What the client of Docker Hub assumes about logging in, driven against the stand-in."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dockerhub import DockerHub
from devops_reconciler.services.http import AiohttpTransport, Http
from standins.dockerhub import DockerHubStandin
from standins.registry_accounts import Account, Secret

PAT = Secret("dckr_pat_standin")
PASSWORD = Secret("correct horse", "password")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def hub(clock: FakeClock) -> AsyncIterator[DockerHubStandin]:
    async with DockerHubStandin(accounts=[Account("acme", [PAT, PASSWORD])], clock=clock) as hub:
        yield hub


@pytest.fixture
def secret() -> list[str]:
    """The secret as it is now: tests change it."""
    return [PAT.value]


@pytest.fixture
async def target(hub: DockerHubStandin, clock: FakeClock, secret: list[str]) -> AsyncIterator[DockerHub]:
    transport = AiohttpTransport()
    http = Http("dockerhub", hub.url, transport, clock, timeout=timedelta(seconds=5))
    yield DockerHub(http, username=lambda: "acme", secret=lambda: secret[0], clock=clock)
    await transport.close()


async def test_one_token_is_used_until_shortly_before_its_ten_minutes(
    hub: DockerHubStandin, target: DockerHub, clock: FakeClock
) -> None:
    for _ in range(3):
        await target.ping("acme")
        clock.advance(timedelta(minutes=2))
    assert hub.accounts.logins == 1
    clock.advance(timedelta(minutes=3))
    await target.ping("acme")
    assert hub.accounts.logins == 2
    assert all(call.status == 200 for call in hub.controls.calls), "an old token was never sent"


async def test_many_calls_at_once_log_in_once(hub: DockerHubStandin, target: DockerHub) -> None:
    await asyncio.gather(*(target.ping("acme") for _ in range(20)))
    assert hub.accounts.logins == 1


async def test_a_withdrawn_token_is_replaced_once(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.ping("acme")
    hub.accounts.revoke_tokens()
    await asyncio.gather(*(target.ping("acme") for _ in range(5)))
    assert hub.accounts.logins == 2


async def test_a_second_refusal_is_final(hub: DockerHubStandin, target: DockerHub) -> None:
    hub.controls.fault("GET", "/v2/namespaces/", 401, times=None, body='{"detail": "no"}')
    with pytest.raises(CredentialsError):
        await target.ping("acme")
    assert hub.accounts.logins == 2


async def test_a_refused_login_is_not_repeated_during_a_growing_pause(
    hub: DockerHubStandin, target: DockerHub, secret: list[str], clock: FakeClock
) -> None:
    secret[0] = "wrong-and-secret"
    for minutes, logins in ((0, 1), (1, 2), (1, 2), (1, 3), (3, 3), (1, 4)):
        clock.advance(timedelta(minutes=minutes))
        with pytest.raises(CredentialsError, match="Incorrect authentication credentials") as caught:
            await target.ping("acme")
        assert "wrong-and-secret" not in str(caught.value)
        assert hub.accounts.logins == logins


async def test_many_calls_at_once_fail_by_one_login(
    hub: DockerHubStandin, target: DockerHub, secret: list[str]
) -> None:
    secret[0] = "wrong"
    results = await asyncio.gather(*(target.ping("acme") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, CredentialsError) for result in results)
    assert hub.accounts.logins == 1, "five would have locked the account"


async def test_a_changed_secret_is_used_at_once(hub: DockerHubStandin, target: DockerHub, secret: list[str]) -> None:
    await target.ping("acme")
    secret[0] = PASSWORD.value
    await target.ping("acme")
    secret[0] = "wrong"
    with pytest.raises(CredentialsError):
        await target.ping("acme")
    secret[0] = PAT.value
    await target.ping("acme")
    assert hub.accounts.logins == 4


async def test_failed_logins_lock_the_name_for_ten_minutes_even_for_the_right_secret(
    hub: DockerHubStandin, target: DockerHub, clock: FakeClock
) -> None:
    for _ in range(5):
        assert hub.accounts.verify("acme", "wrong") is None
    with pytest.raises(CredentialsError, match="Too many failed login attempts"):
        await target.ping("acme")
    clock.advance(timedelta(minutes=10))
    await target.ping("acme")


async def test_the_lock_holds_for_the_registry_too(hub: DockerHubStandin) -> None:
    for _ in range(5):
        hub.accounts.verify("acme", "wrong")
    headers = {"Authorization": "Basic " + base64.b64encode(f"acme:{PAT.value}".encode()).decode()}
    url = f"{hub.registry_url}/token"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
        assert reply.status == 401
        assert "Too many failed login attempts" in await reply.text()


async def test_passwords_are_refused_under_single_sign_on(
    hub: DockerHubStandin, target: DockerHub, secret: list[str]
) -> None:
    hub.accounts.passwords_allowed = False
    secret[0] = PASSWORD.value
    with pytest.raises(CredentialsError, match="Incorrect authentication credentials"):
        await target.ping("acme")
    secret[0] = PAT.value
    await target.ping("acme")


async def test_the_deprecated_login_asks_for_a_second_factor(hub: DockerHubStandin) -> None:
    hub.accounts.by_name["acme"].two_factor = True
    async with aiohttp.ClientSession() as session:
        body = {"username": "acme", "password": PASSWORD.value}
        async with session.post(f"{hub.url}/v2/users/login", json=body) as reply:
            assert reply.status == 401
            answer = await reply.json()
        assert set(answer) == {"detail", "login_2fa_token"}
        step = {"login_2fa_token": answer["login_2fa_token"], "code": "123456"}
        async with session.post(f"{hub.url}/v2/users/2fa-login", json=step) as reply:
            assert set(await reply.json()) == {"token"}
        async with session.post(f"{hub.url}/v2/users/login", json={"username": "acme", "password": "x"}) as reply:
            assert (reply.status, await reply.json()) == (401, {"detail": "Incorrect authentication credentials"})


async def test_a_second_factor_does_not_matter_to_an_access_token(hub: DockerHubStandin, target: DockerHub) -> None:
    hub.accounts.by_name["acme"].two_factor = True
    await target.ping("acme")


@pytest.mark.parametrize("kind", ["html", "truncated", "garbled", "reset", 500, 404])
async def test_a_bad_answer_to_a_login_is_tried_again_at_once(
    hub: DockerHubStandin, target: DockerHub, kind: str | int
) -> None:
    hub.controls.fault("POST", "^/v2/auth/token$", kind, times=1, after_effect=True)  # type: ignore[arg-type]
    with pytest.raises(ExternalServiceError):
        await target.ping("acme")
    await target.ping("acme")


async def test_who_waited_for_a_failed_login_shares_its_failure(hub: DockerHubStandin, target: DockerHub) -> None:
    hub.controls.fault("POST", "^/v2/auth/token$", 503, times=None)
    results = await asyncio.gather(*(target.ping("acme") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, ExternalServiceError) for result in results)
    assert len(hub.controls.seen("POST", "/auth/token")) == 1


async def test_a_login_over_the_limit_waits_as_long_as_it_is_told(
    hub: DockerHubStandin, target: DockerHub, clock: FakeClock
) -> None:
    hub.controls.fault("POST", "^/v2/auth/token$", 429, retry_after="40")
    for after in (40, 40, 10):
        clock.advance(timedelta(seconds=30 if after == 10 else 0))
        with pytest.raises(ExternalServiceError) as caught:
            await target.ping("acme")
        assert caught.value.after == timedelta(seconds=after)
    assert len(hub.controls.seen("POST", "/auth/token")) == 1
    clock.advance(timedelta(seconds=10))
    await target.ping("acme")


async def test_without_a_secret_nothing_is_sent(hub: DockerHubStandin, target: DockerHub, secret: list[str]) -> None:
    secret[0] = ""
    with pytest.raises(CredentialsError, match="no user name or no token"):
        await target.ping("acme")
    assert hub.controls.calls == []
