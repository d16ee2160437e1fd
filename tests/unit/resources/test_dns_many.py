"""Many DNS records of one zone, with the real client: what they ask GoDaddy for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from devops_reconciler.resources.dns_record import DnsRecord
from tests.unit.services.zone_in_memory import ZONE, ZoneInMemory

from .hand import Hand


async def test_new_addresses_share_the_reads_of_their_zone() -> None:
    """Pages of a zone are the scarcest of what may be asked of GoDaddy: each write must not ask for all of them."""
    it = ZoneInMemory()
    it.records += [{"type": "A", "name": f"there-{n}", "data": "203.0.113.7", "ttl": 600} for n in range(1200)]
    client, many = it.client(), 30

    async def new(number: int) -> bool:
        hand = Hand()
        hand.out.world = replace(hand.out.world, godaddy=client)
        host = f"shop-{number}.{ZONE}"
        return (await hand.bring(DnsRecord(zone=ZONE, host=host, type="A", data="203.0.113.7", ttl=600))).ready

    assert await asyncio.gather(*(new(number) for number in range(many))) == [True] * many
    assert sum(each.startswith("PUT") for each in it.asked) == 2 * many
    assert it.pages <= many
    assert it.most_under_way == 1


@pytest.mark.parametrize(("type", "data"), [("A", "203.0.113.7"), ("CNAME", "ingress.example.net")])
async def test_a_new_address_reads_two_sets_by_name(type: str, data: str) -> None:
    """That of the record, and that of its mark: other types that the zone does not show are not asked for."""
    it, hand = ZoneInMemory(), Hand()
    hand.out.world = replace(hand.out.world, godaddy=it.client())
    wanted = DnsRecord(zone=ZONE, host=f"shop.{ZONE}", type=type, data=data, ttl=600)
    assert (await hand.bring(wanted)).ready
    assert [each.split()[1] for each in it.asked if each.startswith("GET ")] == [type, "TXT"]
    assert sum(each.startswith("PUT") for each in it.asked) == 2
