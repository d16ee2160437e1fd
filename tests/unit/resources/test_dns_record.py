"""DNS records: merged, marked, healed after a crash, and removed, with foreign values kept byte for byte."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.resources.dns_record import DnsRecord, applied_before
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.txt_registry import Ownership, ownership_of
from tests.unit.fakes.line import Crash
from tests.unit.world import ME, outside

from .hand import Hand, changed, policy

ZONE = "example.com"
RECORD = DnsRecord(zone=ZONE, host="shop.example.com", type="A", data="203.0.113.7", ttl=600)
ALIAS = DnsRecord(zone=ZONE, host="shop.example.com", type="CNAME", data="lb.example.net", ttl=600)
MARKS = "a-shop"


def a(data: str, ttl: int = 600, name: str = "shop") -> Record:
    return Record("A", name, data, ttl)


def txt(data: str, name: str = MARKS) -> Record:
    return Record("TXT", name, data, 3600)


def values(hand: Hand, type: str = "A", name: str = "shop") -> list[str]:
    return [r.data for r in hand.out.godaddy.set(ZONE, type, name)]


def owners(hand: Hand, name: str = MARKS) -> list[tuple[str, str]]:
    found = [ownership_of(data) for data in values(hand, "TXT", name)]
    return [(mark.owner, mark.resource) for mark in found if mark is not None]


def place(hand: Hand, *records: Record) -> None:
    hand.out.godaddy.zones[ZONE] += records


# A CNAME to the zone itself

TO_APEX = changed(ALIAS, host="www.example.com", data=ZONE)


def shown_as_apex(hand: Hand) -> None:
    """As GoDaddy may give it: `@`."""
    records = hand.out.godaddy.zones[ZONE]
    records[:] = [replace(r, data="@") if r.type == "CNAME" else r for r in records]


async def test_a_cname_to_the_zone_that_shows_as_apex_stays_ours_and_is_removed() -> None:
    hand = Hand()
    assert (await hand.bring(TO_APEX)).ready
    shown_as_apex(hand)
    writes = hand.out.line.count("godaddy.replace")
    hand.out.clock.advance(timedelta(minutes=10))
    assert (await hand.bring(TO_APEX)).ready
    assert (values(hand, "CNAME", "www"), hand.out.line.count("godaddy.replace")) == (["@"], writes)
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


async def test_a_cname_to_the_zone_that_shows_as_apex_is_replaced_by_what_is_wanted_now() -> None:
    hand = Hand()
    await hand.bring(TO_APEX)
    shown_as_apex(hand)
    assert (await hand.bring(changed(TO_APEX, data="lb.example.net", previous=(ZONE,)))).ready
    assert values(hand, "CNAME", "www") == ["lb.example.net"]


async def test_a_cname_that_shows_as_apex_is_taken_over_where_that_is_what_is_wanted() -> None:
    hand = Hand()
    place(hand, Record("CNAME", "www", "@", TO_APEX.ttl))
    assert (await hand.bring(TO_APEX, policy(Adoption.IF_UNOWNED))).ready
    assert (values(hand, "CNAME", "www"), owners(hand, "cname-www")) == (["@"], [("owner-1", ME)])


async def test_apex_as_the_data_of_another_name_is_another_value() -> None:
    hand = Hand()
    place(hand, Record("CNAME", "shop", "@", 600))
    assert hand.reason(await hand.bring(ALIAS)) == "OwnershipConflict"
    assert values(hand, "CNAME") == ["@"]


# Making


async def test_a_record_is_written_first_and_marked_then() -> None:
    hand = Hand()
    assert (await hand.bring(RECORD)).ready
    assert values(hand) == ["203.0.113.7"]
    assert owners(hand) == [("owner-1", ME)]
    writes = [name for name in hand.out.line.calls if name == "godaddy.replace"]
    assert len(writes) == 2


async def test_an_unmarked_record_at_our_name_is_a_conflict_and_stays() -> None:
    for there in (a("192.0.2.1"), Record("AAAA", "shop", "2001:db8::1", 600), Record("CNAME", "SHOP", "x.test", 600)):
        hand = Hand()
        place(hand, there)
        outcome = await hand.bring(RECORD)
        assert hand.reason(outcome) == "OwnershipConflict"
        await hand.remove()
        assert hand.out.godaddy.zones[ZONE] == [there]


async def test_other_types_at_the_name_never_conflict() -> None:
    hand = Hand()
    place(hand, Record("MX", "shop", "mail.test", 600, priority=10), Record("TXT", "shop", "v=spf1 -all", 600))
    assert (await hand.bring(RECORD)).ready
    assert len(hand.out.godaddy.zones[ZONE]) == 4


async def test_an_unmarked_record_is_taken_over_where_that_is_asked_for() -> None:
    hand = Hand()
    place(hand, a("192.0.2.1", 3600))
    assert (await hand.bring(RECORD, policy(Adoption.IF_UNOWNED))).ready
    assert values(hand) == ["192.0.2.1", "203.0.113.7"]
    assert owners(hand) == [("owner-1", ME)]


async def test_a_host_outside_its_zone_is_refused_with_what_to_do() -> None:
    hand = Hand()
    outcome = await hand.bring(DnsRecord(zone=ZONE, host="*.example.com", type="A", data="203.0.113.7", ttl=600))
    assert hand.reason(outcome) == "InvalidSpec"
    assert "DNS_TXT_WILDCARD_REPLACEMENT" in hand.message(outcome)


# Repair


async def test_a_lost_value_a_changed_ttl_and_a_lost_mark_are_repaired() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    hand.out.godaddy.zones[ZONE].remove(a("203.0.113.7"))
    assert (await hand.see(RECORD)).drift == ("data",)
    assert (await hand.bring(RECORD)).ready
    hand.out.clock.advance(timedelta(minutes=1))
    hand.out.godaddy.zones[ZONE][:] = [r for r in hand.out.godaddy.zones[ZONE] if r.type != "A"] + [
        a("203.0.113.7", 7200)
    ]
    assert (await hand.see(RECORD)).drift == ("ttl",)
    assert (await hand.bring(RECORD)).ready
    assert hand.out.godaddy.set(ZONE, "A", "shop") == [a("203.0.113.7")]


async def test_a_foreign_value_beside_ours_is_no_drift_and_survives_every_change() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    foreign = Record("A", "Shop", "192.0.2.9", 7200, extra={"note": "theirs"})
    place(hand, foreign)
    assert (await hand.see(RECORD)).drift == ()
    moved = changed(RECORD, data="203.0.113.8", previous=("203.0.113.7",))
    assert (await hand.bring(moved)).ready
    assert foreign in hand.out.godaddy.set(ZONE, "A", "shop")
    assert sorted(values(hand)) == ["192.0.2.9", "203.0.113.8"]
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == [foreign]


async def test_a_new_target_of_another_type_takes_the_place_of_the_old_one() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(changed(ALIAS, previous=("203.0.113.7",)))).ready
    assert values(hand, "CNAME") == ["lb.example.net"]
    assert values(hand) == []
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


async def test_an_address_takes_the_place_of_an_alias() -> None:
    hand = Hand()
    await hand.bring(ALIAS)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(changed(RECORD, previous=("lb.example.net",)))).ready
    assert values(hand, "CNAME") == []
    assert values(hand) == ["203.0.113.7"]
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


async def test_an_alias_never_displaces_a_foreign_address_beside_ours() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    foreign = a("192.0.2.9")
    place(hand, foreign)
    hand.out.clock.advance(timedelta(minutes=1))
    outcome = await hand.bring(changed(ALIAS, previous=("203.0.113.7",)))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert foreign in hand.out.godaddy.zones[ZONE]


# Crashes


async def test_a_crash_between_record_and_mark_heals_itself() -> None:
    hand = Hand()
    hand.out.line.fail("godaddy.replace", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await hand.once(RECORD)
    assert values(hand) == ["203.0.113.7"]
    assert owners(hand) == []
    assert (await hand.bring(RECORD)).ready
    assert owners(hand) == [("owner-1", ME)]


async def test_a_record_that_crashed_before_its_mark_can_be_removed() -> None:
    hand = Hand()
    hand.out.line.fail("godaddy.replace", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await hand.once(RECORD)
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


async def test_a_value_that_was_there_before_our_intent_is_not_ours_after_a_crash() -> None:
    hand = Hand()
    place(hand, a("203.0.113.7"))
    assert hand.reason(await hand.bring(RECORD)) == "OwnershipConflict"
    assert owners(hand) == []


async def test_a_removal_after_a_crash_in_the_middle_of_a_move_takes_both_values_along() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    hand.out.clock.advance(timedelta(minutes=1))
    hand.out.line.fail("godaddy.replace", Crash())
    with pytest.raises(Crash):
        await hand.once(changed(RECORD, data="203.0.113.8", previous=("203.0.113.7",)))
    assert values(hand) == ["203.0.113.7"]
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


MOVED = changed(RECORD, data="203.0.113.8", previous=("203.0.113.7",))


async def crashed_before_the_mark() -> Hand:
    """The value is there, the mark is not, and since then another value is wanted."""
    hand = Hand()
    hand.out.line.fail("godaddy.replace", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await hand.once(RECORD)
    hand.out.clock.advance(timedelta(minutes=1))
    return hand


async def test_a_value_without_its_mark_is_ours_though_another_one_is_wanted_now() -> None:
    hand = await crashed_before_the_mark()
    assert (await hand.bring(MOVED)).ready
    assert values(hand) == ["203.0.113.8"]
    assert owners(hand) == [("owner-1", ME)]


async def test_a_value_without_its_mark_is_removed_though_another_one_was_wanted_last() -> None:
    hand = await crashed_before_the_mark()
    hand.out.line.fail("godaddy.replace", Crash())
    with pytest.raises(Crash):
        await hand.once(MOVED, policy(Adoption.IF_UNOWNED))
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


async def test_a_value_of_before_that_was_there_before_our_intent_stays_anothers() -> None:
    hand = Hand()
    place(hand, a("203.0.113.7"))
    assert hand.reason(await hand.bring(RECORD)) == "OwnershipConflict"
    assert hand.reason(await hand.bring(MOVED)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == [a("203.0.113.7")]


# Removal


async def test_removal_takes_the_mark_along_and_keeps_another_owners() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    theirs = txt(Ownership("someone", "ingress/x/y").value())
    place(hand, theirs, a("192.0.2.9"))
    await hand.remove()
    assert sorted(hand.out.godaddy.zones[ZONE], key=repr) == sorted([theirs, a("192.0.2.9")], key=repr)


async def test_removal_is_over_when_no_nameserver_gives_the_record_any_more() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    hand.out.nameservers.freeze()
    with pytest.raises(AssertionError, match="still gives"):
        await hand.remove(most=5)
    assert hand.out.godaddy.zones[ZONE] == []
    hand.out.nameservers.frozen = None
    assert (await hand.remove()).ready


async def test_a_removal_that_was_interrupted_goes_on_where_it_was() -> None:
    hand = Hand()
    await hand.bring(RECORD)
    hand.out.line.fail("godaddy.delete", ExternalServiceError("reset", service="godaddy"), after_effect=True)
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


# Everything at random


FOREIGN = st.builds(
    Record,
    type=st.sampled_from(["A", "TXT", "MX"]),
    name=st.sampled_from(["shop", "SHOP", MARKS, "www"]),
    data=st.sampled_from(["192.0.2.1", "192.0.2.2", "v=spf1 -all", '"quoted, text"', "Mixed.Case."]),
    ttl=st.sampled_from([600, 3600]),
    extra=st.sampled_from([{}, {"note": "theirs"}]),
)
DEED = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from(["203.0.113.7", "203.0.113.8", "203.0.113.9"])),
    st.tuples(st.just("crash"), st.sampled_from(["before", "after"])),
    st.tuples(st.just("fault"), st.sampled_from(["before", "after"])),
    st.tuples(st.just("add"), FOREIGN),
    st.tuples(st.just("drop"), st.just("ours")),
    st.tuples(st.just("wait"), st.integers(1, 100)),
)


@dataclass
class Story:
    """Our record under random deeds, with the foreign records that must be there at the end as they were."""

    hand: Hand = field(default_factory=lambda: Hand(outside()))
    foreign: list[Record] = field(default_factory=list)
    data: str = "203.0.113.7"

    async def do(self, kind: str, what: object) -> None:
        if kind == "pass":
            self.data = str(what)
            await self.once()
        elif kind == "crash":
            self.hand.out.line.fail("godaddy.*", Crash(), after_effect=what == "after")
            await self.once()
        elif kind == "fault":
            error = ExternalServiceError("time-out", service="godaddy")
            self.hand.out.line.fail("godaddy.*", error, after_effect=what == "after")
            await self.once()
        elif kind == "add" and isinstance(what, Record) and not self.is_there(what):
            self.foreign.append(what)
            place(self.hand, what)
        elif kind == "drop":
            zone = self.hand.out.godaddy.zones[ZONE]
            zone[:] = [r for r in zone if r.data not in ("203.0.113.7", "203.0.113.8", "203.0.113.9")]
        elif kind == "wait" and isinstance(what, int):
            self.hand.out.clock.advance(timedelta(seconds=what))

    def is_there(self, record: Record) -> bool:
        """GoDaddy has no value twice in a set; an address at our name before we come is another story."""
        kind, name = record.type, record.name.lower()
        twice = any(
            (r.type, r.name.lower(), r.data) == (kind, name, record.data) for r in self.hand.out.godaddy.zones[ZONE]
        )
        first = kind == "A" and name == "shop" and owners(self.hand) != [("owner-1", ME)]
        return twice or first

    def resource(self) -> DnsRecord:
        previous = applied_before(self.hand.ledger, "only", ZONE, RECORD.host, self.data)
        return RECORD.model_copy(update={"data": self.data, "previous": previous})

    async def once(self) -> None:
        try:
            await self.hand.once(self.resource())
        except Crash:
            self.hand.ledger = Ledger.load(self.hand.saved)


@settings(max_examples=250, deadline=None)
@given(deeds=st.lists(DEED, max_size=14), goes=st.booleans())
def test_random_operations_end_as_wanted_and_leave_foreign_records_byte_for_byte(
    deeds: list[tuple[str, object]], goes: bool
) -> None:
    async def story() -> None:
        it = Story()
        for kind, what in deeds:
            await it.do(kind, what)
        it.hand.out.line.faults.clear()
        for _ in range(10):
            await it.once()
            it.hand.out.clock.advance(timedelta(seconds=5))
        if goes:
            await it.hand.remove()
            assert it.hand.out.godaddy.zones[ZONE] == it.foreign or sorted_(it) == sorted(it.foreign, key=repr)
        else:
            assert (await it.hand.bring(it.resource())).ready
            ours = [r for r in it.hand.out.godaddy.zones[ZONE] if r not in it.foreign]
            assert [r.data for r in ours if r.type == "A"] == [it.data]
            assert owners(it.hand).count(("owner-1", ME)) == 1
            assert len(ours) == 2
            assert all(record in it.hand.out.godaddy.zones[ZONE] for record in it.foreign)

    def sorted_(it: Story) -> list[Record]:
        return sorted(it.hand.out.godaddy.zones[ZONE], key=repr)

    asyncio.run(story())
