"""Our finalizer where Kopf, which drops an event whose patch failed, has not put it on or taken it off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ConflictError
from devops_reconciler.services.kubernetes import REGISTRY_SETTINGS, Object
from tests.unit.world import TEAM

from .test_loop import REGISTRY, SECOND, Watched, about

FINALIZER = "freeleaps.com/finalizer"
PATIENCE = timedelta(seconds=30)
PATCH = "kubernetes.merge_patch RegistrySettings"


@pytest.fixture
async def it() -> AsyncIterator[Watched]:
    made = Watched()
    made.loop.queue.open()
    yield made
    await made.loop.queue.close(timedelta(0))


def unheld(it: Watched) -> Object:
    it.registry()
    return it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"metadata": {"finalizers": ["theirs"]}})


def finalizers(it: Watched) -> list[str]:
    return list(it.see()["metadata"]["finalizers"])


# Put on


async def test_who_is_told_of_without_a_finalizer_has_one_after_a_while(it: Watched) -> None:
    it.loop.noticed(unheld(it), deleted=False)
    assert set(it.loop.queue._timers) == {REGISTRY}, "it is looked at again though nobody tells of it any more"
    it.out.clock.advance(SECOND * 29)
    assert about(await it.one_pass(), SECOND)
    assert finalizers(it) == ["theirs"]
    assert it.out.hub.held == {}
    it.out.clock.advance(SECOND)
    await it.one_pass()
    assert finalizers(it) == ["theirs", FINALIZER]
    assert "acme/shop" in it.out.hub.held


async def test_kopf_is_given_its_time_from_when_the_object_was_seen_first(it: Watched) -> None:
    """A start with many of them: Kopf puts finalizers on a few at a time."""
    unheld(it)
    assert about(await it.one_pass(), PATIENCE)
    assert it.out.line.count(PATCH) == 0


async def test_where_kopf_puts_it_on_there_is_no_other_look_and_no_write_of_ours(it: Watched) -> None:
    it.loop.noticed(unheld(it), deleted=False)
    held = it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"metadata": {"finalizers": [FINALIZER]}})
    it.loop.noticed(held, deleted=False)
    assert (set(it.loop.queue._timers), set(it.loop.queue._running)) == (set(), {REGISTRY})
    it.out.clock.advance(PATIENCE)
    await it.one_pass()
    assert it.out.line.count(PATCH) == 0


async def test_our_own_finalizer_wakes_nobody_when_the_watch_tells_of_it(it: Watched) -> None:
    unheld(it)
    await it.one_pass()
    it.out.clock.advance(PATIENCE)
    it.out.line.fail("kubernetes.patch_status RegistrySettings", ConflictError("changed", status=409))
    await it.one_pass()
    it.loop.noticed(it.see(), deleted=False)
    assert it.loop.queue.planned == 0


async def test_an_object_that_changes_meanwhile_is_read_again(it: Watched) -> None:
    unheld(it)
    await it.one_pass()
    it.out.clock.advance(PATIENCE)

    def interfere(name: str) -> None:
        if name == PATCH:
            it.out.line.before = None
            it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", {"metadata": {"finalizers": ["others"]}})

    it.out.line.before = interfere
    after = await it.one_pass()
    assert after is not None
    assert after < SECOND
    assert finalizers(it) == ["others"]
    await it.one_pass()
    assert finalizers(it) == ["others", FINALIZER]


# Taken off


async def released(it: Watched) -> timedelta | None:
    """An object under deletion of which nothing is left outside; gives when its pass comes again."""
    it.registry()
    await it.one_pass()
    it.out.clock.advance(SECOND * 5)
    patch = {"metadata": {"finalizers": ["theirs", FINALIZER]}}
    it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", patch)
    it.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    after: timedelta | None = timedelta(0)
    while after is not None and after < SECOND * 10:
        after = await it.one_pass()
    return after


async def test_what_was_released_and_is_still_there_is_looked_at_again_and_let_go(it: Watched) -> None:
    assert about(await released(it), PATIENCE)
    assert it.out.line.count(PATCH) == 0
    it.out.clock.advance(PATIENCE)
    assert about(await it.one_pass(), PATIENCE)
    assert finalizers(it) == ["theirs"]
    assert await it.one_pass() is None, "the others are not ours to wait for"
    assert it.out.line.count(PATCH) == 1


async def test_what_is_gone_in_time_is_not_looked_at_again(it: Watched) -> None:
    after = await released(it)
    assert after is not None
    it.loop.queue.wake(REGISTRY, after)
    it.loop.noticed(it.see(), deleted=True)
    assert it.loop.queue.planned == 0


async def test_a_new_object_of_the_name_is_not_taken_for_the_one_that_was_released(it: Watched) -> None:
    await released(it)
    it.out.kubernetes.remove(REGISTRY_SETTINGS, TEAM, "shop")
    it.out.clock.advance(PATIENCE)
    metadata = {"name": "shop", "uid": "uid-of-another", "finalizers": ["theirs"]}
    it.out.kubernetes.put(REGISTRY_SETTINGS, TEAM, {"metadata": metadata, "spec": {}})
    assert about(await it.one_pass(), PATIENCE)
    assert it.out.line.count(PATCH) == 0
