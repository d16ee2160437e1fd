"""Many DNS records of one zone, with the real client: what they ask GoDaddy for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

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
