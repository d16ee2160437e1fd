"""What the operator counts of drift, of clean-ups, and of what waits, over passes in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.deployment_record import StepState
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.outcome import StepResult
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.host.tally import Tally
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, REGISTRY_SETTINGS
from tests.unit.world import TEAM, outside

SECOND = timedelta(seconds=1)
KEY = Key("RegistrySettings", TEAM, "shop")
IMAGES = "acme/shop"


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"devops_reconciler_{name}", labels) or 0.0


class Nobody:
    """A heartbeat sender that sends nothing."""

    def offer(self, *_: Any) -> None: ...

    def confirmed(self, _uid: str) -> int:
        return 0

    def forget(self, _uid: str) -> None: ...

    def forget_all(self) -> None: ...


class Operator:
    """A loop over a world in memory with one RegistrySettings, which is ready."""

    def __init__(self) -> None:
        self.out = outside()
        self.metrics = Metrics()
        self.loop = Loop(self.out.world, Nobody(), self.metrics)

    async def ready(self, **spec: Any) -> Operator:
        metadata = {"name": "shop", "uid": "uid-of-shop", "finalizers": ["freeleaps.com/finalizer"]}
        self.out.kubernetes.put(REGISTRY_SETTINGS, TEAM, {"metadata": metadata, "spec": spec})
        await self.passes(3)
        return self

    async def passes(self, count: int) -> None:
        for _ in range(count):
            await self.loop._run(KEY)
            self.out.clock.advance(SECOND * 5)

    def open_to_all(self, yes: bool) -> None:
        """Somebody changes the repository by hand."""
        held = self.out.hub.held[IMAGES]
        held.repository = replace(held.repository, private=not yes)

    @property
    def drift(self) -> tuple[float, float]:
        found = value(self.metrics, "drift_found_total", kind="RegistrySettings")
        return found, value(self.metrics, "drift_repaired_total", kind="RegistrySettings")

    def cleaned(self, result: str) -> float:
        return value(self.metrics, "cleanup_results_total", kind="HubRepository", result=result)


async def test_what_somebody_changed_is_found_once_and_repaired_once() -> None:
    it = await Operator().ready()
    assert it.drift == (0, 0)
    it.open_to_all(True)
    await it.passes(1)
    assert it.drift == (1, 0)
    await it.passes(3)
    assert it.drift == (1, 1)
    it.open_to_all(True)
    await it.passes(4)
    assert it.drift == (2, 2)


async def test_what_somebody_removed_is_found_once_and_repaired_once() -> None:
    it = await Operator().ready()
    del it.out.hub.held[IMAGES]
    await it.passes(5)
    assert IMAGES in it.out.hub.held
    assert it.drift == (1, 1)


async def test_a_repair_that_fails_again_and_again_is_one_finding_and_no_repair_until_it_is_done() -> None:
    it = await Operator().ready()
    it.open_to_all(True)
    ill = ExternalServiceError("dockerhub: 503", service="dockerhub", maybe_applied=False)
    it.out.line.fail("dockerhub.update_repository", ill, times=3)
    await it.passes(3)
    assert it.drift == (1, 0)
    await it.passes(3)
    assert it.drift == (1, 1)


async def test_what_is_only_reported_is_found_once_and_repaired_by_nobody() -> None:
    it = await Operator().ready(driftPolicy="Report")
    it.open_to_all(True)
    await it.passes(3)
    it.open_to_all(False)
    await it.passes(3)
    assert it.drift == (1, 0)


async def test_a_change_of_the_spec_is_no_drift() -> None:
    it = await Operator().ready()
    obj = it.out.kubernetes.see(REGISTRY_SETTINGS, TEAM, "shop")
    assert obj is not None
    changed = it.out.kubernetes.put(REGISTRY_SETTINGS, TEAM, {**obj, "spec": {**obj["spec"], "private": False}})
    it.loop.noticed(changed, deleted=False)
    await it.passes(4)
    assert it.out.hub.held[IMAGES].repository.private is False
    assert it.drift == (0, 0)


async def test_a_clean_up_counts_its_failure_and_its_end_once() -> None:
    it = await Operator().ready(deletionPolicy="Delete")
    it.loop.noticed(it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop"), deleted=False)
    it.out.line.fail("dockerhub.delete_repository", CredentialsError("dockerhub: 403"), times=2)
    await it.passes(2)
    assert (it.cleaned("cleanup_failed"), it.cleaned("cleaned")) == (1, 0)
    await it.passes(4)  # the last ones over an object that only waits for its finalizer to go
    assert it.out.hub.held == {}
    assert (it.cleaned("cleanup_failed"), it.cleaned("cleaned")) == (1, 1)
    assert it.drift == (0, 0)


async def test_what_the_policy_leaves_is_counted_as_left() -> None:
    it = await Operator().ready(deletionPolicy="Orphan")
    it.loop.noticed(it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop"), deleted=False)
    await it.passes(3)
    assert IMAGES in it.out.hub.held
    assert (it.cleaned("left"), it.cleaned("cleaned")) == (1, 0)


def test_what_was_replaced_and_is_gone_from_the_ledger_was_cleaned() -> None:
    metrics = Metrics()
    tally = Tally(metrics)
    old = {"step": "images", "kind": "HubRepository", "key": "acme/old", "state": "retired", "seen": True}
    never = {"step": "images", "kind": "HubRepository", "key": "acme/never", "state": "pending"}
    looked_at = {"step": "revision", "kind": "GitRevision", "key": "main", "state": "active", "seen": True}
    tally.note(KEY, [old, never, looked_at], Ledger([]).entries, [StepResult("images", StepState.SUCCEEDED)])
    assert value(metrics, "cleanup_results_total", kind="HubRepository", result="cleaned") == 1
    assert value(metrics, "cleanup_results_total", kind="GitRevision", result="cleaned") == 0


def test_what_moves_to_another_place_is_no_drift_and_its_old_one_is_cleaned() -> None:
    def entry(zone: str, state: str, **more: object) -> dict[str, Any]:
        value = {"zone": zone, "host": "shop.dev.example.com"}
        return {
            "step": "dns",
            "kind": "DnsRecord",
            "key": "A shop.dev.example.com",
            "value": value,
            "state": state,
            **more,
        }

    metrics = Metrics()
    tally = Tally(metrics)
    intent = {"op": "create", "at": "2026-01-01T00:00:00Z"}
    was, retired = entry("example.com", "active", seen=True), entry("example.com", "retired", seen=True)
    made, there = entry("dev.example.com", "pending", intent=intent), entry("dev.example.com", "active", seen=True)
    tally.note(KEY, [was], Ledger.load([retired, made]).entries, [StepResult("dns", StepState.RUNNING)])
    tally.note(KEY, [retired, there], Ledger.load([there]).entries, [StepResult("dns", StepState.SUCCEEDED)])
    assert value(metrics, "drift_found_total", kind=KEY.kind) == 0
    assert value(metrics, "cleanup_results_total", kind="DnsRecord", result="cleaned") == 1


async def test_the_age_of_the_oldest_deployment_that_has_not_begun_is_shown() -> None:
    it = Operator()
    it.loop.queue.open()
    waiting = it.out.clock.now()
    it.loop.noticed(record("one", waiting), deleted=False)
    it.out.clock.advance(SECOND * 30)
    it.loop.noticed(record("two", it.out.clock.now()), deleted=False)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 30
    begun = {"applied": [{"step": "revision", "kind": "GitRevision", "key": "main"}]}
    it.loop.noticed(record("one", waiting, version="2", status=begun), deleted=False)
    it.out.clock.advance(SECOND * 5)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 5
    it.loop.noticed(record("two", waiting, version="2"), deleted=True)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 0
    await it.loop.queue.close(timedelta(0))


def unready(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": "Unknown", "reason": reason, "message": ""}]}


HELD: dict[str, dict[str, Any]] = {
    "its project is suspended": {"status": unready("Paused")},
    "its project plans": {"status": unready("Planned")},
    "it is paused itself": {"annotations": {"freeleaps.com/paused": "true"}},
    "it was paused at work": {
        "annotations": {"freeleaps.com/paused": "true"},
        "status": {"applied": [{"step": "revision", "kind": "GitRevision", "key": "main"}]},
    },
}


@pytest.mark.parametrize("why", HELD)
async def test_a_deployment_that_somebody_holds_back_does_not_wait_nor_does_what_is_behind_it(why: str) -> None:
    it = Operator()
    it.loop.queue.open()
    it.loop.noticed(record("one", it.out.clock.now(), **HELD[why]), deleted=False)
    it.out.clock.advance(SECOND * 30)
    behind = record("two", it.out.clock.now(), status=unready("Progressing"))
    it.loop.noticed(behind, deleted=False)
    it.out.clock.advance(timedelta(days=3))
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 0
    elsewhere = record("three", it.out.clock.now())
    elsewhere["spec"]["environment"] = "staging"
    it.loop.noticed(elsewhere, deleted=False)
    it.out.clock.advance(SECOND * 40)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 40
    it.loop.noticed(record("one", it.out.clock.now(), version="2", status=ENDED), deleted=False)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") > 3 * 86400
    await it.loop.queue.close(timedelta(0))


async def test_a_deployment_before_one_that_somebody_holds_back_waits() -> None:
    it = Operator()
    it.loop.queue.open()
    it.loop.noticed(record("one", it.out.clock.now()), deleted=False)
    it.out.clock.advance(SECOND * 30)
    it.loop.noticed(record("two", it.out.clock.now(), annotations={"freeleaps.com/paused": "true"}), deleted=False)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 30
    await it.loop.queue.close(timedelta(0))


async def test_who_does_not_act_shows_no_age_of_deployments_and_keeps_none_that_a_message_makes() -> None:
    it = Operator()
    it.loop.made(record("one", it.out.clock.now()))
    assert it.loop.index.oldest_wait(it.out.clock.now() + SECOND) == 0
    it.loop.queue.open()
    it.loop.made(record("two", it.out.clock.now()))
    it.out.clock.advance(SECOND * 30)
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 30
    await it.loop.stand_down(timedelta(0))
    it.out.clock.advance(timedelta(days=7))
    assert value(it.metrics, "queue_age_seconds", queue="deployments") == 0


ENDED = {"conditions": [{"type": "Finished", "status": "True", "reason": "Cancelled", "message": ""}]}


def record(
    name: str, created: Any, *, version: str = "1", status: Any = None, annotations: Any = None
) -> dict[str, Any]:
    metadata = {"namespace": TEAM, "name": name, "uid": name, "resourceVersion": version}
    metadata |= {"annotations": annotations} if annotations else {}
    return {
        "kind": DEPLOYMENT_RECORD.kind,
        "metadata": {**metadata, "creationTimestamp": created.isoformat()},
        "spec": {"projectRef": {"name": "shop"}, "environment": "production"},
        "status": status or {},
    }


@pytest.mark.parametrize("ends", [True, False])
async def test_the_age_of_the_oldest_object_that_waits_for_its_pass_is_shown(ends: bool) -> None:
    metrics, gate = Metrics(), asyncio.Event()
    it = outside(max_concurrent_reconciles=1)
    loop = Loop(it.world, Nobody(), metrics)
    get = it.kubernetes.get

    async def slow(*arguments: Any) -> Any:
        await gate.wait()
        return await get(*arguments)

    it.kubernetes.get = slow  # type: ignore[method-assign]
    loop.queue.open()
    loop.queue.wake(KEY)
    for _ in range(5):
        await asyncio.sleep(0)
    assert value(metrics, "queue_age_seconds", queue="objects") == 0
    loop.queue.wake(Key("RegistrySettings", TEAM, "other"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert value(metrics, "queue_age_seconds", queue="objects") > 0
    if ends:
        gate.set()
    await loop.queue.close(within=SECOND * 5 if ends else timedelta(0))
    assert value(metrics, "queue_age_seconds", queue="objects") == 0
