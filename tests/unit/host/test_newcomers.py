"""The first pass over a new object takes it as it was told, and reads it where that is no longer true."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.host.newcomers import MOST, Newcomers
from devops_reconciler.host.queue import Key
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, REGISTRY_SETTINGS, Object
from tests.unit.world import TEAM

from .test_loop import RECORD, REGISTRY, Watched

NOT_YET = timedelta(hours=1)


def told(it: Watched, obj: Object) -> None:
    """The watch tells of it while passes may begin; the one that it wakes waits for the test."""
    it.loop.queue.open()
    it.loop.noticed(obj, deleted=False)
    it.loop.queue.forget(REGISTRY)


def reads(it: Watched) -> int:
    return it.out.line.count("kubernetes.get RegistrySettings")


async def test_the_first_pass_over_what_was_told_reads_nothing() -> None:
    it = Watched()
    told(it, it.registry())
    await it.one_pass()
    assert reads(it) == 0
    assert "acme/shop" in it.out.hub.held
    it.out.clock.advance(timedelta(minutes=5))
    await it.one_pass()
    assert reads(it) == 1


@pytest.mark.parametrize("change", [{"spec": {"suspend": True}}, None], ids=["changed", "gone"])
async def test_what_is_no_longer_as_it_was_told_is_read_before_anything_is_made(change: dict[str, Any] | None) -> None:
    it = Watched()
    told(it, it.registry())
    if change is None:
        del it.out.kubernetes.objects[REGISTRY_SETTINGS.kind, TEAM, "shop"]
    else:
        it.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "shop", change)
    after = await it.one_pass()
    assert after is not None
    assert after < timedelta(milliseconds=100)
    await it.one_pass()
    assert reads(it) == 1
    assert it.out.hub.held == {}


async def test_a_record_is_accepted_without_a_read() -> None:
    it = Watched()
    told(it, it.record())
    assert await it.one_pass(RECORD) == timedelta(0)
    assert it.out.line.count("kubernetes.get DeploymentRecord") == 0
    found = it.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "one")
    assert found is not None
    assert found["status"]["startedAt"]


async def test_what_was_saved_by_a_pass_under_way_is_not_taken_as_it_was_told_before() -> None:
    it = Watched()
    obj = it.registry()

    def tell(name: str) -> None:
        if name == "kubernetes.patch_status RegistrySettings":
            it.out.line.before = None
            told(it, obj)

    it.out.line.before = tell
    await it.one_pass()
    it.out.clock.advance(timedelta(minutes=5))
    await it.one_pass()
    assert it.count("RegistrySettings", "conflict") == 0


async def test_nothing_is_kept_of_what_was_told_to_a_standby_or_in_an_earlier_term() -> None:
    it = Watched()
    obj = it.registry()
    it.loop.noticed(obj, deleted=False)
    await it.one_pass()
    assert reads(it) == 1, "a standby"
    it = Watched()
    told(it, it.registry())
    await it.loop.stand_down(NOT_YET)
    await it.one_pass()
    assert reads(it) == 1, "an earlier term"


def thing(**parts: Any) -> Object:
    return {"kind": "RegistrySettings", "spec": {}, **parts, "metadata": {"name": "x", **parts.get("metadata", {})}}


@pytest.mark.parametrize(
    ("obj", "taken"),
    [
        (thing(), True),
        (thing(status={}), True),
        (thing(status={"observedGeneration": -1}), True),
        (thing(status={"observedGeneration": 1}), False),
        (thing(status={"observedGeneration": -1, "applied": []}), False),
        (thing(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), False),
    ],
)
def test_only_what_nobody_has_worked_on_is_new(obj: Object, taken: bool) -> None:
    newcomers = Newcomers()
    newcomers.note(REGISTRY, obj)
    assert (newcomers.take(REGISTRY) is not None) is taken
    assert newcomers.take(REGISTRY) is None, "once"


def test_the_newest_word_counts() -> None:
    newcomers = Newcomers()
    newcomers.note(REGISTRY, thing())
    newcomers.note(REGISTRY, thing(status={"observedGeneration": 1}))
    assert newcomers.take(REGISTRY) is None


def test_their_number_is_bounded() -> None:
    newcomers = Newcomers()
    for number in range(MOST + 1):
        newcomers.note(Key("RegistrySettings", TEAM, str(number)), thing())
    assert newcomers.take(Key("RegistrySettings", TEAM, str(MOST))) is None
    assert newcomers.take(Key("RegistrySettings", TEAM, "0")) is not None
