"""Whose a host is, by the marks in its zone: one host is one owner's, under whatever type its record is wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.resources import dns_record
from devops_reconciler.resources.dns_record import DnsRecord
from devops_reconciler.services.txt_registry import Ownership
from tests.unit.fakes.line import Crash
from tests.unit.world import ME, OTHER

from .hand import Hand, changed, policy
from .test_dns_record import ALIAS, MARKS, RECORD, ZONE, a, owners, place, txt, values

SIX = DnsRecord(zone=ZONE, host="shop.example.com", type="AAAA", data="2001:db8::7", ttl=600)
OWNERS = [Ownership("owner-1", OTHER), Ownership("someone", ME), Ownership("x", "ingress/a")]
WANTED = pytest.mark.parametrize("wanted", [RECORD, SIX, ALIAS], ids=["A", "AAAA", "CNAME"])


@pytest.mark.parametrize("adoption", Adoption)
@pytest.mark.parametrize("owner", OWNERS)
@WANTED
async def test_a_record_with_another_owners_mark_is_a_conflict_and_stays(
    wanted: DnsRecord, owner: Ownership, adoption: Adoption
) -> None:
    if adoption is Adoption.ALWAYS and owner.resource == OTHER:
        return  # the one that may be taken: a resource of this installation that is gone
    for there in ([a("203.0.113.7"), txt(owner.value())], [a("203.0.113.7"), txt(owner.value(), "shop")]):
        hand = Hand()
        place(hand, *there)
        assert hand.reason(await hand.bring(wanted, policy(adoption))) == "OwnershipConflict"
        await hand.remove()
        assert hand.out.godaddy.zones[ZONE] == there


@pytest.mark.parametrize("owner", OWNERS)
@WANTED
async def test_a_mark_whose_record_is_gone_holds_the_host_for_its_owner_who_is_about_to_repair_it(
    wanted: DnsRecord, owner: Ownership
) -> None:
    hand = Hand()
    place(hand, txt(owner.value()))
    assert hand.reason(await hand.bring(wanted, policy(Adoption.IF_UNOWNED))) == "OwnershipConflict"
    assert len(hand.out.godaddy.zones[ZONE]) == 1


@pytest.mark.parametrize("wanted", [RECORD, SIX], ids=["A", "AAAA"])
async def test_a_mark_of_the_old_form_without_a_record_holds_nothing(wanted: DnsRecord) -> None:
    """external-dns wrote it beside the new one until 0.15, and leaves it behind since."""
    hand = Hand()
    place(hand, txt(OWNERS[2].value(), "shop"))
    assert (await hand.bring(wanted)).ready


async def test_the_mark_of_a_host_is_no_mark_of_the_old_form_on_another_one() -> None:
    hand = Hand()
    place(hand, a("192.0.2.1"), txt(OWNERS[0].value()), a("192.0.2.1", name=MARKS))
    wanted = changed(RECORD, host=f"{MARKS}.example.com")
    assert (await hand.bring(wanted, policy(Adoption.IF_UNOWNED))).ready


async def test_what_a_dead_resource_has_left_under_another_type_is_taken_over_beside_it() -> None:
    hand = Hand()
    place(hand, a("192.0.2.1"), txt(OWNERS[0].value()))
    assert (await hand.bring(SIX, policy(Adoption.ALWAYS))).ready
    assert owners(hand, "aaaa-shop") == [("owner-1", ME)]
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(SIX)).ready
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == [a("192.0.2.1"), txt(OWNERS[0].value())]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("calls", range(12))
@pytest.mark.parametrize(("first", "then"), [(RECORD, ALIAS), (ALIAS, RECORD), (RECORD, SIX), (SIX, ALIAS)])
async def test_a_crash_anywhere_in_a_change_of_the_type_heals_itself(
    first: DnsRecord, then: DnsRecord, calls: int, after_effect: bool
) -> None:
    hand = Hand()
    await hand.bring(first)
    hand.out.clock.advance(timedelta(minutes=1))
    wanted = changed(then, previous=(first.data,))
    hand.out.line.fail("godaddy.*", Crash(), after_effect=after_effect, skip=calls)
    try:
        await hand.once(wanted)
    except Crash:
        hand.ledger = Ledger.load(hand.saved)
    hand.out.line.faults.clear()
    assert (await hand.bring(wanted)).ready
    assert values(hand, then.type) == [then.data]
    assert owners(hand, f"{then.type.lower()}-shop") == [("owner-1", ME)]
    await hand.remove()
    assert hand.out.godaddy.zones[ZONE] == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_look_goes_through_none_of_the_other_records(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone has as many records as there are hosts, and each of them is looked at."""
    hand, names = Hand(), 0
    if there:
        await hand.bring(RECORD)
    place(hand, *(record for n in range(300) for record in (a("192.0.2.1", name=f"h{n}"), txt("x", f"a-h{n}"))))

    def counted(function: Callable[[str, str], str]) -> Callable[[str, str], str]:
        def counting(one: str, other: str) -> str:
            nonlocal names
            names += 1
            return function(one, other)

        return counting

    for name in ("full_name", "relative_name"):
        monkeypatch.setattr(dns_record, name, counted(getattr(dns_record, name)))
    assert (await hand.see(RECORD)).exists is there
    assert names < 30
