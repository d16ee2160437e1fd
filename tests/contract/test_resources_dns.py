"""DNS records with the real clients, at the stand-in of GoDaddy and its nameservers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from devops_reconciler.resources.address import PublishedName
from devops_reconciler.resources.dns_record import DnsRecord
from devops_reconciler.services.dns import Nameservers
from devops_reconciler.services.godaddy import GoDaddy
from devops_reconciler.services.http import AiohttpTransport, Http
from devops_reconciler.services.txt_registry import ownership_of
from standins.godaddy import GoDaddyStandin
from tests.unit.resources.hand import Hand, changed
from tests.unit.world import ME

ZONE = "example.com"
RECORD = DnsRecord(zone=ZONE, host="shop.example.com", type="A", data="203.0.113.7", ttl=600)
ALIAS = DnsRecord(zone=ZONE, host="shop.example.com", type="CNAME", data="lb.example.net", ttl=600)


@dataclass
class Target:
    """The hand of one object, and the service behind it."""

    hand: Hand
    standin: GoDaddyStandin

    def values(self, type: str = "A", name: str = "shop") -> list[str]:
        return self.standin.zone(ZONE).values(type, name)

    def marks(self, type: str = "a") -> list[str]:
        found = [ownership_of(value) for value in self.values("TXT", f"{type}-shop")]
        return [mark.resource for mark in found if mark is not None]

    async def published(self, record: DnsRecord) -> bool:
        name = PublishedName(zone=ZONE, host=record.host, type=record.type, data=record.data)
        return (await self.hand.see(name)).ready


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    hand, transport = Hand(), AiohttpTransport()
    clock = hand.out.clock
    async with GoDaddyStandin([ZONE], 2, credentials=("key", "secret"), per_minute=100_000, clock=clock) as standin:
        http = Http("godaddy", standin.url, transport, clock, timeout=timedelta(seconds=5))
        godaddy = GoDaddy(http, key=lambda: "key", secret=lambda: "secret", clock=clock)
        nameservers = Nameservers(standin.resolvers, clock)
        hand.out.world = replace(hand.out.world, godaddy=godaddy, nameservers=nameservers)
        yield Target(hand, standin)
        await transport.close()


async def test_a_record_lives_from_its_first_value_to_its_proven_end(target: Target) -> None:
    assert (await target.hand.bring(RECORD)).ready
    assert (target.values(), target.marks()) == (["203.0.113.7"], [ME])
    assert await target.published(RECORD)
    target.hand.out.clock.advance(timedelta(minutes=1))
    assert (await target.hand.bring(changed(RECORD, data="203.0.113.8", previous=("203.0.113.7",)))).ready
    assert target.values() == ["203.0.113.8"]
    await target.hand.remove()
    assert target.standin.zone(ZONE).find("A", "shop") == []
    assert target.standin.zone(ZONE).find("TXT", "a-shop") == []


async def test_an_alias_takes_the_place_of_an_address_and_gives_it_back(target: Target) -> None:
    await target.hand.bring(RECORD)
    target.hand.out.clock.advance(timedelta(minutes=1))
    assert (await target.hand.bring(changed(ALIAS, previous=("203.0.113.7",)))).ready
    assert (target.values("CNAME"), target.values()) == (["lb.example.net"], [])
    assert await target.published(ALIAS)
    target.hand.out.clock.advance(timedelta(minutes=1))
    assert (await target.hand.bring(changed(RECORD, previous=("lb.example.net",)))).ready
    assert (target.values("CNAME"), target.values()) == ([], ["203.0.113.7"])
    await target.hand.remove()
    assert target.standin.zone(ZONE).find("TXT", "cname-shop") == []
    assert target.standin.zone(ZONE).find("TXT", "a-shop") == []


async def test_foreign_values_with_fields_that_we_do_not_know_survive_as_they_are(target: Target) -> None:
    zone = target.standin.zone(ZONE)
    await target.hand.bring(RECORD)
    zone.add("A", "shop", "192.0.2.1", 3600, weight=5)
    zone.add("TXT", "a-shop", '"heritage=external-dns,external-dns/owner=other,external-dns/resource=ingress/x/y"')
    before = [r for r in zone.records if r["data"] not in ("203.0.113.7",) and ME not in r["data"]]
    target.hand.out.clock.advance(timedelta(minutes=1))
    await target.hand.bring(changed(RECORD, data="203.0.113.8", previous=("203.0.113.7",)))
    await target.hand.remove()
    after = zone.records
    assert [r for r in after if r in before] == before
    assert len(after) == len(before)


async def test_a_mark_whose_quotes_were_taken_away_is_still_ours(target: Target) -> None:
    target.standin.strips_quotes = True
    assert (await target.hand.bring(RECORD)).ready
    target.hand.out.clock.advance(timedelta(minutes=1))
    mark = len(target.standin.controls.calls)
    assert (await target.hand.bring(RECORD)).ready
    assert {call.method for call in target.standin.controls.calls[mark:]} == {"GET"}
    await target.hand.remove()
    assert target.standin.zone(ZONE).find("TXT", "a-shop") == []


async def test_a_reply_that_was_lost_at_any_write_leaves_one_value_and_one_mark(target: Target) -> None:
    for method in ("PUT", "GET"):
        target.standin.controls.fault(method, "/v1/domains", 500, times=1, after_effect=True)
    assert (await target.hand.bring(RECORD, most=60)).ready
    assert (target.values(), target.marks()) == (["203.0.113.7"], [ME])


async def test_the_end_is_proven_at_the_nameservers(target: Target) -> None:
    await target.hand.bring(RECORD)
    target.hand.out.clock.advance(timedelta(minutes=5))
    for each in target.standin.nameservers:
        each.lag = 200.0
    with pytest.raises(AssertionError):
        await target.hand.remove(most=4)
    for each in target.standin.nameservers:
        each.lag = 0.0
    assert (await target.hand.remove()).ready


@pytest.mark.parametrize(
    ("record", "type", "data"),
    [
        (RECORD, "A", RECORD.data),
        (ALIAS, "CNAME", "LB.example.net"),
        (RECORD, "CNAME", "lb.example.net"),
        (changed(ALIAS, data=ZONE), "CNAME", "@"),
        (changed(RECORD, type="AAAA", data="2001:db8::7"), "AAAA", "2001:DB8:0::7"),
    ],
)
async def test_what_a_wildcard_gives_instead_holds_no_removal(
    target: Target, record: DnsRecord, type: str, data: str
) -> None:
    target.standin.zone(ZONE).add(type, "*", data, 600)
    await target.hand.bring(record)
    assert (await target.hand.remove()).ready
    assert target.standin.zone(ZONE).find(record.type, "shop") == []
    assert target.standin.zone(ZONE).values(type, "*") == [data]


async def is_removed_when_no_nameserver_gives_it(target: Target) -> None:
    target.hand.out.clock.advance(timedelta(minutes=5))
    for each in target.standin.nameservers:
        each.lag = 200.0
    with pytest.raises(AssertionError, match="still gives 203"):
        await target.hand.remove(most=4)
    for each in target.standin.nameservers:
        each.lag = 0.0
    assert (await target.hand.remove()).ready


@pytest.mark.parametrize(
    ("type", "name", "data"),
    [("A", "*", "198.51.100.1"), ("A", "*.preview", RECORD.data), ("AAAA", "*", "2001:db8::7")],
)
async def test_a_value_that_no_wildcard_explains_holds_the_removal(
    target: Target, type: str, name: str, data: str
) -> None:
    target.standin.zone(ZONE).add(type, name, data, 600)
    await target.hand.bring(RECORD)
    await is_removed_when_no_nameserver_gives_it(target)


async def test_a_wildcard_is_gone_itself_when_no_nameserver_gives_it_any_more(target: Target) -> None:
    out = target.hand.out
    settings = out.world.settings.model_copy(update={"dns_txt_wildcard_replacement": "any"})
    out.world = replace(out.world, settings=settings)
    await target.hand.bring(changed(RECORD, host="*.preview.example.com"))
    await is_removed_when_no_nameserver_gives_it(target)
    assert target.standin.zone(ZONE).find("A", "*.preview") == []
