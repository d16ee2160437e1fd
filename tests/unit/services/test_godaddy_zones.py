"""Reads of a zone that are shared, and what is written in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from devops_reconciler.runtime.fence import only_reading
from devops_reconciler.services.godaddy import GoDaddy, Record

from .zone_in_memory import ZONE, ZoneInMemory

SHOP, BLOG = f"shop.{ZONE}", f"blog.{ZONE}"
SECOND = timedelta(seconds=1)


def a(name: str) -> Record:
    return Record("A", name, "203.0.113.7", 600)


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_a_write_at_one_name_says_nothing_of_others() -> None:
    it = ZoneInMemory()
    client = it.client()
    await client.zone_records(ZONE, [BLOG])
    await client.replace(ZONE, "A", "shop", [a("shop")])
    await client.delete(ZONE, "A", "other")
    await client.zone_records(ZONE, [BLOG])
    assert it.pages == 1


async def test_who_looks_at_what_was_written_sees_it_whatever_the_name_looks_like() -> None:
    for name, looked_at in [("shop", "Shop.Example.COM."), ("SHOP", SHOP), ("@", ZONE), ("*", f"*.{ZONE}")]:
        it = ZoneInMemory()
        client = it.client()
        await client.zone_records(ZONE)
        await client.replace(ZONE, "A", name, [a(name)])
        assert a(name) in await client.zone_records("Example.com", ["x.test", looked_at])
        await client.delete(ZONE, "A", name)
        assert a(name) not in await client.zone_records(ZONE, [looked_at])
        assert it.pages == 3


async def test_who_names_nothing_looks_at_everything() -> None:
    it = ZoneInMemory()
    client = it.client()
    await client.zone_records(ZONE)
    await client.replace(ZONE, "A", "shop", [a("shop")])
    assert a("shop") in await client.zone_records(ZONE)


async def test_a_read_after_the_write_serves_the_writer_too_until_it_is_too_old() -> None:
    it = ZoneInMemory()
    client = it.client()
    await client.replace(ZONE, "A", "shop", [a("shop")])
    it.clock.advance(SECOND)
    await client.zone_records(ZONE, [BLOG])
    assert a("shop") in await client.zone_records(ZONE, [SHOP])
    assert it.pages == 1
    it.clock.advance(2 * SECOND)
    await client.zone_records(ZONE, [SHOP])
    assert it.pages == 2


async def test_a_read_on_its_way_is_for_others_and_the_next_one_waits_for_it() -> None:
    it = ZoneInMemory()
    client = it.client()
    it.hold = asyncio.Event()
    first = asyncio.create_task(client.zone_records(ZONE, [BLOG]))
    await settle()
    others, mine = [], []
    for number in range(5):
        name = f"shop-{number}"
        await client.replace(ZONE, "A", name, [a(name)])
        mine.append(asyncio.create_task(client.zone_records(ZONE, [f"{name}.{ZONE}"])))
        others.append(asyncio.create_task(client.zone_records(ZONE, [f"b-{number}.{ZONE}"])))
    await settle()
    assert it.pages == 1
    it.hold.set()
    assert len(await first) == 1
    assert [a(f"shop-{number}") in found for number, found in enumerate(await asyncio.gather(*mine))] == [True] * 5
    await asyncio.gather(*others)
    assert (it.pages, it.most_under_way) == (2, 1)


async def test_what_was_written_before_the_last_read_is_not_remembered() -> None:
    it = ZoneInMemory()
    client = it.client()
    for number in range(100):
        await client.replace(ZONE, "A", f"shop-{number}", [a(f"shop-{number}")])
    assert remembered(client) == 100
    it.clock.advance(SECOND)
    await client.zone_records(ZONE)
    assert remembered(client) == 0
    await client.delete(ZONE, "A", "shop-1")
    assert remembered(client) == 1


def remembered(client: GoDaddy) -> int:
    return sum(len(names) for names in client._zones._written.values())


async def test_looks_that_only_read_share_for_longer_and_see_what_was_written_too() -> None:
    it = ZoneInMemory()
    client = it.client(share_at_rest=30 * SECOND)
    with only_reading():
        await client.zone_records(ZONE, [BLOG])
        it.clock.advance(29 * SECOND)
        await client.zone_records(ZONE, [BLOG])
        assert it.pages == 1
    await client.zone_records(ZONE, [BLOG])
    assert it.pages == 2, "who may write reads for himself"
    it.clock.advance(29 * SECOND)
    await client.replace(ZONE, "A", "shop", [a("shop")])
    with only_reading():
        await client.zone_records(ZONE, [BLOG])
        assert it.pages == 2
        assert a("shop") in await client.zone_records(ZONE, [SHOP])
        assert it.pages == 3
        it.clock.advance(30 * SECOND)
        await client.zone_records(ZONE, [BLOG])
    assert it.pages == 4
