"""What we conclude from the answers of a zone's nameservers, and when we conclude nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import dns.asyncresolver
import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dns import Nameservers
from devops_reconciler.services.txt_registry import Ownership, ownership_of
from standins.godaddy import GoDaddyStandin
from standins.godaddy_zone import Zone
from standins.nameserver import Nameserver

ZONE = "example.com"
SHOP = "shop.example.com"
TIMEOUT = timedelta(seconds=1)


@dataclass
class Target:
    """The zone, its two nameservers, and who asks them."""

    nameservers: Nameservers
    standin: GoDaddyStandin
    clock: FakeClock

    @property
    def zone(self) -> Zone:
        return self.standin.zone(ZONE)

    @property
    def first(self) -> Nameserver:
        return self.standin.nameservers[0]

    @property
    def second(self) -> Nameserver:
        return self.standin.nameservers[1]


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    clock = FakeClock()
    async with GoDaddyStandin([ZONE], 2, clock=clock) as standin:
        yield Target(Nameservers(tuple(standin.resolvers), clock, TIMEOUT), standin, clock)


@pytest.fixture
async def world() -> AsyncIterator[Target]:
    """As in the world: nameservers are found through the zone's NS records and share one port number."""
    clock = FakeClock()
    async with GoDaddyStandin([ZONE], ["127.0.0.1", "127.0.0.2"], clock=clock) as standin:
        system = dns.asyncresolver.Resolver(configure=False)
        system.nameservers, system.port, system.lifetime = ["127.0.0.1"], standin.nameservers[0].port, 1.0
        asker = Nameservers((), clock, TIMEOUT, system=system, port=standin.nameservers[0].port)
        yield Target(asker, standin, clock)


async def test_a_record_is_shown_when_every_nameserver_gives_it(target: Target) -> None:
    target.zone.add("A", "shop", "203.0.113.7", 600)
    seen = await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])
    assert seen.ok
    assert seen.missing == ()
    assert [len(each.queries) for each in target.standin.nameservers] == [1, 1]


async def test_one_nameserver_that_lags_behind_is_named_and_seen_when_it_follows(target: Target) -> None:
    target.second.lag = 30.0
    target.zone.add("A", "shop", "203.0.113.7", 600)
    seen = await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])
    assert not seen.ok
    assert seen.missing == (target.second.address,)
    assert f"{target.second.address} gives nothing, not 203.0.113.7" in seen.detail
    target.clock.advance(timedelta(seconds=30))
    assert (await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok


async def test_an_old_value_is_not_the_record(target: Target) -> None:
    target.zone.add("A", "shop", "198.51.100.1", 600)
    seen = await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])
    assert not seen.ok
    assert "gives 198.51.100.1, not 203.0.113.7" in seen.detail


async def test_values_of_others_may_be_beside_ours(target: Target) -> None:
    target.zone.add("A", "shop", "198.51.100.1", 600)
    target.zone.add("A", "shop", "203.0.113.7", 600)
    assert (await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok
    assert not (await target.nameservers.gone(ZONE, SHOP, "A")).ok
    assert not (await target.nameservers.gone(ZONE, SHOP, "A", ["203.0.113.7"])).ok
    target.zone.remove("A", "shop")
    target.zone.add("A", "shop", "198.51.100.1", 600)
    assert (await target.nameservers.gone(ZONE, SHOP, "A", ["203.0.113.7"])).ok


async def test_no_such_name_and_no_such_type_are_both_an_absence(target: Target) -> None:
    target.zone.add("TXT", "shop", "something else", 600)
    for host in (SHOP, "nothing.example.com"):
        answers = await target.nameservers.answers(ZONE, host, "A")
        assert [(each.values, each.error) for each in answers] == [((), None)] * 2
        assert (await target.nameservers.gone(ZONE, host, "A")).ok


async def test_a_record_is_gone_only_when_the_slowest_nameserver_has_dropped_it(target: Target) -> None:
    target.zone.add("A", "shop", "203.0.113.7", 600)
    target.clock.advance(timedelta(seconds=60))
    target.first.lag = 10.0
    target.zone.remove("A", "shop")
    left = await target.nameservers.gone(ZONE, SHOP, "A")
    assert not left.ok
    assert left.missing == (target.first.address,)
    assert "still gives 203.0.113.7" in left.detail
    target.clock.advance(timedelta(seconds=10))
    assert (await target.nameservers.gone(ZONE, SHOP, "A")).ok


async def test_a_silent_nameserver_is_an_error_and_proves_nothing(target: Target) -> None:
    target.second.down = True
    answers = await target.nameservers.answers(ZONE, SHOP, "A")
    assert answers[0].error is None
    assert answers[1].error == "no answer within 1 s"
    gone = await target.nameservers.gone(ZONE, SHOP, "A")
    assert not gone.ok
    assert gone.missing == (target.second.address,)


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
async def test_a_nameserver_that_fails_or_refuses_is_an_error_and_proves_nothing(target: Target, rcode: str) -> None:
    target.second.rcode = rcode
    answers = await target.nameservers.answers(ZONE, SHOP, "A")
    assert answers[1].error == f"answers {rcode}"
    assert not (await target.nameservers.gone(ZONE, SHOP, "A")).ok
    assert not (await target.nameservers.shows(ZONE, SHOP, "A", [])).ok


async def test_a_port_where_nobody_listens_is_an_error(target: Target) -> None:
    address = target.second.address
    await target.second.stop()
    answers = await target.nameservers.answers(ZONE, SHOP, "A")
    assert answers[1].server == address
    assert answers[1].error
    assert not (await target.nameservers.gone(ZONE, SHOP, "A")).ok


async def test_a_zone_that_the_nameserver_does_not_have_is_an_error(target: Target) -> None:
    answers = await target.nameservers.answers("other.com", "shop.other.com", "A")
    assert {each.error for each in answers} == {"answers REFUSED"}


async def test_a_referral_is_no_absence_and_what_it_hides_of_the_zone_shows_to_nobody(target: Target) -> None:
    target.zone.add("NS", "sub", "ns.elsewhere.test")
    answers = await target.nameservers.answers(ZONE, "shop.sub.example.com", "A")
    assert all(each.error is not None and "refers" in each.error for each in answers)
    assert not (await target.nameservers.shows(ZONE, "shop.sub.example.com", "A", [])).ok
    assert (await target.nameservers.gone(ZONE, "shop.sub.example.com", "A")).ok
    target.first.rcode = "SERVFAIL"
    assert (await target.nameservers.gone(ZONE, "shop.sub.example.com", "A")).missing == (target.first.address,)


@pytest.mark.parametrize("rtype", ["A", "CNAME"])
async def test_what_a_nameserver_gives_of_a_zone_inside_the_zone_is_not_of_this_one(rtype: str) -> None:
    clock, data = FakeClock(), "203.0.113.7" if rtype == "A" else "lb.example.com"
    async with GoDaddyStandin([ZONE, "sub.example.com"], 2, clock=clock) as standin:
        asker = Nameservers(tuple(standin.resolvers), clock, TIMEOUT)
        standin.zone("sub.example.com").add(rtype, "shop", data, 600)
        assert (await asker.gone(ZONE, "shop.sub.example.com", rtype, [data])).ok
        assert not (await asker.gone("sub.example.com", "shop.sub.example.com", rtype, [data])).ok
        standin.nameservers[1].down = True
        gone = await asker.gone(ZONE, "shop.sub.example.com", rtype, [data])
        assert gone.missing == (standin.nameservers[1].address,)


async def test_a_delegated_zone_is_another_one_as_its_nameservers_are_found_in_the_world(world: Target) -> None:
    world.zone.add("NS", "sub", "ns.elsewhere.test")
    assert (await world.nameservers.gone(ZONE, "shop.sub.example.com", "A")).ok
    world.first.authoritative = False
    assert not (await world.nameservers.gone(ZONE, SHOP, "A")).ok


async def test_each_question_is_put_without_recursion_and_answers_are_not_kept(target: Target) -> None:
    assert (await target.nameservers.gone(ZONE, SHOP, "A")).ok
    target.zone.add("A", "shop", "203.0.113.7", 600)
    assert (await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok
    assert [each.recursion_desired for each in target.first.queries] == [False, False]


@pytest.mark.parametrize(
    ("rtype", "data", "wanted"),
    [
        ("A", "203.0.113.7", "203.0.113.7"),
        ("AAAA", "2001:db8::7", "2001:0DB8:0:0::7"),
        ("CNAME", "LB.example.net", "lb.example.net."),
        ("TXT", '"heritage=external-dns"', "heritage=external-dns"),
        ("TXT", "heritage=external-dns", '"heritage=external-dns"'),
        ("MX", "mail.example.net", "0 mail.example.net"),
    ],
)
async def test_values_are_compared_by_meaning(target: Target, rtype: str, data: str, wanted: str) -> None:
    target.zone.add(rtype, "shop", data, 600)
    seen = await target.nameservers.shows(ZONE, SHOP, rtype, [wanted])
    assert seen.ok, seen.detail


async def test_a_cname_is_not_the_address_that_was_asked_for(target: Target) -> None:
    target.zone.add("CNAME", "shop", "lb.example.com", 600)
    target.zone.add("A", "lb", "203.0.113.7", 600)
    assert not (await target.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok
    assert (await target.nameservers.shows(ZONE, SHOP, "CNAME", ["lb.example.com"])).ok


async def test_a_wildcard_answers_for_names_that_have_nothing_of_their_own(target: Target) -> None:
    target.zone.add("A", "*.preview", "203.0.113.7", 600)
    target.zone.add("TXT", "own.preview", "x", 600)
    assert (await target.nameservers.shows(ZONE, "a.preview.example.com", "A", ["203.0.113.7"])).ok
    assert (await target.nameservers.shows(ZONE, "*.preview.example.com", "A", ["203.0.113.7"])).ok
    assert (await target.nameservers.gone(ZONE, "own.preview.example.com", "A")).ok
    assert (await target.nameservers.gone(ZONE, "preview.example.com", "A")).ok


async def test_the_apex_has_records_too(target: Target) -> None:
    target.zone.add("A", "@", "203.0.113.7", 600)
    assert (await target.nameservers.shows(ZONE, "Example.COM.", "A", ["203.0.113.7"])).ok
    assert (await target.nameservers.shows(ZONE, ZONE, "NS", ["ns01.domaincontrol.test"])).ok


async def test_an_answer_too_long_for_udp_is_fetched_over_tcp(target: Target) -> None:
    values = [f"10.0.{number // 250}.{number % 250}" for number in range(300)]
    for each in values:
        target.zone.add("A", "shop", each, 600)
    assert (await target.nameservers.shows(ZONE, SHOP, "A", values)).ok
    assert [each.transport for each in target.first.queries] == ["udp", "tcp"]


async def test_a_mark_can_be_read_back_from_dns(target: Target) -> None:
    mark = Ownership("cluster-1", "freeleaps:0123abcd:" + "0" * 24, {"note": "x" * 300})
    target.zone.add("TXT", "a-shop", mark.value(), 600)
    answers = await target.nameservers.answers(ZONE, "a-shop.example.com", "TXT")
    assert [ownership_of(each.values[0]) for each in answers] == [mark, mark]


async def test_nameservers_are_found_through_the_zone(world: Target) -> None:
    world.zone.add("A", "shop", "203.0.113.7", 600)
    answers = await world.nameservers.answers(ZONE, SHOP, "A")
    assert [each.server for each in answers] == ["ns01.domaincontrol.test", "ns02.domaincontrol.test"]
    assert (await world.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok
    world.second.lag = 5.0
    world.zone.add("A", "shop", "203.0.113.8", 600)
    seen = await world.nameservers.shows(ZONE, SHOP, "A", ["203.0.113.8"])
    assert seen.missing == ("ns02.domaincontrol.test",)


async def test_a_nameserver_without_authority_for_the_zone_proves_nothing(world: Target) -> None:
    world.second.authoritative = False
    gone = await world.nameservers.gone(ZONE, SHOP, "A")
    assert gone.missing == ("ns02.domaincontrol.test",)
    assert "without authority" in gone.detail


async def test_a_nameserver_without_address_is_an_error(world: Target) -> None:
    world.zone.add("NS", "@", "ns09.domaincontrol.test")
    answers = {each.server: each.error for each in await world.nameservers.answers(ZONE, SHOP, "A")}
    assert answers["ns01.domaincontrol.test"] is None
    assert answers["ns09.domaincontrol.test"] == "its address cannot be found"
    assert not (await world.nameservers.gone(ZONE, SHOP, "A")).ok


async def test_a_zone_without_delegation_is_an_error_that_says_what_to_do(world: Target) -> None:
    with pytest.raises(ExternalServiceError, match=r"nameservers of zone other\.com cannot be found.*DNS_RESOLVERS"):
        await world.nameservers.shows("other.com", "shop.other.com", "A", ["203.0.113.7"])


async def test_a_resolver_may_be_given_by_name(target: Target) -> None:
    target.zone.add("A", "shop", "203.0.113.7", 600)
    asker = Nameservers((f"localhost:{target.first.port}",), target.clock, TIMEOUT)
    assert (await asker.shows(ZONE, SHOP, "A", ["203.0.113.7"])).ok


async def test_questions_that_dns_does_not_know_are_refused(target: Target) -> None:
    for host, rtype in (("a" * 64 + ".example.com", "A"), (SHOP, "NONSENSE")):
        with pytest.raises(ValidationError):
            await target.nameservers.answers(ZONE, host, rtype)
    with pytest.raises(ValidationError, match="DNS_RESOLVERS"):
        await Nameservers(("127.0.0.1:dns",), target.clock).answers(ZONE, SHOP, "A")
