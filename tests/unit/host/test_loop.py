"""The host's loop: what wakes whom, when a pass comes again after trouble, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.host.loop import Loop, jittered
from devops_reconciler.host.queue import Key
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.tracing import Origin
from devops_reconciler.runtime.urgency import Urgency
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, REGISTRY_SETTINGS, Object
from tests.unit.world import TEAM, outside

SECOND = timedelta(seconds=1)
REGISTRY = Key("RegistrySettings", TEAM, "shop")
RECORD = Key("DeploymentRecord", TEAM, "one")
DUE = {"conditions": [{"type": "Finished", "status": "True"}], "expiresAt": "2025-12-31T00:00:00Z"}


class Outbox:
    """A heartbeat sender that keeps what it is offered."""

    def __init__(self) -> None:
        self.offered: dict[str, list[int]] = {}
        self.forgotten: list[str] = []
        self.sent: dict[str, int] = {}

    def offer(self, uid: str, outbox: Sequence[Mapping[str, Any]], _origin: Origin) -> None:
        self.offered[uid] = [entry["payload"]["sequence"] for entry in outbox]

    def confirmed(self, uid: str) -> int:
        return self.sent.get(uid, 0)

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    def forget_all(self) -> None:
        self.forgotten += list(self.offered)


class Watched:
    """A loop over a world in memory, with a queue whose wakes are noted instead of run."""

    def __init__(self, **settings: Any) -> None:
        self.out = outside(**settings)
        self.outbox = Outbox()
        self.metrics = Metrics()
        self.loop = Loop(self.out.world, self.outbox, self.metrics)

    def registry(self, **spec: Any) -> Object:
        metadata = {"name": "shop", "uid": "uid-of-shop", "finalizers": ["freeleaps.com/finalizer"]}
        return self.out.kubernetes.put(REGISTRY_SETTINGS, TEAM, {"metadata": metadata, "spec": {**spec}})

    def record(self) -> Object:
        metadata = {"name": "one", "uid": "uid-of-one", "finalizers": ["freeleaps.com/finalizer"]}
        spec = {"projectRef": {"name": "shop"}, "environment": "production"}
        return self.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, {"metadata": metadata, "spec": spec})

    async def one_pass(self, key: Key = REGISTRY) -> timedelta | None:
        """What the queue would do; gives when to come back."""
        return await self.loop._run(key)

    def count(self, kind: str, outcome: str) -> float:
        text = self.metrics.exposition().decode()
        name = f'devops_reconciler_reconciles_total{{kind="{kind}",outcome="{outcome}"}} '
        return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)

    def see(self) -> Object:
        found = self.out.kubernetes.see(REGISTRY_SETTINGS, TEAM, "shop")
        assert found is not None
        return found


def about(found: timedelta | None, wanted: timedelta) -> bool:
    return found is not None and wanted <= found <= wanted * 1.1


# When a pass comes again


async def test_passes_come_back_until_all_is_as_wanted_and_then_at_the_poll() -> None:
    it = Watched()
    it.registry()
    assert about(await it.one_pass(), timedelta(minutes=5))
    it.out.hub.held.clear()
    it.out.clock.advance(timedelta(minutes=5))
    after = await it.one_pass()
    assert after is not None
    assert after < SECOND
    assert it.count("RegistrySettings", "done") == 1
    it.out.clock.advance(SECOND * 5)
    assert about(await it.one_pass(), timedelta(minutes=5))
    assert it.count("RegistrySettings", "done") == 2


async def test_a_pass_that_finds_all_as_wanted_is_done_however_short_the_poll_interval_is() -> None:
    it = Watched(poll_interval=SECOND * 2)
    it.registry()
    assert about(await it.one_pass(), SECOND * 2)
    assert it.count("RegistrySettings", "done") == 1


async def test_a_lost_save_is_tried_again_almost_at_once_and_writes_nothing_outside() -> None:
    it = Watched()
    it.registry()

    def interfere(name: str) -> None:
        if name == "kubernetes.patch_status RegistrySettings":
            it.out.line.before = None
            it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"metadata": {"labels": {"theirs": "x"}}})

    it.out.line.before = interfere
    after = await it.one_pass()
    assert after is not None
    assert after < timedelta(milliseconds=100)
    assert it.out.hub.held == {}
    assert it.count("RegistrySettings", "conflict") == 1
    await it.one_pass()
    assert "acme/shop" in it.out.hub.held


@pytest.mark.parametrize(("asked", "waits"), [(None, 30), (7, 7), (120, 120)])
async def test_an_api_server_that_is_ill_is_asked_again_when_it_says_or_after_the_default(
    asked: int | None, waits: int
) -> None:
    it = Watched()
    it.registry()
    after = None if asked is None else timedelta(seconds=asked)
    error = ExternalServiceError("time-out", service="kubernetes", after=after)
    it.out.line.fail("kubernetes.get RegistrySettings", error)
    assert about(await it.one_pass(), timedelta(seconds=waits))


async def test_a_fault_of_our_own_is_counted_and_tried_again() -> None:
    it = Watched()
    it.registry()
    it.out.line.fail("kubernetes.get RegistrySettings", KeyError("oops"))
    assert about(await it.one_pass(), timedelta(seconds=60))
    assert 'internal_errors_total{where="loop"} 1.0' in it.metrics.exposition().decode()
    it.out.line.fail("kubernetes.get RegistrySettings", CredentialsError("forbidden"))
    assert about(await it.one_pass(), timedelta(seconds=60))


@pytest.mark.parametrize("call", ["dockerhub.repository", "dockerhub.create_repository"])
async def test_a_fault_of_our_own_in_a_step_is_counted_as_one_that_stops_the_pass(call: str) -> None:
    it = Watched()
    it.registry()
    it.out.line.fail(call, KeyError("oops"))
    assert about(await it.one_pass(), timedelta(seconds=60))
    counted = [line for line in it.metrics.exposition().decode().splitlines() if "internal_errors_total{" in line]
    assert counted == ['devops_reconciler_internal_errors_total{where="step"} 1.0']
    assert it.count("RegistrySettings", "error") == 1
    assert {c["type"]: c["reason"] for c in it.see()["status"]["conditions"]}["Ready"] == "InternalError"


async def test_a_fault_of_our_own_in_a_removal_is_counted_too() -> None:
    it = Watched()
    it.registry()
    await it.one_pass()
    it.see()["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    it.out.line.fail("dockerhub.*", KeyError("oops"))
    await it.one_pass()
    assert 'internal_errors_total{where="step"} 1.0' in it.metrics.exposition().decode()
    assert it.count("RegistrySettings", "error") == 1


async def test_an_ill_vendor_delays_its_own_object_and_says_so() -> None:
    it = Watched()
    it.registry()
    it.out.line.fail("dockerhub.repository", ExternalServiceError("503", service="dockerhub"))
    assert about(await it.one_pass(), timedelta(seconds=30))
    assert it.count("RegistrySettings", "retry") == 1
    types = {c["type"]: c["reason"] for c in it.see()["status"]["conditions"]}
    assert types["VendorDegraded"] == "ExternalServiceError"
    assert types["Reconciling"] == "ProgressingWithRetry"


async def test_an_object_that_is_gone_is_forgotten() -> None:
    it = Watched()
    it.record()
    await it.one_pass(RECORD)
    it.out.kubernetes.remove(DEPLOYMENT_RECORD, TEAM, "one")
    assert await it.one_pass(RECORD) is None
    assert it.outbox.forgotten == ["uid-of-one"]
    assert it.count("DeploymentRecord", "gone") == 1


async def test_a_status_that_cannot_be_read_is_never_taken_for_an_empty_one() -> None:
    it = Watched()
    it.registry()
    it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"status": {"applied": "what is this"}})
    assert about(await it.one_pass(), timedelta(seconds=60))
    assert it.out.hub.held == {}
    assert it.see()["status"]["applied"] == "what is this"


def test_waits_are_lengthened_a_little_never_shortened() -> None:
    waits = [jittered(timedelta(seconds=100)) for _ in range(200)]
    assert min(waits) >= timedelta(seconds=100)
    assert max(waits) <= timedelta(seconds=110)
    assert len(set(waits)) > 100


def finished(it: Watched, ends: timedelta) -> None:
    """The record is a preview that has come to its good end, and expires so much later than now."""
    it.record()
    record = it.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"environment": "pr-7"}})
    moment = "2026-01-01T00:00:00Z"
    good = {"status": "True", "reason": "Succeeded", "lastTransitionTime": moment}
    status = {
        "observedGeneration": record["metadata"]["generation"],
        "conditions": [{"type": kind, **good} for kind in ("Ready", "Finished")],
        "finishedAt": moment,
        "expiresAt": f"{it.out.clock.now() + ends:%Y-%m-%dT%H:%M:%SZ}",
    }
    it.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"status": status})


async def test_an_expiry_comes_at_its_time_whatever_the_wait() -> None:
    it = Watched()
    finished(it, timedelta(hours=10))
    assert {await it.one_pass(RECORD) for _ in range(9)} == {timedelta(hours=10)}


# Heartbeats


async def test_what_the_outbox_of_a_record_holds_is_offered_when_it_is_read_and_when_it_is_saved() -> None:
    it = Watched()
    it.record()
    await it.one_pass(RECORD)
    assert it.outbox.offered["uid-of-one"] == [1]
    await it.one_pass(RECORD)
    assert it.outbox.offered["uid-of-one"][-2:] == [1, 2]
    it.outbox.offered.clear()
    restarted = Watched()
    restarted.out.kubernetes.objects = it.out.kubernetes.objects
    await restarted.one_pass(RECORD)
    assert restarted.outbox.offered["uid-of-one"] == [1, 2]


# Events


async def test_that_a_preview_has_expired_is_one_event_and_its_clean_up_follows_in_its_turn() -> None:
    it = Watched()
    finished(it, timedelta(0))
    it.loop.noticed(it.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one") or {}, deleted=False)
    assert it.loop.index.urgency(RECORD, it.out.clock.now()) is Urgency.DEPLOYMENT
    after = await it.one_pass(RECORD)
    assert after is not None
    assert after < timedelta(milliseconds=100)
    assert it.loop.index.urgency(RECORD, it.out.clock.now()) is Urgency.CHANGE
    await it.one_pass(RECORD)
    assert [(e.type, e.reason) for e in it.out.kubernetes.events] == [
        ("Normal", "Expired"),
        ("Normal", "CleanupVerified"),
    ]


async def test_events_are_posted_on_transitions_only() -> None:
    it = Watched()
    it.out.hub.add("acme", "shop", "theirs")
    it.registry()
    for _ in range(4):
        await it.one_pass()
        it.out.clock.advance(timedelta(minutes=5))
    assert [(e.type, e.reason) for e in it.out.kubernetes.events] == [
        ("Warning", "OwnershipConflict"),
        ("Warning", "OwnershipConflict"),
    ]
    it.out.hub.held.clear()
    for _ in range(4):
        await it.one_pass()
        it.out.clock.advance(timedelta(minutes=5))
    last = it.out.kubernetes.events[-1]
    assert (last.type, last.reason) == ("Normal", "Succeeded")
    count = len(it.out.kubernetes.events)
    await it.one_pass()
    assert len(it.out.kubernetes.events) == count


async def test_what_is_ready_at_once_has_one_event_and_not_that_it_has_begun() -> None:
    it = Watched()
    it.registry()
    await it.one_pass()
    assert [(e.type, e.reason) for e in it.out.kubernetes.events] == [("Normal", "Succeeded")]


async def test_an_event_that_cannot_be_posted_stops_nothing() -> None:
    it = Watched()
    it.registry()
    it.out.line.fail("kubernetes.create_event", CredentialsError("forbidden"), times=99)
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    assert about(await it.one_pass(), timedelta(minutes=5))


# What wakes whom


async def woken(it: Watched) -> set[Key]:
    return {*it.loop.queue._timers, *it.loop.queue._running}


async def test_our_own_save_does_not_wake_the_object_and_anothers_does() -> None:
    it = Watched()
    it.registry()
    await it.one_pass()
    it.loop.queue.open()
    it.loop.noticed(it.see(), deleted=False)
    assert await woken(it) == set()
    theirs = it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"metadata": {"labels": {"theirs": "x"}}})
    it.loop.noticed(theirs, deleted=False)
    assert await woken(it) == {REGISTRY}
    await it.loop.queue.close(within=timedelta(0))


async def test_the_end_of_an_object_does_not_forget_its_successor_of_the_same_name() -> None:
    """Kopf works on objects side by side: the new one may be told of before the end of the old one is."""
    it = Watched()
    it.loop.queue.open()
    old = it.registry()
    it.loop.noticed(old, deleted=False)
    metadata = {**old["metadata"], "uid": "uid-of-the-new-one", "resourceVersion": "900"}
    it.loop.noticed({**old, "metadata": metadata}, deleted=False)
    it.loop.queue.wake(REGISTRY, timedelta(minutes=5))
    it.loop.noticed(old, deleted=True)
    assert REGISTRY in it.loop.queue._timers
    it.loop.noticed({**old, "metadata": metadata}, deleted=True)
    await it.loop.queue.close(within=SECOND)
    assert it.loop.queue.planned == 0


async def test_a_pass_that_finds_nothing_does_not_forget_who_came_to_be_meanwhile() -> None:
    it = Watched()
    it.loop.queue.open()
    old = it.registry()
    it.loop.noticed(old, deleted=False)
    it.out.kubernetes.remove(REGISTRY_SETTINGS, TEAM, "shop")
    answered, asked = asyncio.Event(), asyncio.Event()

    async def slowly(name: str) -> None:
        if name == "kubernetes.get RegistrySettings":
            asked.set()
            await answered.wait()

    it.out.line.wire = slowly
    await asked.wait()
    metadata = {**old["metadata"], "uid": "uid-of-the-new-one", "resourceVersion": "900"}
    it.loop.noticed({**old, "metadata": metadata}, deleted=False)
    first = it.loop.queue._running[REGISTRY]
    answered.set()
    await first
    assert await woken(it) == {REGISTRY}
    it.loop.noticed(old, deleted=True)
    assert await woken(it) == {REGISTRY}
    await it.loop.queue.close(within=timedelta(0))


async def test_a_change_that_is_told_twice_wakes_once() -> None:
    it = Watched()
    obj = it.registry()
    it.loop.queue.open()
    it.loop.noticed(obj, deleted=False)
    await it.loop.queue.close(within=SECOND)
    it.loop.queue.open()
    it.loop.noticed(obj, deleted=False)
    assert await woken(it) == set()
    await it.loop.queue.close(within=timedelta(0))


async def test_a_finished_record_wakes_its_project_and_what_waits_behind_it() -> None:
    it = Watched()
    it.loop.queue.open()
    waiting = {"kind": "DeploymentRecord", "metadata": {"name": "two", "namespace": TEAM, "resourceVersion": "1"}}
    waiting["spec"] = {"projectRef": {"name": "shop"}}
    it.loop.index.note(waiting, deleted=False)
    obj = it.record()
    it.loop.noticed({**obj, "status": {"conditions": [{"type": "Finished", "status": "True"}]}}, deleted=False)
    assert await woken(it) == {
        RECORD,
        Key("DeploymentRecord", TEAM, "two"),
        Key("DevOpsProject", TEAM, "shop"),
    }
    await it.loop.queue.close(within=timedelta(0))


async def test_a_change_in_argo_cd_wakes_the_record_that_waits_for_it() -> None:
    it = Watched()
    it.loop.queue.open()
    it.loop.index.note(it.record(), deleted=False)
    it.loop.application_changed("shop", "pr-7")
    assert await woken(it) == set()
    it.loop.application_changed("shop", "production")
    assert await woken(it) == {RECORD}
    await it.loop.queue.close(within=timedelta(0))


async def test_previews_whose_time_is_over_are_woken() -> None:
    it = Watched()
    it.loop.queue.open()
    it.loop.index.note({**it.record(), "status": DUE}, deleted=False)
    assert it.loop.expire_due() == 1
    assert await woken(it) == {RECORD}
    await it.loop.queue.close(within=timedelta(0))


async def test_a_preview_that_waits_for_its_turn_to_expire_is_left_alone_until_then() -> None:
    it = Watched(expiry_rate=1)
    it.loop.queue.open()
    record = it.record()
    it.loop.noticed({**record, "status": DUE}, deleted=False)
    assert it.out.world.expiries.wait("another") == timedelta(0)
    assert it.out.world.expiries.wait(record["metadata"]["uid"]) == SECOND * 60
    assert it.loop.expire_due() == 0
    it.out.clock.advance(SECOND * 60)
    assert it.loop.expire_due() == 1
    await it.loop.queue.close(within=timedelta(0))
