"""A host whose zone changes: its record moves into the other zone, and nothing stays behind in the first one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.base import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from devops_reconciler.engine.ledger import Entry, Ledger
from devops_reconciler.engine.resource import Intent
from devops_reconciler.inputs.blocks import Route
from devops_reconciler.inputs.route_resources import claim_of
from devops_reconciler.kinds import KINDS
from devops_reconciler.kinds.orphans import find_orphans
from devops_reconciler.runtime.settings import AllowList
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import TEAM, outside

from .life import Life
from .test_running_images import deploy, polls

OUTER, INNER = "example.com", "dev.example.com"
HOST = f"shop.{INNER}"


def story(zone: str | None = OUTER) -> Life:
    """A project whose record is in the outer zone, when the inner one, in which its host lies too, comes to be."""
    life = Life(dns_allowed_zones=AllowList(everywhere=(OUTER,)))
    life.project(ingress={"host": HOST, **({"zone": zone} if zone else {})})
    life.set_up()
    return life


def begin(life: Life, zone: str) -> None:
    """The zone is made at GoDaddy, and allowed: that of a host which names none is then another one."""
    life.out.godaddy.zones[zone] = []
    allowed = {"dns_allowed_zones": AllowList(everywhere=(OUTER, zone))}
    life.out.world = replace(life.out.world, settings=life.out.world.settings.model_copy(update=allowed))


def names(life: Life, zone: str) -> list[tuple[str, str]]:
    return sorted((record.type, record.name) for record in life.out.godaddy.zones[zone])


def rezone(life: Life) -> None:
    begin(life, INNER)
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"ingress": {"zone": INNER}}})


async def ids(life: Life, state: str) -> list[str]:
    report = await find_orphans(life.out.world, [what.kind for what in KINDS.values()])
    return sorted(each.thing.name for each in report.things if each.state == state and each.thing.kind == "DnsRecord")


@pytest.mark.parametrize("named", [True, False], ids=["the spec names another one", "a longer one is allowed"])
async def test_the_record_and_its_mark_leave_the_zone_that_is_wanted_no_more(named: bool) -> None:
    life = story(OUTER if named else None)
    assert names(life, OUTER) == [("A", "shop.dev"), ("TXT", "a-shop.dev")]
    if named:
        rezone(life)
    else:
        begin(life, INNER)
    await polls(life)
    assert names(life, INNER) == [("A", "shop"), ("TXT", "a-shop")]
    assert names(life, OUTER) == []
    assert life.reason("shop", "Ready", "IngressResource") == "True/Succeeded"
    kept = [e["value"]["zone"] for e in life.status("shop", "IngressResource")["applied"] if e["step"] == "dns"]
    assert kept == [INNER]


async def test_the_record_stays_in_the_first_zone_until_the_other_one_gives_it() -> None:
    life = story()
    rezone(life)
    life.out.nameservers.freeze()
    await polls(life, 2)
    assert names(life, INNER) == [("A", "shop"), ("TXT", "a-shop")]
    assert names(life, OUTER) == [("A", "shop.dev"), ("TXT", "a-shop.dev")]
    assert await ids(life, "held") == [f"A {HOST} in zone {INNER}", f"A {HOST} in zone {OUTER}"]
    await life.delete("shop", "IngressResource")
    assert names(life, INNER) == names(life, OUTER) == []


async def test_a_preview_that_is_deployed_again_takes_its_record_along() -> None:
    life = story(None)
    assert await deploy(life, "one", environment="pr-1") == "True/Succeeded"
    begin(life, INNER)
    await polls(life)
    assert names(life, OUTER) == [("A", "shop-pr-1.dev"), ("TXT", "a-shop-pr-1.dev")]
    assert await deploy(life, "two", environment="pr-1") == "True/Succeeded"
    for _ in range(3):
        await life.turn("two")
        life.out.clock.advance(timedelta(minutes=1))
    assert names(life, OUTER) == []
    assert [type for type, _ in names(life, INNER)] == ["A", "A", "TXT", "TXT"]


async def test_a_ledger_of_before_keeps_its_record_as_it_is() -> None:
    """Its entries have the key that they always had, and the zone in their value."""
    life = story()
    (entry,) = (e for e in life.status("shop", "IngressResource")["applied"] if e["step"] == "dns")
    assert (entry["key"], entry["value"]["zone"]) == (f"A {HOST}", OUTER)
    assert set(entry) <= set(Entry.model_fields)
    before = list(life.out.godaddy.zones[OUTER])
    life.out.line.calls.clear()
    await polls(life)
    assert life.out.godaddy.zones[OUTER] == before
    assert not [call for call in life.out.line.calls if call in ("godaddy.replace", "godaddy.delete")]


async def test_what_is_left_in_another_zone_is_an_orphan_though_the_host_is_held() -> None:
    life = story()
    records = list(life.out.godaddy.zones[OUTER])
    rezone(life)
    await polls(life)
    assert await ids(life, "orphan") == []
    life.out.godaddy.zones[OUTER] += records
    assert await ids(life, "orphan") == [f"A {HOST} in zone {OUTER}"]
    assert await ids(life, "held") == [f"A {HOST} in zone {INNER}"]


async def test_what_was_tried_in_one_zone_proves_no_value_of_another_one_ours() -> None:
    out = outside()
    route: dict[str, Any] = {"type": "A", "target": "203.0.113.7", "ttl": 600, "service": "shop", "port": 80}
    other = {"class_name": None, "tls_secret": None, "probe_path": None}
    value = {"zone": OUTER, "host": HOST, "type": "A", "data": "203.0.113.7", "ttl": 600}
    intent = Intent(op="create", at=out.clock.now() - timedelta(seconds=1), preimage=[])
    ledger = Ledger([Entry(step="dns", kind="DnsRecord", key=f"A {HOST}", value=value, intent=intent)])
    policy = EffectivePolicy(frozenset(ManagementPolicy), DeletionPolicy.DELETE, Adoption.NEVER, DriftPolicy.REPAIR)
    for zone, expected in ((OUTER, intent), (INNER, None)):
        claim = claim_of(Route(host=HOST, zone=zone, **route, **other), ledger, policy)
        assert claim.intent == expected
    assert claim.record.previous == ()
