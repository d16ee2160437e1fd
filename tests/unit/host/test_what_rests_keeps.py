"""What is kept in memory for an object at rest: as little as can be, since there are thousands of them."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from contextvars import ContextVar
from datetime import timedelta

from devops_reconciler.api.names import mark_for
from devops_reconciler.host.bindings import registry_of
from devops_reconciler.host.index import key_of
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes_access import ClusterAccess
from devops_reconciler.services.kubernetes_session import OpenWatches
from tests.unit.host.home import FAMILY, JENKINS, POLL, PROJECT, REGISTRY, Home, at_rest, reads
from tests.unit.host.test_queue import LONG, ONE, opened, settle
from tests.unit.kinds.life import Life
from tests.unit.world import CLUSTER, TEAM

_handling: ContextVar[Whole | None] = ContextVar("handling", default=None)


class Whole:
    """Stands for what Kopf holds while it handles an event: the object as told, and as it was before."""


async def test_a_key_that_rests_keeps_nothing_of_who_woke_it() -> None:
    """Kopf's handlers run in a context that has the whole object, and a pass plans the next one."""
    async with opened() as (queue, passes):
        seen: list[Whole | None] = []

        async def handle(after: timedelta) -> weakref.ref[Whole]:
            _handling.set(whole := Whole())
            queue.wake(ONE, after)
            return weakref.ref(whole)

        def gives(_: object) -> timedelta:
            seen.append(_handling.get())
            return LONG

        passes.gives = gives
        told = await asyncio.create_task(handle(timedelta(0)))
        await passes.until(lambda: passes.ended == [ONE])
        await settle(queue)
        gc.collect()
        assert queue.planned == 1
        assert (told(), seen) == (None, [None])
        queue.forget(ONE)
        later = await asyncio.create_task(handle(LONG))
        await settle(queue)
        gc.collect()
        assert queue.planned == 1
        assert later() is None


def copies(it: Home) -> int:
    return sum(it.loop._copies.knows(REGISTRY._replace(kind=kind)) for kind in FAMILY)


async def test_copies_are_kept_only_while_passes_run() -> None:
    it = Home()
    it.change(REGISTRY, {"spec": {"suspend": True}})
    assert copies(it) == 0, "a standby"
    obj = it.change(REGISTRY, {"spec": {"suspend": False}})
    await it.loop.take_over()
    await it.loop.queue.close(timedelta(0))
    assert reads(await it.poll(REGISTRY))[0] == "kubernetes.get RegistrySettings"
    await it.tell({**obj, "metadata": {**obj["metadata"], "resourceVersion": "9000"}})
    assert copies(it) == 1
    await it.loop.stand_down(POLL)
    assert copies(it) == 0, "the term is over"


async def test_what_was_told_between_two_terms_is_read_afresh() -> None:
    it = await at_rest()
    it.change(REGISTRY, {"spec": {"suspend": True}})
    assert copies(it) == len(FAMILY) - 1
    assert "kubernetes.get RegistrySettings" in await it.poll(REGISTRY)
    assert it.life.reason("shop", "Suspended", "RegistrySettings") == "True/Paused"


def test_kopf_has_neither_timers_nor_daemons() -> None:
    """It would keep a task and the whole object for each; and a timer beside our own comes too early for a poll."""
    registry = registry_of(Home().loop, ClusterAccess("https://api.test"), OpenWatches())
    assert list(registry._spawning._handlers) == []


def test_kopf_has_one_handler_for_all_events_and_one_for_deletions() -> None:
    """Each creation and update that it has to tell apart costs it three times as long as an event."""
    registry = registry_of(Home().loop, ClusterAccess("https://api.test"), OpenWatches())
    assert [handler.id for handler in registry._watching._handlers] == ["changed"] * len(KINDS)
    assert [handler.id for handler in registry._changing._handlers] == ["deleted"] * len(KINDS)


def test_keys_of_one_object_share_their_words() -> None:
    """They are kept in timers, copies, and what was told, and each reading brings strings of its own."""
    text = json.dumps({"kind": "ArgoSettings", "metadata": {"namespace": "team-a", "name": "shop"}})
    one, other = (key_of(json.loads(text)) for _ in range(2))
    assert all(word is same for word, same in zip(one, other, strict=True))


async def test_nothing_is_kept_of_a_project_file_whose_settings_are_gone() -> None:
    it = await at_rest()
    obj = it.change(JENKINS, {"metadata": {"annotations": {"x": "y"}}})
    await it.poll(JENKINS)
    assert len(it.out.world.project_files._last) == 1
    it.loop.noticed(obj, deleted=True)
    assert it.out.world.project_files._last == {}


async def test_nothing_is_kept_of_where_a_project_lived_that_is_gone() -> None:
    it = await at_rest(Life(reconciler_namespaces=(TEAM, "team-b")))
    obj = it.change(PROJECT, {"metadata": {"annotations": {"x": "y"}}})
    await it.poll()
    assert it.out.world.homes == {mark_for(CLUSTER, obj): TEAM}
    it.loop.noticed(obj, deleted=True)
    await it.poll(JENKINS)
    assert it.out.world.homes == {}, "its children are met without it, and are not noted by its mark"
