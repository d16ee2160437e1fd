"""What the Argo CD client assumes of logins, tokens and rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.argocd import ArgoCD, SessionAuth, TokenAuth
from testbed.argocd import RealArgoCD

from .argocd_target import Target, target

LOGIN = ("POST", "/api/v1/session")
FORGED = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJhcmdvY2QiLCJzdWIiOiJhZG1pbjphcGlLZXkiLCJuYmYiOjEsImlhdCI6MSwianRpIjoieCJ9"
    ".c2lnbmF0dXJl"
)
"""A token of admin, well formed, signed by nobody."""


@pytest.fixture
async def argocd(real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    async with target(real=real_argocd) as found:
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Password:
    """A login whose password may change."""

    def __init__(self, argocd: Target, clock: FakeClock, value: str | None = None, username: str = "") -> None:
        self.value = argocd.password if value is None else value
        self.auth = SessionAuth(lambda: username or argocd.username, lambda: self.value, clock)
        self.client: ArgoCD = argocd.client(auth=self.auth)


def logins(argocd: Target) -> int:
    return argocd.standin.controls.counts[LOGIN]


async def test_many_calls_at_once_make_one_login(argocd: Target, clock: FakeClock) -> None:
    client = Password(argocd, clock).client
    await asyncio.gather(*(client.applications() for _ in range(20)))
    assert logins(argocd) == 1


async def test_a_wrong_password_is_not_sent_again_for_a_while(argocd: Target, clock: FakeClock) -> None:
    login = Password(argocd, clock, "wrong")
    for _ in range(10):
        with pytest.raises(CredentialsError, match="Invalid username or password") as refused:
            await login.client.applications()
        assert (refused.value.status, refused.value.code) == (401, 16)
        assert "wrong" not in str(refused.value)
    assert logins(argocd) == 1
    clock.advance(timedelta(minutes=2))
    with pytest.raises(CredentialsError):
        await login.client.applications()
    assert logins(argocd) == 2


async def test_a_corrected_password_is_tried_at_once(argocd: Target, clock: FakeClock) -> None:
    login = Password(argocd, clock, "wrong")
    with pytest.raises(CredentialsError):
        await login.client.applications()
    login.value = argocd.password
    assert await login.client.applications() == []


async def test_after_five_refused_logins_the_right_password_is_refused_with_the_same_words(
    argocd: Target, clock: FakeClock
) -> None:
    assert await Password(argocd, clock, username=argocd.locked_out).client.applications() == []
    for _ in range(5):
        with pytest.raises(CredentialsError):
            await Password(argocd, clock, "wrong", argocd.locked_out).client.applications()
    with pytest.raises(CredentialsError, match="Invalid username or password"):
        await Password(argocd, clock, username=argocd.locked_out).client.applications()


async def test_a_refused_token_is_dropped_and_one_login_follows(argocd: Target, clock: FakeClock) -> None:
    client = Password(argocd, clock).client
    await client.applications()
    argocd.standin.accounts.revoke_all()
    await asyncio.gather(*(client.applications() for _ in range(10)))
    assert logins(argocd) == 2


async def test_a_login_that_helps_nothing_is_not_repeated_within_the_call(argocd: Target, clock: FakeClock) -> None:
    client = Password(argocd, clock).client
    argocd.standin.controls.fault("GET", "/applications", 401, times=None)
    with pytest.raises(CredentialsError):
        await client.applications()
    assert logins(argocd) == 2


async def test_a_token_is_replaced_before_its_end(argocd: Target, clock: FakeClock) -> None:
    argocd.standin.accounts.login_seconds = timedelta(hours=1)
    client = Password(argocd, clock).client
    await client.applications()
    clock.advance(timedelta(minutes=54))
    await client.applications()
    assert logins(argocd) == 1
    clock.advance(timedelta(minutes=2))
    await client.applications()
    assert logins(argocd) == 2


async def test_an_expired_token_is_refused_with_401(argocd: Target) -> None:
    expired = argocd.standin.api_token("admin", timedelta(seconds=-1))
    with pytest.raises(CredentialsError, match=r"invalid session: .*token is expired") as refused:
        await argocd.client(expired).applications()
    assert (refused.value.status, refused.value.code) == (401, 16)


async def test_a_login_renewed_by_cookie_is_not_followed(argocd: Target, clock: FakeClock) -> None:
    argocd.standin.accounts.login_seconds = timedelta(minutes=4)
    client = Password(argocd, clock).client
    for _ in range(3):
        await client.applications()
    sent = {call.headers.get("authorization", "") for call in argocd.standin.controls.seen("GET", "/applications")}
    assert len(sent) == 1
    headers = {"Authorization": sent.pop()}
    answer = await argocd.http().request("raw", "GET", "/api/v1/applications", headers=headers)
    assert "argocd.token=" in answer.headers["set-cookie"]
    assert not any("cookie" in call.headers for call in argocd.standin.controls.calls)


async def test_a_token_of_a_replica_whose_clock_is_ahead_is_tried_again_later(argocd: Target) -> None:
    argocd.standin.accounts.skew = timedelta(minutes=1)
    ahead = argocd.standin.api_token("admin")
    with pytest.raises(ExternalServiceError, match="token is not valid yet") as later:
        await argocd.client(ahead).applications()
    assert not later.value.maybe_applied


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "no session information"),
        ("garbage", "no session information"),
        ("a.b.c", "invalid session: token is malformed: could not base64 decode header"),
        (FORGED, "invalid session: token signature is invalid"),
    ],
)
async def test_a_bad_token_is_refused_in_argo_cds_words(argocd: Target, token: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=words):
        await argocd.client(token).applications()


async def test_a_rotated_token_is_used_at_once_also_in_the_middle_of_a_call(argocd: Target) -> None:
    values = iter(["stale", "stale-too"])
    client = argocd.client(auth=TokenAuth(lambda: next(values, argocd.token)))
    assert await client.applications() == []


async def test_the_version_needs_no_account_and_the_user_info_tells_strangers_nothing(argocd: Target) -> None:
    stranger = argocd.client("garbage")
    assert (await stranger.version()).startswith("v3.")
    with pytest.raises(CredentialsError, match="the token is not accepted"):
        await stranger.whoami()
    assert (await argocd.client().whoami())["username"] == argocd.username


async def test_the_user_info_survives_a_revoked_login(argocd: Target, clock: FakeClock) -> None:
    client = Password(argocd, clock).client
    await client.whoami()
    argocd.standin.accounts.revoke_all()
    assert (await client.whoami())["loggedIn"] is True


async def test_an_account_can_ask_what_it_may_do(argocd: Target) -> None:
    limited = argocd.client(argocd.limited_token)
    assert await limited.can_i("applications", "create", "team/*") is True
    assert await limited.can_i("applications", "create", "shop/*") is False
    assert await limited.can_i("projects", "create", "*") is False


async def test_a_page_with_status_200_is_no_version_and_no_login(argocd: Target, clock: FakeClock) -> None:
    wrong = replace(argocd, url=argocd.url + "/ui")
    with pytest.raises(ExternalServiceError, match="not JSON"):
        await wrong.client().version()
    argocd.standin.controls.fault("POST", "/session", "html")
    with pytest.raises(ExternalServiceError, match="not JSON"):
        await Password(argocd, clock).client.applications()
