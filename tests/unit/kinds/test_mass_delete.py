"""An empty or odd answer deletes nothing: an absence is proven before anything is removed because of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Entry, EntryState, Ledger
from devops_reconciler.engine.pipeline import Pipeline
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.kinds import KINDS
from devops_reconciler.kinds.project_reconcile import PRUNE_AT_ONCE
from devops_reconciler.resources.argo_repository import ArgoRepositoryRemoval
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import ARGO_SETTINGS, DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.host.test_loop import Outbox
from tests.unit.world import GIT_URL, ME, TEAM

from .life import Life

PREVIEW = "pr-1"


async def deployed(*environments: str, **spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    for environment in environments:
        life.record(environment, environment=environment)
        await life.live(environment)
    return life


def outside(life: Life) -> tuple[Any, ...]:
    """All that is outside, to be compared."""
    tags = {path: sorted(held.tags) for path, held in life.out.hub.held.items()}
    zones = {zone: sorted((r.type, r.name, r.data) for r in found) for zone, found in life.out.godaddy.zones.items()}
    return sorted(life.out.argocd.apps), sorted(life.out.jenkins.configs), tags, zones


def names(life: Life, kind: str) -> list[str]:
    return sorted(name for of, _, name in life.out.kubernetes.objects if of == kind)


def wipe(life: Life, kind: str, name: str, **status: Any) -> None:
    """As a restore does that forgets the status."""
    life.out.kubernetes.objects[kind, TEAM, name]["status"] = {"observedGeneration": -1, **status}


# The history


async def test_a_project_that_has_lost_its_status_prunes_nothing_that_may_run() -> None:
    life = await deployed("production", historyLimit=1)
    for number in range(3):
        life.out.jenkins.result = "FAILURE"
        life.record(f"failed-{number}")
        await life.live(f"failed-{number}")
    wipe(life, "DevOpsProject", "shop")
    before = outside(life)
    for _ in range(5):
        await life.turn("shop", "DevOpsProject")
        life.out.clock.advance(timedelta(minutes=5))
    assert names(life, "DeploymentRecord") == ["failed-0", "failed-1", "failed-2", "production"]
    assert not any(life.is_deleted(name) for name in names(life, "DeploymentRecord"))
    assert outside(life) == before


async def test_a_sweep_of_the_history_takes_a_few_at_a_time() -> None:
    life = await deployed("production", historyLimit=100)
    life.out.jenkins.result = "FAILURE"
    for number in range(PRUNE_AT_ONCE + 5):
        life.record(f"failed-{number:02}")
        await life.live(f"failed-{number:02}")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"historyLimit": 1}})
    while not any(life.is_deleted(name) for name in names(life, "DeploymentRecord")):
        await life.turn("shop", "DevOpsProject")
        life.out.clock.advance(timedelta(seconds=5))
    assert [n for n in names(life, "DeploymentRecord") if life.is_deleted(n)] == [
        f"failed-{number:02}" for number in range(PRUNE_AT_ONCE)
    ]


async def test_the_image_of_production_stays_when_the_project_has_forgotten_what_runs() -> None:
    life = await deployed("production", components={"registry": {"deletionPolicy": "Delete"}})
    wipe(life, "DevOpsProject", "shop")
    before = outside(life)
    assert before[2] != {"acme/shop": []}
    await life.delete("production")
    assert outside(life) == before


# A project's own deletion


async def test_records_that_the_list_by_label_does_not_show_still_go_before_the_children() -> None:
    life = await deployed("production", PREVIEW, deletionPolicy="Delete")
    for name in ("production", PREVIEW):
        life.out.kubernetes.objects["DeploymentRecord", TEAM, name]["metadata"]["labels"] = {}
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.turn("shop", "DevOpsProject")
    assert life.is_deleted(PREVIEW)
    assert not life.is_deleted("shop", "ArgoSettings")
    assert not life.is_deleted("shop", "IngressResource")


# A preview's clean-up


async def test_without_its_project_an_older_record_takes_nothing_down_that_a_later_one_deployed() -> None:
    life = await deployed(PREVIEW)
    life.out.clock.advance(timedelta(minutes=1))
    life.record("later", environment=PREVIEW)
    await life.live("later")
    apps = sorted(life.out.argocd.apps)
    life.out.kubernetes.remove(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete(PREVIEW)
    assert sorted(life.out.argocd.apps) == apps
    await life.delete("later")
    assert "shop-pr-1" not in life.out.argocd.apps


async def test_a_list_of_deployments_without_ourselves_is_not_believed() -> None:
    life = await deployed(PREVIEW)
    life.out.kubernetes.remove(DEVOPS_PROJECT, TEAM, "shop")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, PREVIEW)
    before, real = outside(life), life.out.kubernetes.list

    async def empty(*args: Any, **more: Any) -> list[Any]:
        return []

    life.out.kubernetes.list = empty  # type: ignore[method-assign]
    with pytest.raises(ExternalServiceError, match="nothing is removed on such an answer"):
        await life.turn(PREVIEW)
    assert outside(life) == before
    life.out.kubernetes.list = real  # type: ignore[method-assign]
    await life.live(PREVIEW)
    assert "shop-pr-1" not in life.out.argocd.apps


async def test_a_deployment_that_does_not_show_in_its_own_queue_waits() -> None:
    life = await deployed("production")
    life.record("next")
    real = life.out.kubernetes.list

    async def empty(*args: Any, **more: Any) -> list[Any]:
        return []

    life.out.kubernetes.list = empty  # type: ignore[method-assign]
    for _ in range(4):
        await life.turn("next")
        life.out.clock.advance(timedelta(seconds=5))
    assert len(life.out.jenkins.triggers) == 1
    life.out.kubernetes.list = real  # type: ignore[method-assign]
    await life.live("next")
    assert len(life.out.jenkins.triggers) == 2


# What is shared


async def test_a_shared_repository_stays_when_the_list_of_its_users_is_not_to_be_believed() -> None:
    life = await deployed()
    found = ArgoRepositoryRemoval(url=GIT_URL, username="reader", password_version="1", user=f"{TEAM}/shop")
    life.out.kubernetes.mark_deleted(ARGO_SETTINGS, TEAM, "shop")
    assert (await found.observe(life.out.world, ME, None)).exists
    life.out.kubernetes.remove(ARGO_SETTINGS, TEAM, "shop")
    with pytest.raises(ExternalServiceError, match=f"lacks {TEAM}/shop"):
        await found.observe(life.out.world, ME, None)


async def test_a_set_of_dns_records_that_hides_a_foreign_value_is_neither_replaced_nor_deleted() -> None:
    life = await deployed()
    foreign = Record("A", "shop", "198.51.100.9", 600)
    life.out.godaddy.zones["example.com"].append(foreign)
    real = life.out.godaddy.records

    async def ours_alone(zone: str, type: str, name: str) -> tuple[Record, ...]:
        return tuple(record for record in await real(zone, type, name) if record != foreign)

    life.out.godaddy.records = ours_alone  # type: ignore[method-assign]
    life.out.kubernetes.mark_deleted(KINDS["IngressResource"].kind, TEAM, "shop")
    for _ in range(4):
        await life.turn("shop", "IngressResource")
        life.out.clock.advance(timedelta(seconds=5))
    assert foreign in life.out.godaddy.zones["example.com"]
    assert life.out.line.count("godaddy.delete") == 0
    life.out.godaddy.records = real  # type: ignore[method-assign]
    await life.live("shop", kind="IngressResource")
    assert life.out.godaddy.zones["example.com"] == [foreign]


# A pipeline without steps, and an object that is there and not there


async def test_a_pipeline_without_steps_retires_nothing() -> None:
    out = (await deployed()).out
    ledger = Ledger([Entry(step="folder", kind="JenkinsFolder", key="shop", state=EntryState.ACTIVE, seen=True)])

    async def saved() -> None:
        """A status store that always takes it."""

    await Pipeline(out.world, out.clock, ME).advance((), ledger, saved)
    assert [entry.state for entry in ledger.entries] == [EntryState.ACTIVE]


async def test_an_object_that_is_absent_by_name_and_listed_keeps_its_finalizer() -> None:
    life = await deployed()
    loop = Loop(life.out.world, Outbox(), Metrics())
    key = Key("RegistrySettings", TEAM, "shop")
    obj = life.out.kubernetes.mark_deleted(KINDS["RegistrySettings"].kind, TEAM, "shop")
    real = life.out.kubernetes.get

    async def absent(*args: Any) -> None:
        return None

    waiting = asyncio.create_task(loop.wait_released(obj, timedelta(minutes=10)))
    await asyncio.sleep(0)
    life.out.kubernetes.get = absent  # type: ignore[method-assign]
    assert await loop._run(key) is not None
    assert not waiting.done()
    life.out.kubernetes.remove(KINDS["RegistrySettings"].kind, TEAM, "shop")
    assert await loop._run(key) is None
    async with asyncio.timeout(10):
        await waiting
    life.out.kubernetes.get = real  # type: ignore[method-assign]


async def test_an_empty_answer_of_the_api_server_at_the_start_deletes_nothing() -> None:
    life = await deployed("production", PREVIEW)
    before, kept = outside(life), dict(life.out.kubernetes.objects)
    loop = Loop(life.out.world, Outbox(), Metrics())
    real = life.out.kubernetes.list

    async def empty(*args: Any, **more: Any) -> list[Any]:
        return []

    life.out.kubernetes.list = empty  # type: ignore[method-assign]
    await loop.take_over()
    assert loop.queue.planned == 0
    await loop.stand_down(timedelta(seconds=1))
    life.out.kubernetes.list = real  # type: ignore[method-assign]
    assert (outside(life), dict(life.out.kubernetes.objects)) == (before, kept)


async def test_a_project_file_that_vanishes_removes_nothing() -> None:
    life = Life()
    life.out.git.commit(GIT_URL, "main", "a" * 40, b"argo: {path: deploy}\njenkins: {scriptPath: ci/Jenkinsfile}\n")
    life.project()
    life.set_up()
    before = outside(life)
    deletions = life.out.line.count("*.delete*")
    life.out.git.commit(GIT_URL, "main", "b" * 40)
    for _ in range(4):
        for kind in ("JenkinsSettings", "ArgoSettings", "DevOpsProject"):
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(minutes=6))
    assert outside(life) == before
    assert life.out.line.count("*.delete*") == deletions


async def test_children_that_have_lost_their_status_take_back_what_is_there() -> None:
    life = await deployed("production")
    before = outside(life)
    for kind in ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
        wipe(life, kind, "shop")
    deletions = life.out.line.count("*.delete*")
    for _ in range(6):
        for kind in ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(seconds=60))
    assert outside(life) == before
    assert life.out.line.count("*.delete*") == deletions
    assert life.status("shop", "IngressResource")["applied"]
