"""A host is one project's, across namespaces: the second one gets no record and no Ingress, whatever it says."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.errors import ConflictError, Waiting
from devops_reconciler.api.names import mark
from devops_reconciler.engine.resource import Intent
from devops_reconciler.resources.dns_record import DnsRecord
from devops_reconciler.resources.host_claim import HostClaim
from devops_reconciler.resources.world import OWNERS
from devops_reconciler.runtime.reservations import Reservations
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS
from devops_reconciler.services.txt_registry import Ownership
from tests.unit.world import CLUSTER, ME, OTHER, TEAM, Outside, outside

from .life import HOST, Life, run

THEIRS = mark(CLUSTER, "team-b", "uid-of-theirs")
CLAIMED = DnsRecord(zone="example.com", host=HOST, type="A", data="203.0.113.7", ttl=600)


def held_by(out: Outside, owner: str, name: str = "shop") -> list[Record]:
    """The host's record, as its owner has made it."""
    text = Ownership(owner="owner-1", resource=owner).value()
    records = [Record("A", name, "198.51.100.9", 600), Record("TXT", f"a-{name}", text, 600)]
    out.godaddy.zones["example.com"] += records
    return records


def tried(**spec: Any) -> Life:
    """A project that wants the host, after some passes."""
    life = Life(reconciler_namespaces=(TEAM, "team-b"))
    life.project(**spec)
    return life


def passes(life: Life, count: int = 6) -> None:
    for _ in range(count):
        for kind in ("DevOpsProject", "IngressResource"):
            if kind == "DevOpsProject" or life.status("shop", "DevOpsProject"):
                run(life.turn("shop", kind))
        life.out.clock.advance(timedelta(seconds=5))


def ingress(life: Life) -> Any:
    return life.out.kubernetes.see(INGRESS, "shop", "shop")


@pytest.mark.parametrize("owner", [OTHER, THEIRS, None])
def test_the_second_one_gets_neither_record_nor_ingress(owner: str | None) -> None:
    life = tried()
    records = held_by(life.out, owner or OTHER)
    if owner is None:
        records.pop()
        life.out.godaddy.zones["example.com"].pop()
    passes(life)
    for kind, reason in (("Stalled", "True"), ("Conflict", "True"), ("DNSReady", "False"), ("IngressReady", "False")):
        assert life.reason("shop", kind, "IngressResource") == f"{reason}/OwnershipConflict"
    assert life.reason("shop", "DNSReady", "DevOpsProject") == "False/OwnershipConflict"
    assert ingress(life) is None
    assert life.out.godaddy.zones["example.com"] == records


def test_a_project_that_changes_to_the_host_of_another_goes_on_serving_its_own_only() -> None:
    life = tried()
    life.set_up()
    held_by(life.out, THEIRS, "bank")
    life.project(ingress={"host": "bank.example.com"})
    passes(life)
    assert [rule["host"] for rule in ingress(life)["spec"]["rules"]] == [HOST]
    assert life.reason("shop", "Stalled", "IngressResource") == "True/OwnershipConflict"


def test_a_mark_that_vanishes_later_takes_no_ingress_down() -> None:
    life = tried()
    life.set_up()
    life.out.godaddy.zones["example.com"] = []
    held_by(life.out, THEIRS)
    passes(life)
    assert ingress(life) is not None


def test_of_two_that_come_at_once_the_first_one_has_it() -> None:
    life = tried()
    assert life.out.world.hosts.first(HOST, THEIRS) == THEIRS
    passes(life)
    assert ingress(life) is None
    held_by(life.out, THEIRS)
    passes(life)
    assert life.reason("shop", "Stalled", "IngressResource") == "True/OwnershipConflict"
    assert ingress(life) is None


def test_a_first_one_that_never_comes_again_holds_it_for_minutes_only() -> None:
    life = tried()
    life.out.world.hosts.first(HOST, THEIRS)
    passes(life)
    life.out.clock.advance(timedelta(minutes=6))
    life.set_up()
    assert ingress(life) is not None


@pytest.mark.parametrize("target", ["203.0.113.66", "2001:db8::66", "lb.example.net"])
@pytest.mark.parametrize("adoption", ["Always", "IfUnowned"])
def test_adoption_takes_nothing_from_a_living_project_of_another_namespace(adoption: str, target: str) -> None:
    life = tried(adoption=adoption, ingress={"host": HOST, "target": target})
    life.out.kubernetes.put(
        DEVOPS_PROJECT, "team-b", {"metadata": {"name": "theirs", "uid": "uid-of-theirs"}, "spec": {}}
    )
    records = held_by(life.out, THEIRS)
    life.out.hub.add("acme", "shop", f"theirs ({THEIRS})")
    passes(life)
    for _ in range(3):
        run(life.turn("shop", "RegistrySettings"))
        life.out.clock.advance(timedelta(seconds=5))
    assert ingress(life) is None
    assert life.out.godaddy.zones["example.com"] == records
    assert life.out.hub.held["acme/shop"].repository.description == f"theirs ({THEIRS})"
    assert life.reason("shop", "Stalled", "IngressResource") == "True/OwnershipConflict"
    assert life.reason("shop", "Stalled", "RegistrySettings") == "True/OwnershipConflict"


@pytest.mark.parametrize("target", ["203.0.113.66", "2001:db8::66"])
@pytest.mark.parametrize("owner", [THEIRS, OTHER])
def test_adoption_takes_what_a_dead_project_has_left(owner: str, target: str) -> None:
    life = tried(adoption="Always", ingress={"host": HOST, "target": target})
    held_by(life.out, owner)
    life.set_up()
    assert ingress(life) is not None
    assert any(r.type == "TXT" and ME in r.data for r in life.out.godaddy.zones["example.com"])


@pytest.mark.parametrize("first", ["a-shop", "aaaa-shop"])
async def test_adoption_asks_everyone_who_has_a_mark_on_the_host(first: str) -> None:
    """A dead project has left one of the two marks, and the other one is a living one's."""
    out = outside(reconciler_namespaces=(TEAM, "team-b"))
    out.kubernetes.put(DEVOPS_PROJECT, "team-b", {"metadata": {"name": "theirs", "uid": "uid-of-theirs"}, "spec": {}})
    for type, data in (("A", "198.51.100.9"), ("AAAA", "2001:db8::9")):
        name = f"{type.lower()}-shop"
        text = Ownership(owner="owner-1", resource=OTHER if name == first else THEIRS).value()
        out.godaddy.zones["example.com"] += [Record(type, "shop", data, 600), Record("TXT", name, text, 600)]
    for wanted in (CLAIMED, CLAIMED.model_copy(update={"type": "CNAME", "data": "lb.example.net"})):
        with pytest.raises(ConflictError, match="in another namespace"):
            await HostClaim(wanted, None, Adoption.ALWAYS).check(out.world, ME)


@pytest.mark.parametrize(
    ("namespaces", "home", "refused", "read"),
    [
        ((TEAM,), TEAM, False, 0),
        ((TEAM, "team-b"), TEAM, False, 1),
        (("team-b", TEAM), "team-b", True, 1),
        ((TEAM, "team-b"), "team-b", True, 2),
        ((TEAM, "team-b"), None, False, 2),
    ],
    ids=["one namespace", "in ours", "in another", "in another, read last", "nowhere"],
)
async def test_whose_a_thing_is_that_adoption_would_take_is_read_no_further_than_needed(
    namespaces: tuple[str, ...], home: str | None, refused: bool, read: int
) -> None:
    out = outside(reconciler_namespaces=namespaces)
    for namespace, name, uid in ((TEAM, "mine", "uid-of-mine"), (home, "renamed", "uid-of-owner")):
        if namespace is not None:
            out.kubernetes.put(DEVOPS_PROJECT, namespace, {"metadata": {"name": name, "uid": uid}, "spec": {}})
    me, owner = mark(CLUSTER, TEAM, "uid-of-mine"), mark(CLUSTER, home or TEAM, "uid-of-owner")
    with pytest.raises(ConflictError, match="in another namespace") if refused else nullcontext():
        await CLAIMED.check_takeover(out.world, me, owner)
    assert out.line.count("kubernetes.list *") == read * len(OWNERS)


async def test_our_own_value_without_its_mark_after_a_crash_is_no_conflict() -> None:
    out = outside()
    out.godaddy.zones["example.com"].append(Record("A", "shop", CLAIMED.data, 600))
    tried_before = Intent(op="create", at=out.clock.now(), digest=CLAIMED.digest(), preimage=[])
    await HostClaim(CLAIMED, tried_before, Adoption.NEVER).check(out.world, ME)
    with pytest.raises(ConflictError):
        await HostClaim(CLAIMED, None, Adoption.NEVER).check(out.world, ME)


async def test_a_host_is_free_for_others_when_its_record_has_come_and_gone() -> None:
    out = outside()
    await HostClaim(CLAIMED, None, Adoption.NEVER).check(out.world, ME)
    with pytest.raises(Waiting, match="about to have"):
        await HostClaim(CLAIMED, None, Adoption.NEVER).check(out.world, OTHER)
    await CLAIMED.create(out.world, ME, await CLAIMED.observe(out.world, ME, None))
    await CLAIMED.observe(out.world, ME, None)
    out.godaddy.zones["example.com"].clear()
    out.clock.advance(timedelta(seconds=5))
    await HostClaim(CLAIMED, None, Adoption.NEVER).check(out.world, OTHER)


def test_a_name_is_reserved_for_the_first_one() -> None:
    clock = outside().clock
    names = Reservations(clock, timedelta(seconds=10))
    assert [names.first("a", "x"), names.first("a", "y"), names.first("b", "y")] == ["x", "x", "y"]
    names.done("a", "y")
    assert names.first("a", "y") == "x"
    names.done("a", "x")
    assert names.first("a", "y") == "y"
    clock.advance(timedelta(seconds=11))
    assert names.first("a", "x") == "x"
