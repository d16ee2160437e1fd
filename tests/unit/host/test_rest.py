"""What rests costs no read; what does anything reads first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.host.loop import Loop
from devops_reconciler.kinds import KINDS
from devops_reconciler.runtime.clock import Instant
from devops_reconciler.runtime.fence import Fence
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from tests.unit.world import OTHER, TEAM

from .home import ARGO, FAMILY, JENKINS, PROJECT, REGISTRY, Home, at_rest, reads
from .test_loop import Outbox


class Rash:
    """Docker Hub, to whose client a look at the repository is a reason to write, with nothing saved before."""

    def __init__(self, hub: Any, fence: Fence) -> None:
        self._hub, self._fence = hub, fence
        self.written: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        if name == "repository":
            self.written.append(self._fence.is_open)
        return getattr(self._hub, name)


# What rests


async def test_a_look_at_what_rests_reads_none_of_its_objects_one_by_one() -> None:
    it = await at_rest()
    writes = len(it.out.kubernetes.writes)
    for _ in range(5):
        calls = await it.poll()
        assert reads(calls) == ["kubernetes.list Ingress"]
        assert {"dockerhub.repository", "jenkins.item", "argocd.application"} <= set(calls), "it looks outside"
    assert len(it.out.kubernetes.writes) == writes


async def test_the_first_pass_of_a_term_reads_also_what_was_told_before() -> None:
    it = await at_rest()
    await it.loop.take_over()
    await it.loop.queue.close(timedelta(0))
    assert set(reads(await it.poll())) >= {f"kubernetes.get {kind}" for kind in FAMILY}


async def test_what_a_look_has_to_read_is_known_to_the_next() -> None:
    it = await at_rest()
    await it.loop.take_over()
    await it.loop.queue.close(timedelta(0))
    await it.poll(PROJECT)
    assert sorted(reads(await it.poll(PROJECT))) == sorted(f"kubernetes.get {kind}" for kind in FAMILY[1:])
    assert reads(await it.poll(PROJECT)) == []


async def test_what_is_not_ready_is_read_at_each_pass() -> None:
    it = await at_rest()
    it.out.hub.held.clear()
    it.out.hub.add("acme", "shop", "theirs")
    for _ in range(3):
        assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)
    assert it.life.reason("shop", "Ready", "RegistrySettings") == "False/OwnershipConflict"


async def test_what_is_only_planned_is_read_at_each_pass() -> None:
    it = await at_rest()
    it.change(REGISTRY, {"spec": {"mode": "Plan"}})
    for _ in range(3):
        assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)


# What acts has read


async def test_what_would_be_written_is_left_to_a_pass_that_reads_first() -> None:
    it = await at_rest()
    it.out.hub.held.clear()
    calls = await it.poll(REGISTRY)
    read, saved = (
        calls.index("kubernetes.get RegistrySettings"),
        calls.index("kubernetes.patch_status RegistrySettings"),
    )
    made = calls.index("dockerhub.create_repository")
    assert read < saved < made
    assert "dockerhub.repository" in calls[read:saved], "what it acts on was looked at after the read"


async def test_a_copy_that_is_old_leads_to_no_act() -> None:
    """The watch is late: the object was paused, and what it would set right on its copy is left as it is."""
    it = await at_rest()
    it.change(REGISTRY, {"spec": {"suspend": True}}, told=False)
    it.out.hub.held.clear()
    calls = await it.poll(REGISTRY)
    assert "kubernetes.get RegistrySettings" in calls
    assert "dockerhub.create_repository" not in calls
    assert it.life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"


async def test_an_old_copy_of_another_object_leads_to_no_act() -> None:
    """The project's copy of its child lacks what the child has by now."""
    it = await at_rest()
    there = it.life.see("shop", "RegistrySettings")
    it.change(REGISTRY, {"spec": {"private": not there["spec"].get("private", True)}})
    it.change(REGISTRY, {"spec": there["spec"]}, told=False)
    calls = await it.poll(PROJECT)
    assert "kubernetes.get DevOpsProject" in calls
    assert not any(call.startswith("kubernetes.apply") for call in calls)


async def test_a_change_that_was_told_is_read_afresh() -> None:
    it = await at_rest()
    it.change(REGISTRY, {"spec": {"suspend": True}})
    assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)
    assert it.life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"


async def test_after_a_lost_save_the_object_is_read_afresh() -> None:
    it = await at_rest()
    it.out.hub.held.clear()
    it.out.line.fail("kubernetes.patch_status RegistrySettings", ConflictError("changed", status=409))
    await it.poll(REGISTRY)
    calls = await it.poll(REGISTRY)
    assert calls[0] == "kubernetes.get RegistrySettings"
    assert "acme/shop" in it.out.hub.held


async def test_the_watch_that_lags_behind_our_own_save_is_ignored() -> None:
    it = await at_rest()
    old = it.life.see("shop", "RegistrySettings")
    it.out.hub.held.clear()
    await it.poll(REGISTRY)
    saved = it.life.see("shop", "RegistrySettings")
    assert saved != old
    await it.tell(old)
    assert it.loop._copies.get(REGISTRY) == saved
    await it.poll(REGISTRY)
    await it.poll(REGISTRY)
    assert reads(await it.poll(REGISTRY)) == []
    await it.tell(old)
    assert reads(await it.poll(REGISTRY)) == []
    assert it.status(REGISTRY)["conditions"] == it.life.status("shop", "RegistrySettings")["conditions"]


async def test_a_change_that_is_told_during_a_look_rouses_the_object() -> None:
    it = await at_rest()

    def interfere(name: str) -> None:
        if name == "dockerhub.repository":
            it.out.line.before = None
            it.change(REGISTRY, {"metadata": {"labels": {"theirs": "x"}}})

    it.out.line.before = interfere
    assert reads(await it.poll(REGISTRY)) == []
    assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)


# What is gone


async def test_a_deletion_that_was_told_is_read_before_anything_is_removed() -> None:
    it = await at_rest(deletionPolicy="Delete")
    obj = it.out.kubernetes.mark_deleted(KINDS[REGISTRY.kind].kind, TEAM, "shop")
    it.loop.noticed(obj, deleted=False)
    calls = await it.poll(REGISTRY)
    assert calls[0] == "kubernetes.get RegistrySettings"


async def test_a_deletion_that_is_paused_is_read_at_each_pass() -> None:
    """While Kopf waits for a deletion, it does not tell when the pause is over."""
    it = await at_rest(deletionPolicy="Delete")
    it.change(REGISTRY, {"metadata": {"annotations": {"freeleaps.com/paused": "all"}}})
    it.loop.noticed(it.out.kubernetes.mark_deleted(KINDS[REGISTRY.kind].kind, TEAM, "shop"), deleted=False)
    for _ in range(3):
        assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)
    assert it.life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"


async def test_an_object_that_is_gone_unseen_is_proven_gone_by_a_read_and_nothing_is_done_for_it() -> None:
    it = await at_rest()
    it.out.kubernetes.remove(KINDS[REGISTRY.kind].kind, TEAM, "shop")
    assert reads(await it.poll(REGISTRY)) == []
    it.out.hub.held.clear()
    assert reads(await it.poll(REGISTRY)) == ["kubernetes.get RegistrySettings"]
    assert it.out.hub.held == {}
    assert not it.loop._copies.knows(REGISTRY)


async def test_a_deletion_that_only_the_deletion_handler_tells_of_is_carried_out() -> None:
    it = await at_rest(components={"registry": {"deletionPolicy": "Delete"}})
    obj = it.out.kubernetes.mark_deleted(KINDS[REGISTRY.kind].kind, TEAM, "shop")
    it.loop.queue.open()
    async with asyncio.timeout(10):
        await it.loop.wait_released(obj, timedelta(minutes=10))
    await it.loop.queue.close(within=timedelta(seconds=1))
    assert it.out.hub.held == {}


# What the watch has missed


async def test_every_hour_one_list_of_a_kind_says_whether_its_copies_are_still_true() -> None:
    it = await at_rest()
    calls = [call for _ in range(13) for call in await it.poll()]
    listed = [call for call in reads(calls) if call != "kubernetes.list Ingress"]
    assert sorted(listed) == sorted(f"kubernetes.list {kind}" for kind in FAMILY)


async def test_looks_at_the_same_time_share_the_list() -> None:
    it = await at_rest()
    it.out.clock.advance(timedelta(hours=1))
    it.out.line.wire = lambda _: asyncio.sleep(0)
    mark = len(it.out.line.calls)
    await asyncio.gather(*(it.loop._run(key) for key in (PROJECT, REGISTRY, JENKINS, ARGO)))
    listed = [call for call in it.out.line.since(mark) if call.startswith("kubernetes.list")]
    assert sorted(listed) == sorted(f"kubernetes.list {kind}" for kind in FAMILY)


async def test_a_change_that_the_watch_has_missed_is_found_within_the_hour() -> None:
    it = await at_rest()
    it.change(REGISTRY, {"spec": {"suspend": True}}, told=False)
    for _ in range(12):
        await it.poll(REGISTRY)
    assert it.life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"


async def test_a_list_that_fails_proves_nothing() -> None:
    it = await at_rest()
    it.out.clock.advance(timedelta(hours=1))
    error = ExternalServiceError("time-out", service="kubernetes")
    it.out.line.fail("kubernetes.list RegistrySettings", error)
    assert reads(await it.poll(REGISTRY)) == ["kubernetes.list RegistrySettings"]
    assert reads(await it.poll(REGISTRY)) == ["kubernetes.list RegistrySettings"]
    assert reads(await it.poll(REGISTRY)) == []


# Records


def finished(it: Home, name: str, second: int) -> Object:
    """A deployment that has failed."""
    it.life.record(name)
    done = {"type": "Finished", "status": "True", "reason": "Failed", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"conditions": [done], "finishedAt": f"2026-01-01T00:00:0{second}Z"}
    return it.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"status": status})


async def test_records_that_could_not_be_pruned_while_a_child_was_at_work_are_pruned_after() -> None:
    it = Home(historyLimit=1)
    finished(it, "d-1", 1)
    it.out.clock.advance(timedelta(seconds=1))
    finished(it, "d-2", 2)
    ready = it.status(REGISTRY)["conditions"]
    unsure = [{**each, "status": "Unknown", "reason": "Progressing"} for each in ready if each["type"] == "Ready"]
    it.change(REGISTRY, {"status": {"conditions": unsure}})
    await it.loop._run(PROJECT)
    assert not it.life.is_deleted("d-1")
    it.change(REGISTRY, {"status": {"conditions": ready}})
    await it.poll(PROJECT)
    assert it.life.is_deleted("d-1")


async def test_a_finished_record_has_its_project_read_and_the_old_ones_pruned() -> None:
    it = await at_rest(historyLimit=1)
    assert reads(await it.poll(PROJECT)) == []
    for number in (1, 2):
        it.loop.noticed(finished(it, f"d-{number}", number), deleted=False)
        it.out.clock.advance(timedelta(seconds=2))
    calls = await it.poll(PROJECT)
    assert "kubernetes.get DevOpsProject" in calls
    assert calls.count("kubernetes.delete DeploymentRecord") == 1
    await it.poll(PROJECT)
    assert reads(await it.poll(PROJECT)) == []


async def test_a_project_whose_child_is_at_work_says_so() -> None:
    it = await at_rest()
    conditions = [
        {**c, "status": "Unknown", "reason": "Progressing"} if c["type"] == "Ready" else c
        for c in it.status(REGISTRY)["conditions"]
    ]
    it.change(REGISTRY, {"status": {"conditions": conditions}})
    it.out.clock.advance(timedelta(minutes=1))
    await it.poll(PROJECT)
    ready = next(c for c in it.life.status("shop", DEVOPS_PROJECT.kind)["conditions"] if c["type"] == "Ready")
    assert ready["status"] != "True"


async def test_a_look_that_would_write_outside_without_saving_is_stopped_and_a_pass_takes_its_place() -> None:
    it = await at_rest()
    fence = Fence(it.out.clock)
    fence.open_for(timedelta.max, Instant.of(it.out.clock))
    rash = Rash(it.out.world.hub, fence)
    it.loop = Loop(replace(it.out.world, hub=cast(Any, rash)), Outbox(), Metrics())
    await it.rest()
    del rash.written[:]
    assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)
    assert rash.written == [False, True], "the look may not, the pass that has read everything may"


async def test_a_look_at_what_shares_its_repository_with_another_project_needs_no_list() -> None:
    it = await at_rest()
    git = it.life.see("shop", "ArgoSettings")["spec"]["git"]
    other = {"metadata": {"name": "other", "uid": "uid-of-another"}, "spec": {"git": git}}
    it.out.kubernetes.put(KINDS["ArgoSettings"].kind, TEAM, other)
    it.out.argocd.repos[0]["name"] = OTHER
    assert "kubernetes.list ArgoSettings" in await it.poll(ARGO)
    assert set(reads(await it.poll(ARGO))) <= {"kubernetes.get ArgoSettings"}, "the other one is read once"
    for _ in range(3):
        assert reads(await it.poll(ARGO)) == []
    assert it.life.reason("shop", "Ready", "ArgoSettings") == "True/Succeeded"
