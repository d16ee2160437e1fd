"""A deployment from its record to its address, and a preview to its verified end, in a world in memory."""

from __future__ import annotations

from datetime import timedelta

from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS, NAMESPACE
from tests.unit.world import TEAM

from .life import HOST, Life

KINDS = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")


async def test_a_project_becomes_ready_and_then_writes_nothing_more() -> None:
    life = Life()
    life.project()
    life.set_up()
    for kind in KINDS:
        await life.turn("shop", kind)
    writes = len(life.out.kubernetes.writes)
    for _ in range(3):
        life.out.clock.advance(timedelta(minutes=5))
        for kind in KINDS:
            await life.turn("shop", kind)
    assert life.out.kubernetes.writes[writes:] == []


async def test_what_a_deployment_has_released_is_noted_once() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    await life.live("one")
    await life.turn("shop", "ArgoSettings")
    writes = len(life.out.kubernetes.writes)
    await life.turn("shop", "ArgoSettings")
    assert life.out.kubernetes.writes[writes:] == []


async def test_production_is_deployed_once_and_answers() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1
    assert life.holder() == "one"
    told = life.told("one")
    assert [p["sequence"] for p in told] == list(range(1, len(told) + 1))
    assert [p["result"] for p in told if p["terminal"]] == ["Succeeded"]
    assert told[-1]["url"] == f"http://{HOST}/"


async def test_a_preview_expires_and_everything_of_it_is_gone() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", ttl="1h")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert "shop-pr-7" in life.out.argocd.apps
    assert life.out.kubernetes.see(INGRESS, "shop-pr-7", "shop-pr-7") is not None
    await life.expire("one")
    assert "shop-pr-7" not in life.out.argocd.apps
    assert life.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is None
    assert [r for r in life.out.godaddy.zones["example.com"] if "pr-7" in r.name] == []
    assert life.out.hub.held["acme/shop"].tags == {}
    assert life.holder("pr-7") is None


async def test_production_moves_from_an_address_to_a_name_and_back() -> None:
    life = Life()
    life.project()
    life.set_up()
    zone = life.out.godaddy.zones["example.com"]
    for target, type in (("lb.example.net", "CNAME"), ("2001:db8::1", "AAAA"), ("192.0.2.80", "A")):
        life.out.clock.advance(timedelta(minutes=5))
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"ingress": {"target": target}}})
        for _ in range(3):
            life.set_up()
            life.out.clock.advance(timedelta(minutes=5))
        assert [(r.type, r.data) for r in zone if r.type != "TXT"] == [(type, target)]
        assert len([r for r in zone if r.type == "TXT"]) == 1


async def test_a_finished_record_is_written_once_more_to_clear_its_outbox_and_then_never() -> None:
    for environment in ("production", "pr-7"):
        life = Life()
        life.project()
        life.set_up()
        life.record("one", environment=environment)
        await life.live("one")
        for _ in range(2):
            await life.turn("one")
        writes = len(life.out.kubernetes.writes)
        for _ in range(3):
            life.out.clock.advance(timedelta(minutes=5))
            await life.turn("one")
        assert life.out.kubernetes.writes[writes:] == []
        assert life.status("one")["heartbeat"].get("outbox", []) == []


async def test_a_record_that_only_waits_writes_nothing_while_nothing_changes() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.out.jenkins.queue_time = timedelta(hours=1)
    life.record("one")
    for _ in range(4):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    writes = len(life.out.kubernetes.writes)
    for _ in range(5):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    assert life.out.kubernetes.writes[writes:] == []


async def test_a_deployment_needs_few_writes() -> None:
    life = Life(healthy_stable_for=timedelta(0))
    life.project()
    life.set_up()
    life.record("one")
    writes = len(life.out.kubernetes.writes)
    await life.live("one")
    mine = [w for w in life.out.kubernetes.writes[writes:] if w[:2] == ("status", "DeploymentRecord")]
    assert len(mine) <= 12
