"""What is known of objects without reading them, and for how long it counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.host.copies import Copies
from devops_reconciler.host.queue import Key
from devops_reconciler.runtime.clock import FakeClock

SHOP = Key("DevOpsProject", "team-a", "shop")


def project(version: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "shop", "namespace": "team-a", "resourceVersion": version, "managedFields": [{"manager": "x"}]}
    return {"kind": "DevOpsProject", "metadata": metadata, "spec": spec}


def resting(version: str) -> Copies:
    it = Copies(FakeClock())
    it.begin(SHOP)
    it.learn(project(version))
    it.settle(SHOP, version)
    assert it.rests(SHOP)
    return it


@pytest.mark.parametrize(
    ("first", "then", "news"),
    [("9", "10", True), ("10", "9", False), ("10", "10", False), ("a", "b", True), ("10", "b", True)],
)
def test_an_older_version_is_no_news(first: str, then: str, news: bool) -> None:
    it = Copies(FakeClock())
    assert it.learn(project(first))
    assert it.learn(project(then)) is news
    found = it.get(SHOP)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == (then if news else first)


def test_a_copy_is_its_readers_own() -> None:
    it = Copies(FakeClock())
    told = project("1", paused=False)
    it.learn(told)
    told["spec"]["paused"] = True
    first = it.get(SHOP)
    assert first is not None
    assert "managedFields" not in first["metadata"]
    first["spec"]["paused"] = True
    second = it.get(SHOP)
    assert second is not None
    assert second["spec"] == {"paused": False}


def test_a_copy_counts_for_an_hour_and_anew_when_it_is_found_again() -> None:
    clock = FakeClock()
    it = Copies(clock)
    it.learn(project("1"))
    clock.advance(timedelta(minutes=59))
    assert it.get(SHOP) is not None
    clock.advance(timedelta(minutes=1))
    assert it.get(SHOP) is None
    it.confirm([project("2")], clock.monotonic())
    assert it.get(SHOP) is None
    asked = clock.monotonic()
    clock.advance(timedelta(minutes=10))
    it.confirm([project("1")], asked)
    clock.advance(timedelta(minutes=49))
    assert it.get(SHOP) is not None
    clock.advance(timedelta(minutes=1))
    assert it.get(SHOP) is None


def test_records_are_not_kept() -> None:
    it = Copies(FakeClock())
    record = {**project("1"), "kind": "DeploymentRecord"}
    assert it.learn(record) is False
    assert it.get(Key("DeploymentRecord", "team-a", "shop")) is None


def test_an_object_rests_only_as_the_pass_has_read_it() -> None:
    it = Copies(FakeClock())
    it.learn(project("1"))
    it.settle(SHOP, "1")
    assert not it.rests(SHOP), "no pass has read it"
    it.begin(SHOP)
    it.learn(project("2"))
    it.settle(SHOP, "1")
    assert not it.rests(SHOP), "the pass has not seen the newest version"
    it.begin(SHOP)
    it.doubt(SHOP)
    it.settle(SHOP, "2")
    assert not it.rests(SHOP), "the doubt came after the pass had begun"


def test_what_rests_is_roused_by_doubt_by_the_next_pass_and_by_forgetting() -> None:
    for rouse in (Copies.doubt, Copies.begin, Copies.forget):
        it = resting("1")
        rouse(it, SHOP)
        assert not it.rests(SHOP)
    it = resting("1")
    it.clear()
    assert not it.rests(SHOP)
    assert it.get(SHOP) is None
