"""An environment passes to the next record with all that is known of it, so that nothing is taken for a stranger's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import (
    DEPLOYMENT_RECORD,
    DEVOPS_PROJECT,
    NAMESPACE,
    SECRET,
    SERVICE_ACCOUNT,
)
from tests.unit.fakes.line import Crash
from tests.unit.world import TEAM

from .life import Life

OLD, NEW = "203.0.113.7", "203.0.113.99"
DOWN = ExternalServiceError("argocd: 503", service="argocd")
MOVED = {"ingress": {"target": NEW}, "previews": {"host": "{name}.preview.example.com"}}
READS = ("get", "list", "zone_records", "records", "application", "applications", "project", "projects")


def zone(life: Life) -> list[Record]:
    """What the zone has of the preview."""
    return [r for r in life.out.godaddy.zones["example.com"] if "pr-7" in r.name]


def addresses(life: Life) -> set[tuple[str, str, str]]:
    return {(r.type, r.name, r.data) for r in zone(life) if r.type != "TXT"}


async def preview() -> Life:
    life = Life()
    life.project()
    life.set_up()
    await deploy(life, "one")
    return life


async def deploy(life: Life, name: str, reason: str = "Succeeded", **spec: Any) -> None:
    life.out.clock.advance(timedelta(seconds=30))
    life.record(name, **{"environment": "pr-7", "ttl": "1h", **spec})
    await life.live(name, most=3000)
    assert life.reason(name) == f"True/{reason}", life.condition(name, "Finished")


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})
    for _ in range(3):
        life.out.clock.advance(timedelta(minutes=5))
        life.set_up()


async def settle(life: Life, name: str) -> None:
    """The passes right after the end."""
    for _ in range(6):
        verdict = await life.turn(name)
        life.out.clock.advance(min(verdict.after or timedelta(0), timedelta(seconds=10)))


async def all_gone(life: Life, *names: str) -> None:
    """All of them expire, and nothing of the preview is left."""
    for name in names:
        await life.expire(name)
    assert zone(life) == []
    assert life.holder("pr-7") is None
    assert "shop-pr-7" not in life.out.argocd.apps
    assert life.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is None


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({"ingress": {"target": NEW}}, {("A", "shop-pr-7", NEW)}),
        ({"ingress": {"target": "lb.example.net"}}, {("CNAME", "shop-pr-7", "lb.example.net")}),
        ({"previews": {"host": "{name}.preview.example.com"}}, {("A", "shop-pr-7.preview", OLD)}),
    ],
)
@pytest.mark.parametrize("first", ["one", "two"])
async def test_what_the_one_before_had_in_dns_is_replaced(
    spec: dict[str, Any], after: set[tuple[str, str, str]], first: str
) -> None:
    life = await preview()
    change(life, **spec)
    await deploy(life, "two")
    await settle(life, "two")
    assert addresses(life) == after
    assert len(zone(life)) == 2, "one record and its mark"
    await all_gone(life, *(("one", "two") if first == "one" else ("two", "one")))
    await deploy(life, "three")


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("first", ["one", "two"])
async def test_one_that_never_came_to_the_record_knows_of_it(cancelled: bool, first: str) -> None:
    life = await preview()
    life.out.clock.advance(timedelta(seconds=30))
    life.record("two", environment="pr-7", ttl="1h")
    life.out.line.fail("argocd.*", DOWN, times=100_000)
    while life.holder("pr-7") != "two":
        verdict = await life.turn("two")
        life.out.clock.advance(verdict.after or timedelta(0))
    if cancelled:
        life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "two", {"spec": {"cancel": True}})
    await life.live("two", most=3000)
    life.out.line.faults.clear()
    assert life.reason("two") == ("True/Cancelled" if cancelled else "True/DependencyNotReady")
    assert addresses(life) == {("A", "shop-pr-7", OLD)}, "what ran goes on running"
    await all_gone(life, *(("one", "two") if first == "one" else ("two", "one")))


async def test_a_failed_deployment_takes_nothing_down_and_the_next_one_does() -> None:
    life = await preview()
    change(life, previews={"host": "{name}.preview.example.com"})
    life.out.argocd.health = "Degraded"
    await deploy(life, "two", "HealthTimeout")
    await settle(life, "two")
    assert {name for _, name, _ in addresses(life)} == {"shop-pr-7", "shop-pr-7.preview"}
    life.out.argocd.health = "Healthy"
    await deploy(life, "three")
    await settle(life, "three")
    assert {name for _, name, _ in addresses(life)} == {"shop-pr-7.preview"}
    await all_gone(life, "one", "two", "three")


async def test_the_environment_is_not_claimed_while_its_holder_cannot_be_read() -> None:
    life = await preview()
    life.record("two", environment="pr-7", ttl="1h")
    down = ExternalServiceError("kubernetes: time-out", service="kubernetes")
    looked_for: list[str] = []

    def no_holder(name: str) -> None:
        # The list of the records and the project itself are read; the record that holds is asked for by its name.
        if name == "kubernetes.get DeploymentRecord":
            looked_for.append(name)
            raise down

    life.out.line.before = no_holder
    for _ in range(60):
        verdict = await life.turn("two")
        life.out.clock.advance(verdict.after or timedelta(0))
        if looked_for:
            break
    assert looked_for
    assert life.holder("pr-7") == "one"
    assert [e["step"] for e in life.status("two")["applied"] if e.get("shared") and e["step"] != "claim"] == []
    life.out.line.before = None
    await life.live("two")
    assert life.holder("pr-7") == "two"
    await all_gone(life, "two", "one")


async def test_one_that_dies_before_its_claim_is_written_takes_nothing_down() -> None:
    life = await preview()
    life.record("two", environment="pr-7", ttl="1h")
    life.out.line.fail("kubernetes.patch_status DevOpsProject", Crash())
    with pytest.raises(Crash):
        await life.live("two")
    assert life.holder("pr-7") == "one"
    assert "dns" in [e["step"] for e in life.status("two")["applied"]], "known before it is held"
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "two", {"spec": {"cancel": True, "expiresAt": None}})
    await life.live("two")
    await life.delete("two")
    assert addresses(life) == {("A", "shop-pr-7", OLD)}
    assert life.holder("pr-7") == "one"
    await all_gone(life, "one")


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_crash_at_any_write_of_the_hand_over_loses_nothing(after_effect: bool) -> None:
    life = await preview()
    change(life, **MOVED)
    since = len(life.out.line.calls)
    await deploy(life, "two")
    await settle(life, "two")
    writes = [name for name in life.out.line.since(since) if name.split()[0].split(".")[1] not in READS]
    for number in range(len(writes)):
        life = await preview()
        change(life, **MOVED)
        await _with_a_crash(life, number, after_effect=after_effect)
        assert life.reason("two") == "True/Succeeded"
        assert addresses(life) == {("A", "shop-pr-7.preview", NEW)}, number
        await all_gone(life, "one", "two")


async def _with_a_crash(life: Life, number: int, *, after_effect: bool) -> None:
    seen = 0

    def die(name: str) -> None:
        nonlocal seen
        if name.split()[0].split(".")[1] in READS:
            return
        seen += 1
        if seen == number + 1:
            life.out.line.fail(name, Crash(), after_effect=after_effect)

    life.out.clock.advance(timedelta(seconds=30))
    life.record("two", environment="pr-7", ttl="1h")
    life.out.line.before = die
    for _ in range(2):
        try:
            await life.live("two")
            await settle(life, "two")
            break
        except Crash:
            life.out.clock.advance(timedelta(seconds=20))
    life.out.line.before = None


async def production(**spec: Any) -> Life:
    life = Life()
    for name in ("pull", "other"):
        life.out.secret(name, {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    await deploy(life, "one", environment="production", ttl=None)
    change(life, **spec)
    await deploy(life, "two", environment="production", ttl=None)
    await settle(life, "two")
    return life


def pulled_with(life: Life, namespace: str) -> list[str]:
    """The copies in a namespace, each of which the ServiceAccount names."""
    account = life.out.kubernetes.see(SERVICE_ACCOUNT, namespace, "default")
    assert account is not None
    copies = [name for name in ("pull", "other") if life.out.kubernetes.see(SECRET, namespace, name) is not None]
    assert [item["name"] for item in account.get("imagePullSecrets") or ()] == copies
    return copies


async def test_a_pull_secret_that_another_one_has_replaced_goes_from_production() -> None:
    life = await production(registry={"pullSecretRef": {"name": "other"}})
    assert pulled_with(life, "shop") == ["other"]


async def test_a_pull_secret_goes_from_the_namespace_that_production_has_left() -> None:
    life = await production(argo={"destination": {"namespace": "shop-prod"}})
    assert (pulled_with(life, "shop"), pulled_with(life, "shop-prod")) == ([], ["pull"])
    assert life.out.kubernetes.see(NAMESPACE, None, "shop") is not None


@pytest.mark.parametrize("project_goes", [True, False])
async def test_a_pull_secret_goes_with_the_project_though_the_holder_was_deleted_before(project_goes: bool) -> None:
    life = await production()
    await life.delete("two")
    assert life.holder() == "two"
    assert pulled_with(life, "shop") == ["pull"]
    if project_goes:
        life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("one")
    assert pulled_with(life, "shop") == ([] if project_goes else ["pull"])


async def test_the_newest_that_remains_takes_the_part_of_a_holder_that_was_deleted_before_the_project() -> None:
    life = await production()
    await deploy(life, "three", environment="production", ttl=None)
    await life.delete("three")
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("one")
    assert pulled_with(life, "shop") == ["pull"]
    await life.delete("two")
    assert pulled_with(life, "shop") == []


async def test_a_pull_secret_that_a_preview_uses_stays_when_production_leaves_its_namespace() -> None:
    life = Life()
    life.out.secret("pull", {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    await deploy(life, "two", ttl="9h")
    for name, namespace in (("there", "shop-pr-7"), ("back", "shop")):
        change(life, argo={"destination": {"namespace": namespace}})
        await deploy(life, name, environment="production", ttl=None)
        await settle(life, name)
    assert life.holder("pr-7") == "two"
    assert life.out.kubernetes.see(SECRET, "shop-pr-7", "pull") is not None


async def test_what_was_replaced_and_cannot_be_removed_is_told_until_it_is_gone() -> None:
    life = await preview()
    change(life, previews={"host": "{name}.preview.example.com"})
    await deploy(life, "two")
    life.out.line.fail("godaddy.*", CredentialsError("godaddy: 403", status=403), times=10**6)
    for _ in range(10):
        verdict = await life.turn("two")
        life.out.clock.advance(min(verdict.after or timedelta(seconds=1), timedelta(minutes=1)))
    told = life.condition("two", "CleanupVerified")
    assert told is not None
    assert (told["status"], told["reason"]) == ("False", "CleanupFailed")
    assert "godaddy: 403" in told["message"]
    assert life.reason("two", "Ready") == "True/Succeeded"
    life.out.line.faults.clear()
    await settle(life, "two")
    assert life.condition("two", "CleanupVerified") is None
