"""What the client assumes of GoDaddy when it refuses, limits or fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
)
from devops_reconciler.services.godaddy import GoDaddy
from standins.controls import Kind

from .godaddy_target import SECRET, SHOP, ZONE, Target, target

__all__ = ["target"]


async def test_an_account_without_the_dns_api_is_told_why(target: Target) -> None:
    target.standin.denied = True
    with pytest.raises(CredentialsError, match="10 domains or a Discount Domain Club plan") as caught:
        await target.client.records(ZONE, "A", "shop")
    assert caught.value.reason == Reason.PERMISSION_DENIED
    assert caught.value.code == "ACCESS_DENIED"


async def test_a_wrong_key_is_a_credentials_error_without_the_key_and_a_rotated_one_is_used_at_once(
    target: Target,
) -> None:
    target.key = "old-key"
    with pytest.raises(CredentialsError) as caught:
        await target.client.records(ZONE, "A", "shop")
    assert caught.value.reason == Reason.CREDENTIALS_INVALID
    assert "old-key" not in str(caught.value)
    assert SECRET not in str(caught.value)
    target.key = "key"
    assert await target.client.records(ZONE, "A", "shop") == ()


async def test_too_many_requests_are_limited_and_only_that_endpoint_is_slowed(target: Target) -> None:
    target.standin.per_minute = 1
    client = target.with_budget(60)
    await client.records(ZONE, "A", "shop")
    with pytest.raises(ExternalServiceError) as caught:
        await client.records(ZONE, "A", "shop")
    assert caught.value.reason == Reason.RATE_LIMITED
    assert caught.value.after == timedelta(seconds=60)
    assert caught.value.maybe_applied is False
    assert target.standin.over_budget == [("GET", "/v1/domains/{domain}/records/{type}/{name}")]
    await client.zone_records(ZONE)
    await _held_back(target, client, timedelta(seconds=60))


async def test_an_exhausted_quota_without_retry_after_is_limited_and_slowed_all_the_same(target: Target) -> None:
    target.standin.quota_exceeded = True
    client = target.with_budget(60)
    with pytest.raises(ExternalServiceError, match="quota") as caught:
        await client.records(ZONE, "A", "shop")
    assert caught.value.reason == Reason.RATE_LIMITED
    assert caught.value.after is None
    target.standin.quota_exceeded = False
    await _held_back(target, client, timedelta(seconds=30))


async def test_the_code_counts_for_the_quota_whatever_the_status(target: Target) -> None:
    body = '{"code": "QUOTA_EXCEEDED", "message": "no more", "retryAfterSec": 90}'
    target.standin.controls.fault("GET", "/records/", 403, body=body)
    with pytest.raises(ExternalServiceError) as caught:
        await target.client.records(ZONE, "A", "shop")
    assert caught.value.reason == Reason.RATE_LIMITED
    assert caught.value.after == timedelta(seconds=90)


async def _held_back(target: Target, client: GoDaddy, pause: timedelta) -> None:
    """The next request to the endpoint goes out when `pause` is over, not before."""
    before = len(target.sent())
    target.clock.advance(pause - timedelta(seconds=1))
    with pytest.raises(ExternalServiceError, match="not sent") as caught:
        await client.records(ZONE, "A", "shop")
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, timedelta(seconds=1))
    assert len(target.sent()) == before
    target.clock.advance(timedelta(seconds=1))
    await client.records(ZONE, "A", "shop")
    assert len(target.sent()) == before + 1


async def test_a_client_with_the_budget_stays_under_the_limit_of_every_endpoint(target: Target) -> None:
    target.standin.per_minute = 60
    client = target.with_budget(60)
    reads = [client.records(ZONE, "A", f"p{number}") for number in range(150)]
    writes = [client.replace(ZONE, "A", f"p{number}", [replace(SHOP, name=f"p{number}")]) for number in range(100)]
    together = asyncio.gather(*reads, *writes)
    async with asyncio.timeout(30):
        while not together.done():
            before = len(target.standin.controls.calls)
            target.clock.advance(timedelta(seconds=0.5))
            await asyncio.sleep(0.002)
            while len(target.standin.controls.calls) != before:
                before = len(target.standin.controls.calls)
                await asyncio.sleep(0.002)
    assert target.standin.over_budget == []
    assert len(target.standin.controls.calls) == 250


async def test_a_zone_that_is_being_processed_is_tried_again_later(target: Target) -> None:
    target.standin.busy_seconds = 5.0
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    with pytest.raises(ExternalServiceError, match="being processed") as caught:
        await target.client.replace(ZONE, "A", "blog", [replace(SHOP, name="blog")])
    assert caught.value.maybe_applied is False
    with pytest.raises(ExternalServiceError, match="being processed"):
        await target.client.delete(ZONE, "A", "shop")
    target.clock.advance(timedelta(seconds=5))
    await target.client.replace(ZONE, "A", "blog", [replace(SHOP, name="blog")])
    assert target.zone.values("A", "blog") == ["203.0.113.7"]


@pytest.mark.parametrize("kind", ["html", "truncated", "garbled", "timeout", "reset", 500, 502, 503, 504])
@pytest.mark.parametrize("read", ["records", "zone_records", "domain"])
async def test_an_odd_answer_to_a_read_is_an_error_and_never_an_absence(
    target: Target, read: str, kind: Kind | int
) -> None:
    target.zone.add("A", "shop", "203.0.113.7")
    target.fault("GET", kind, after_effect=kind == "truncated")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "records": lambda: target.client.records(ZONE, "A", "shop"),
        "zone_records": lambda: target.client.zone_records(ZONE),
        "domain": lambda: target.client.domain(ZONE),
    }
    with pytest.raises(ExternalServiceError):
        await calls[read]()
    assert await calls[read]()


@pytest.mark.parametrize("kind", ["html", "garbled", "timeout", "reset", 500, 503, 504])
@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_write_whose_answer_is_lost_may_have_been_applied(
    target: Target, kind: Kind | int, after_effect: bool
) -> None:
    target.fault("PUT", kind, after_effect=after_effect)
    with pytest.raises(ExternalServiceError) as caught:
        await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert caught.value.maybe_applied is True
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert target.zone.values("A", "shop") == ["203.0.113.7"]


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "null",
        "[1]",
        '[{"type": "A", "name": "shop", "ttl": 600}]',
        '[{"type": "A", "name": "shop", "data": "x"}]',
    ],
)
async def test_records_of_a_wrong_shape_are_an_error(target: Target, body: str) -> None:
    target.standin.controls.fault("GET", "/records/", 200, body=body)
    with pytest.raises(ExternalServiceError, match="not usable"):
        await target.client.records(ZONE, "A", "shop")


async def test_an_answer_with_records_of_another_name_is_never_taken_for_the_set(target: Target) -> None:
    body = '[{"type": "A", "name": "blog", "data": "198.51.100.1", "ttl": 600}]'
    target.standin.controls.fault("GET", "/records/", 200, body=body)
    with pytest.raises(ExternalServiceError, match="A blog"):
        await target.client.records(ZONE, "A", "shop")


async def test_no_error_shows_the_key_or_the_secret(target: Target) -> None:
    target.standin.credentials = ("other", "pair")
    attempts: list[Awaitable[object]] = [
        target.client.domain(ZONE),
        target.client.zone_records(ZONE),
        target.client.replace(ZONE, "A", "shop", [SHOP]),
    ]
    for attempt in attempts:
        with pytest.raises(ReconcilerError) as caught:
            await attempt
        assert "sso-key" not in str(caught.value)
        assert SECRET not in str(caught.value)
