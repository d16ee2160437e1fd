"""What the client assumes of GoDaddy's records and zones, one test each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import (
    ConflictError,
    ExternalServiceError,
    ValidationError,
)
from devops_reconciler.services.godaddy import PAGE, Record, relative_name

from .godaddy_target import RESETS, SHOP, ZONE, Target, target

__all__ = ["target"]


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
