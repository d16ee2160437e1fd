"""The host of production changes: the old one is served until its record has gone, which the new one replaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.api.names import mark
from devops_reconciler.kinds.reconcile import SOON
from devops_reconciler.services.godaddy_types import Record, ZoneRecords
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS
from devops_reconciler.services.txt_registry import Ownership
from tests.unit.world import CLUSTER, ME, TEAM

from .life import HOST, Life
from .test_running_images import deploy, polls, running

NEW = "new.example.com"
THEIRS = mark(CLUSTER, "team-b", "uid-of-theirs")
KIND = "IngressResource"


def move(life: Life, host: str, **ingress: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"ingress": {"host": host, **ingress}}})


async def moved(**ingress: Any) -> Life:
    """Production is live, its host has changed, and the nameservers do not give the new one yet."""
    life = running(ingress={"host": HOST, **ingress})
    assert await deploy(life, "one") == "True/Succeeded"
    life.out.nameservers.freeze()
    move(life, NEW)
    await polls(life)
    assert life.reason("shop", "Ready", KIND) == "Unknown/Progressing"
    return life


def spec(life: Life) -> dict[str, Any]:
    found = life.out.kubernetes.see(INGRESS, "shop", "shop")
    assert found is not None
    return dict(found["spec"])


def hosts(life: Life) -> list[str]:
    return [rule["host"] for rule in spec(life)["rules"]]


def names(life: Life) -> list[str]:
    return [record.name for record in life.out.godaddy.zones["example.com"] if record.type == "A"]


def ingress_writes(life: Life) -> int:
    return sum(1 for each in life.out.kubernetes.writes if each[1] == "Ingress")


async def test_both_hosts_are_served_until_every_nameserver_gives_the_new_one() -> None:
    life = await moved()
    assert (hosts(life), names(life)) == ([NEW, HOST], ["shop", "new"])
    assert len({str(rule["http"]) for rule in spec(life)["rules"]}) == 1
    life.out.nameservers.frozen = None
    await polls(life, 1)
    assert life.reason("shop", "Ready", KIND) == "True/Succeeded"
    assert names(life) == ["new"]
    assert life.verdicts[-1].after == SOON, "without another poll"
    await life.turn("shop", KIND)
    assert hosts(life) == [NEW]
    await life.turn("shop", KIND)
    assert life.reason("shop", "Ready", KIND) == "True/Succeeded"


async def test_the_old_host_is_served_as_long_as_a_nameserver_gives_it() -> None:
    life = await moved()
    life.out.nameservers.freeze()
    await polls(life)
    assert (hosts(life), names(life)) == ([NEW, HOST], ["new"])
    assert life.reason("shop", "CleanupVerified", KIND) == "Unknown/Progressing"
    life.out.nameservers.frozen = None
    await polls(life)
    assert hosts(life) == [NEW]


async def test_two_rules_are_no_drift() -> None:
    life = await moved()
    before = ingress_writes(life)
    await polls(life, 5)
    assert ingress_writes(life) == before
    life.out.kubernetes.change(INGRESS, "shop", "shop", {"spec": {"rules": []}})
    await polls(life)
    assert hosts(life) == [NEW, HOST]


async def test_with_a_report_policy_the_old_host_goes_all_the_same() -> None:
    life = running(driftPolicy="Report")
    move(life, NEW)
    await polls(life, 6)
    assert (hosts(life), names(life)) == ([NEW], ["new"])
    assert life.reason("shop", "Ready", KIND) == "True/Succeeded"


async def test_the_way_back_serves_the_first_host_alone() -> None:
    life = await moved()
    move(life, HOST)
    life.out.nameservers.frozen = None
    await polls(life, 6)
    assert (hosts(life), names(life)) == ([HOST], ["shop"])


async def test_a_second_move_before_the_first_is_done_cuts_nobody_off() -> None:
    life = await moved()
    move(life, "newer.example.com")
    await polls(life)
    assert hosts(life) == ["newer.example.com", NEW, HOST]
    life.out.nameservers.frozen = None
    await polls(life, 6)
    assert (hosts(life), names(life)) == (["newer.example.com"], ["newer"])


async def test_a_host_that_was_another_ones_is_not_served_after_the_next_move() -> None:
    life = running()
    life.out.godaddy.zones["example.com"] += records_of(THEIRS, "bank")
    move(life, "bank.example.com")
    await polls(life)
    life.out.nameservers.freeze()
    move(life, NEW)
    await polls(life)
    assert hosts(life) == [NEW, HOST]


# TLS


async def test_both_hosts_have_the_one_secret() -> None:
    life = await moved(tls={"secretName": "shop-tls"})
    assert spec(life)["tls"] == [{"hosts": [NEW, HOST], "secretName": "shop-tls"}]


async def test_the_old_host_keeps_its_own_secret() -> None:
    life = await moved(tls={"secretName": "shop-tls"})
    move(life, NEW, tls={"secretName": "new-tls"})
    await polls(life)
    assert spec(life)["tls"] == [
        {"hosts": [NEW], "secretName": "new-tls"},
        {"hosts": [HOST], "secretName": "shop-tls"},
    ]


async def test_the_old_host_gets_no_tls_with_the_new_one() -> None:
    life = await moved()
    move(life, NEW, tls={"secretName": "new-tls"})
    await polls(life)
    assert spec(life)["tls"] == [{"hosts": [NEW], "secretName": "new-tls"}]
    assert hosts(life) == [NEW, HOST]


# Another one's


def records_of(owner: str, name: str = "shop") -> list[Record]:
    text = Ownership(owner="owner-1", resource=owner).value()
    return [Record("A", name, "198.51.100.9", 600), Record("TXT", f"a-{name}", text, 600)]


def replace(life: Life, records: list[Record]) -> None:
    """Somebody puts these in place of all that is at the old host."""
    zone = life.out.godaddy.zones["example.com"]
    zone[:] = [record for record in zone if record.name not in ("shop", "a-shop")] + records


async def test_an_old_host_that_another_one_has_taken_is_let_go() -> None:
    life = await moved()
    replace(life, records_of(THEIRS))
    await polls(life)
    assert hosts(life) == [NEW]
    replace(life, [])
    await polls(life)
    assert hosts(life) == [NEW], "for good"


@pytest.mark.parametrize("records", [[], records_of(ME)[:1]], ids=["nothing", "no mark"])
async def test_a_record_that_vanishes_takes_no_host_away(records: list[Record]) -> None:
    life = await moved()
    replace(life, records)
    await polls(life)
    assert hosts(life) == [NEW, HOST]


async def test_an_old_host_that_a_preview_of_the_project_has_got_is_let_go() -> None:
    life = await moved()
    held = {"name": "pr-1", "holder": "two", "url": f"https://{HOST}"}
    project = life.see("shop", "DevOpsProject")
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, {**project, "status": {**project["status"], "environments": [held]}})
    await polls(life)
    assert hosts(life) == [NEW]


@pytest.mark.parametrize(
    "error", [ExternalServiceError("away", service="godaddy"), ValidationError("zone is gone", status=404)]
)
async def test_an_old_zone_that_cannot_be_read_holds_nothing_up(error: Exception) -> None:
    life = running(ingress={"host": "shop.example.net"})
    life.out.nameservers.freeze()
    move(life, NEW)
    await polls(life)
    read = life.out.godaddy.zone_records

    async def refusing(zone: str, names: Iterable[str] | None = None) -> ZoneRecords:
        if zone == "example.net":
            raise error
        return await read(zone, names)

    life.out.godaddy.zone_records = refusing  # type: ignore[method-assign]
    await polls(life)
    assert hosts(life) == [NEW, "shop.example.net"]
    life.out.nameservers.frozen = None
    await polls(life)
    assert life.reason("shop", "Ready", KIND) == "True/Succeeded"
    assert life.reason("shop", "CleanupVerified", KIND) != "True/CleanupVerified"
    assert hosts(life) == [NEW, "shop.example.net"], "as long as its record may lead here"
