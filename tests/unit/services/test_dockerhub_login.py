"""The lifetime of tokens and the gate in front of logins, without any network."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dockerhub_login import LoginGate, lifetime_of, usable_seconds

ME, OTHER = ("acme", "one"), ("acme", "two")


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.x"


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        ({"iat": 1000, "exp": 1300}, 300),
        ({"iat": 1000, "exp": 9000}, 600),
        ({"iat": 1000, "exp": 900}, 0),
        ({"iat": 0, "exp": 1e300}, 600),
        ({"exp": "soon"}, 600),
        ({}, 600),
        ([], 600),
    ],
)
def test_a_token_lives_as_long_as_it_says_but_at_most_ten_minutes(claims: object, seconds: int) -> None:
    assert lifetime_of(jwt(claims), FakeClock()) == timedelta(seconds=seconds)


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.!.c", "a.e30.c", "a.//8.c"])
def test_a_token_that_is_no_jwt_lives_ten_minutes(token: str) -> None:
    assert lifetime_of(token, FakeClock()) == timedelta(minutes=10)


def test_a_token_without_a_start_counts_from_now() -> None:
    clock = FakeClock()
    assert lifetime_of(jwt({"exp": clock.now().timestamp() + 120}), clock) == timedelta(seconds=120)


@pytest.mark.parametrize(("lifetime", "usable"), [(600, 540), (120, 60), (60, 30), (0, 0)])
def test_a_token_is_used_for_a_minute_less_than_it_lives(lifetime: int, usable: int) -> None:
    assert usable_seconds(timedelta(seconds=lifetime)) == usable


async def refuse(gate: LoginGate, identity: tuple[str, str], text: str = "no") -> None:
    with pytest.raises(CredentialsError, match=text):
        async with gate.turn(identity):
            raise CredentialsError(text)


async def test_the_pause_after_a_refusal_doubles_to_ten_minutes() -> None:
    clock = FakeClock()
    gate = LoginGate("dockerhub", clock)
    for minutes in (1, 2, 4, 8, 10, 10):
        await refuse(gate, ME)
        clock.advance(timedelta(minutes=minutes) - timedelta(seconds=1))
        with pytest.raises(CredentialsError, match="not tried again before"):
            async with gate.turn(ME):
                pytest.fail("the gate is closed")
        clock.advance(timedelta(seconds=1))


async def test_a_success_opens_the_gate_for_good() -> None:
    clock = FakeClock()
    gate = LoginGate("dockerhub", clock)
    await refuse(gate, ME)
    async with gate.turn(OTHER):
        pass
    async with gate.turn(ME):
        pass
    await refuse(gate, ME)
    clock.advance(timedelta(minutes=1))
    async with gate.turn(ME):
        pass


async def test_a_refusal_ends_with_the_identity_it_is_about() -> None:
    gate = LoginGate("dockerhub", FakeClock())
    await refuse(gate, ME, "first")
    await refuse(gate, OTHER, "second")
    with pytest.raises(CredentialsError, match="second"):
        async with gate.turn(OTHER):
            pytest.fail("the gate is closed")


async def test_what_a_refused_login_of_others_is_told_with_stays_true_later() -> None:
    """It is kept and told for an hour, and no other secret of the name is tried at once."""
    gate = LoginGate("registry", FakeClock(), any_secret=True)
    await refuse(gate, ME, "acme is refused")
    with pytest.raises(CredentialsError) as again:
        async with gate.turn(ME):
            pytest.fail("the gate is closed")
    assert (again.value.message, again.value.status) == ("acme is refused", 401)


async def test_a_failure_is_shared_by_those_who_waited_and_by_nobody_else() -> None:
    gate = LoginGate("dockerhub", FakeClock())
    begun, go = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        async with gate.turn(ME):
            begun.set()
            await go.wait()
            raise ExternalServiceError("down", service="dockerhub")

    async def wait() -> None:
        async with gate.turn(ME):
            pytest.fail("who waited shares the failure")

    first = asyncio.create_task(fail())
    await begun.wait()
    second = asyncio.create_task(wait())
    await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(result) for result in results] == ["down", "down"]
    assert isinstance(results[1], ExternalServiceError)
    assert results[1].maybe_applied is False
    async with gate.turn(ME):
        pass


async def test_a_cancelled_login_closes_nothing() -> None:
    gate = LoginGate("dockerhub", FakeClock())
    with pytest.raises(asyncio.CancelledError):
        async with gate.turn(ME):
            raise asyncio.CancelledError
    async with gate.turn(ME):
        pass
