"""What the client assumes of GoDaddy, one test each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    ValidationError,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.godaddy import PAGE, GoDaddy, Record, relative_name
from devops_reconciler.services.http import AiohttpTransport, Http
from standins.controls import Kind
from standins.godaddy import GoDaddyStandin
from standins.godaddy_zone import Zone

ZONE = "example.com"
RESETS = 2
"""The connection pool sends an idempotent request once more by itself when its connection is cut."""
SECRET = "s3cr3t-v4lue"
SHOP = Record("A", "shop", "203.0.113.7", 600)


@dataclass
class Target:
    """The client, the zone it may write to, and the service behind it."""

    client: GoDaddy
    standin: GoDaddyStandin
    clock: FakeClock
    http: Http
    transport: AiohttpTransport
    key: str = "key"

    @property
    def zone(self) -> Zone:
        return self.standin.zone(ZONE)

    def with_budget(self, per_minute: int) -> GoDaddy:
        budget = RequestBudget(self.clock, per_minute)
        http = Http("godaddy", self.standin.url, self.transport, self.clock, budget=budget)
        return GoDaddy(http, key=lambda: self.key, secret=lambda: SECRET, clock=self.clock)

    def fault(self, method: str, kind: Kind | int, *, after_effect: bool = False) -> None:
        times = RESETS if kind == "reset" else 1
        self.standin.controls.fault(method, "/v1/domains", kind, times=times, after_effect=after_effect)

    def sent(self) -> list[tuple[str, str]]:
        return [(call.method, call.path) for call in self.standin.controls.calls]


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    clock, transport = FakeClock(), AiohttpTransport()
    async with GoDaddyStandin([ZONE], 1, credentials=("key", SECRET), per_minute=100_000, clock=clock) as standin:
        http = Http("godaddy", standin.url, transport, clock, timeout=timedelta(seconds=2))
        client = GoDaddy(http, key=lambda: holder.key, secret=lambda: SECRET, clock=clock)
        holder = Target(client, standin, clock, http, transport)
        yield holder
        await transport.close()


async def test_a_written_set_can_be_read_though_the_answer_to_the_write_is_empty(target: Target) -> None:
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert await target.client.records(ZONE, "A", "shop") == (SHOP,)
    assert target.zone.values("A", "shop") == ["203.0.113.7"]


async def test_writing_the_same_set_twice_makes_no_duplicate(target: Target) -> None:
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert target.zone.values("A", "shop") == ["203.0.113.7"]


async def test_writing_and_deleting_touch_nothing_but_their_own_set(target: Target) -> None:
    target.zone.add("A", "blog", "198.51.100.1")
    target.zone.add("TXT", "shop", "of somebody else")
    target.zone.add("MX", "@", "mail.example.net", 3600, priority=10)
    target.zone.add("CAA", "@", '0 issue "letsencrypt.org"')
    before = target.zone.records
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert [each for each in target.zone.records if each not in before] == target.zone.find("A", "shop")
    await target.client.delete(ZONE, "A", "shop")
    assert target.zone.records == before


async def test_only_put_and_delete_on_type_and_name_are_ever_sent(target: Target) -> None:
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    await target.client.zone_records(ZONE)
    await target.client.delete(ZONE, "A", "shop")
    writes = [(call.method, call.template) for call in target.standin.controls.writes]
    template = "/v1/domains/{domain}/records/{type}/{name}"
    assert writes == [("PUT", template), ("DELETE", template)]


async def test_the_apex_is_an_at_sign(target: Target) -> None:
    name = relative_name("example.com", ZONE)
    await target.client.replace(ZONE, "A", name, [replace(SHOP, name=name)])
    assert target.zone.values("A", "@") == ["203.0.113.7"]
    assert target.sent() == [("PUT", "/v1/domains/example.com/records/A/%40")]


async def test_an_empty_name_is_refused_before_anything_is_sent(target: Target) -> None:
    with pytest.raises(ValidationError, match="'@'"):
        await target.client.replace(ZONE, "A", "", [replace(SHOP, name="")])
    assert target.sent() == []


async def test_a_wildcard_is_a_name_like_another(target: Target) -> None:
    await target.client.replace(ZONE, "A", "*.preview", [replace(SHOP, name="*.preview")])
    assert target.zone.values("A", "*.preview") == ["203.0.113.7"]
    assert (await target.client.records(ZONE, "A", "*.preview"))[0].name == "*.preview"


@pytest.mark.parametrize("form", ["[]", "404"])
async def test_a_set_that_is_not_there_is_empty_in_both_forms_of_the_answer(target: Target, form: str) -> None:
    target.standin.none_is_404 = form == "404"
    assert await target.client.records(ZONE, "A", "nothing") == ()


@pytest.mark.parametrize("form", ["204", "404"])
async def test_deleting_what_is_not_there_is_fine_in_both_forms_of_the_answer(target: Target, form: str) -> None:
    target.standin.none_is_404 = form == "404"
    await target.client.delete(ZONE, "A", "nothing")


async def test_a_404_that_is_not_of_the_service_is_no_absence(target: Target) -> None:
    target.standin.controls.fault("GET", "/records/", 404, body="<html>not here</html>")
    target.standin.controls.fault("DELETE", "/records/", 404, body="<html>not here</html>")
    target.standin.controls.fault("GET", "/v1/domains/example.com$", 404, body="")
    with pytest.raises(ExternalServiceError, match="GODADDY_ENDPOINT"):
        await target.client.records(ZONE, "A", "shop")
    with pytest.raises(ExternalServiceError, match="GODADDY_ENDPOINT"):
        await target.client.delete(ZONE, "A", "shop")
    with pytest.raises(ExternalServiceError, match="GODADDY_ENDPOINT"):
        await target.client.domain(ZONE)


async def test_a_zone_without_any_record_is_no_answer(target: Target) -> None:
    target.standin.controls.fault("GET", "/v1/domains/example.com/records", 200, body="[]")
    with pytest.raises(ExternalServiceError, match="has no records at all"):
        await target.client.zone_records(ZONE)
    assert await target.client.zone_records(ZONE)


@pytest.mark.parametrize("case", ["not in the account", "nameservers elsewhere"])
async def test_an_unknown_domain_is_the_fault_of_the_spec_and_never_an_absence(target: Target, case: str) -> None:
    zone = "other.com"
    if case == "nameservers elsewhere":
        target.standin.add_zone(zone)
        target.standin.foreign_nameservers.add(zone)
    attempts: list[Awaitable[object]] = [
        target.client.records(zone, "A", "shop"),
        target.client.zone_records(zone),
        target.client.replace(zone, "A", "shop", [SHOP]),
        target.client.delete(zone, "A", "shop"),
    ]
    for attempt in attempts:
        with pytest.raises(ValidationError, match=r"zone other\.com is not in this account, or its nameservers"):
            await attempt


async def test_a_domain_tells_its_nameservers_and_an_unknown_one_is_none(target: Target) -> None:
    found = await target.client.domain(ZONE)
    assert found is not None
    assert found["nameServers"] == ["ns01.domaincontrol.test"]
    assert await target.client.domain("other.com") is None


async def test_a_ttl_below_600_is_refused_with_the_field(target: Target) -> None:
    with pytest.raises(ValidationError, match=r"records\[0\]\.ttl must have a minimum value of 600") as caught:
        await target.client.replace(ZONE, "A", "shop", [replace(SHOP, ttl=300)])
    assert caught.value.code == "INVALID_BODY"
    assert target.zone.find("A", "shop") == []


async def test_a_caa_record_is_refused_but_does_not_hinder_reading_the_zone(target: Target) -> None:
    target.zone.add("CAA", "@", '0 issue "letsencrypt.org"')
    assert "CAA" in {each.type for each in await target.client.zone_records(ZONE)}
    with pytest.raises(ValidationError):
        await target.client.replace(ZONE, "CAA", "@", [Record("CAA", "@", '0 issue "x"', 600)])


async def test_a_cname_beside_another_type_is_a_conflict(target: Target) -> None:
    target.zone.add("A", "shop", "198.51.100.1")
    with pytest.raises(ConflictError, match="CNAME") as caught:
        await target.client.replace(ZONE, "CNAME", "shop", [Record("CNAME", "shop", "lb.example.net", 600)])
    assert caught.value.code == "DUPLICATE_RECORD"
    assert target.zone.find("CNAME", "shop") == []


@pytest.mark.parametrize("type", ["NS", "SOA"])
async def test_records_that_hold_the_zone_together_are_never_written(target: Target, type: str) -> None:
    with pytest.raises(ValidationError, match="never written"):
        await target.client.delete(ZONE, type, "@")
    with pytest.raises(ValidationError, match="never written"):
        await target.client.replace(ZONE, type, "@", [Record(type, "@", "ns.evil.test", 600)])
    assert target.sent() == []


async def test_an_empty_set_and_a_stranger_in_the_set_are_refused_before_anything_is_sent(target: Target) -> None:
    with pytest.raises(ValidationError, match="delete the set"):
        await target.client.replace(ZONE, "A", "shop", [])
    with pytest.raises(ValidationError, match="does not belong"):
        await target.client.replace(ZONE, "A", "shop", [replace(SHOP, name="blog")])
    assert target.sent() == []


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
    task = asyncio.create_task(client.records(ZONE, "A", "shop"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert target.clock.sleepers == 1
    target.clock.advance(pause - timedelta(seconds=0.5))
    await asyncio.sleep(0)
    assert len(target.sent()) == before
    target.clock.advance(timedelta(seconds=0.5))
    await task
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


async def test_a_read_may_be_stale_after_a_write(target: Target) -> None:
    target.standin.lag = 10.0
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert await target.client.records(ZONE, "A", "shop") == ()
    target.clock.advance(timedelta(seconds=10))
    assert await target.client.records(ZONE, "A", "shop") == (SHOP,)


async def test_fields_of_others_are_written_back_byte_for_byte(target: Target) -> None:
    target.zone.add("MX", "@", "mail.example.net", 3600, priority=10)
    target.zone.add(
        "SRV", "@", "sip.example.net", 7200, priority=1, weight=2, port=5060, service="_sip", protocol="_tcp"
    )
    target.zone.add("TXT", "@", '"v=spf1 -all"  \\ "ü"', 3600, comment={"by": ["somebody", None, 1.5]})
    for type in ("MX", "SRV", "TXT"):
        before = target.zone.find(type, "@")
        found = await target.client.records(ZONE, type, "@")
        await target.client.replace(ZONE, type, "@", found)
        assert target.zone.find(type, "@") == before


async def test_foreign_values_survive_a_thousand_merges(target: Target) -> None:
    dice = random.Random(20260101)
    foreign = [
        ("A", "shop", "198.51.100.9", 3600),
        ("A", "blog", "198.51.100.10", 1800),
        ("TXT", "shop", '"ü; x"', 900),
    ]
    for each in foreign:
        target.zone.add(*each)
    before = [target.zone.find(type, name)[0] for type, name, _, _ in foreign]
    for _ in range(500):
        type, name = dice.choice([("A", "shop"), ("A", "blog"), ("TXT", "shop"), ("A", "new")])
        ours = Record(type, name, f"10.0.0.{dice.randrange(250)}", 600)
        there = await target.client.records(ZONE, type, name)
        kept = [each for each in there if not each.data.startswith("10.0.0.")]
        wanted = [*kept, ours] if dice.random() < 0.7 else kept
        if wanted:
            await target.client.replace(ZONE, type, name, wanted)
        else:
            await target.client.delete(ZONE, type, name)
    after = [each for each in target.zone.records if not each["data"].startswith("10.0.0.") and each["type"] != "NS"]
    assert sorted(after, key=str) == sorted(before, key=str)


@pytest.mark.parametrize("offset", ["records to skip", "number of a page"])
@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 203])
async def test_a_long_zone_is_read_to_its_end_whatever_offset_means(target: Target, count: int, offset: str) -> None:
    target.standin.offset_counts_pages = offset == "number of a page"
    many = [{"type": "A", "name": f"h{number}", "data": "192.0.2.1", "ttl": 600} for number in range(count - 1)]
    target.zone.write([*target.zone.records, *many])
    found = await target.client.zone_records(ZONE)
    assert len(found) == count
    assert len(set(found)) == count


async def test_many_who_read_the_zone_at_once_are_one_request(target: Target) -> None:
    target.zone.add("A", "shop", "203.0.113.7")
    results = await asyncio.gather(*(target.client.zone_records(ZONE) for _ in range(50)))
    assert len(target.sent()) == 1
    assert all(each is results[0] for each in results)


async def test_a_read_of_the_zone_is_shared_for_two_seconds_and_ends_with_a_write(target: Target) -> None:
    await target.client.zone_records(ZONE)
    target.clock.advance(timedelta(seconds=1.9))
    await target.client.zone_records(ZONE)
    assert len(target.sent()) == 1
    target.clock.advance(timedelta(seconds=0.1))
    await target.client.zone_records(ZONE)
    assert len(target.sent()) == 2
    await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert SHOP in await target.client.zone_records(ZONE)
    await target.client.delete(ZONE, "A", "shop")
    assert SHOP not in await target.client.zone_records(ZONE)


async def test_a_failed_write_ends_the_sharing_too(target: Target) -> None:
    await target.client.zone_records(ZONE)
    target.standin.controls.fault("PUT", "/records/", "reset", after_effect=True, times=RESETS)
    with pytest.raises(ExternalServiceError):
        await target.client.replace(ZONE, "A", "shop", [SHOP])
    assert SHOP in await target.client.zone_records(ZONE)


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
