"""In which namespace the resource of a mark lives: read once for all who ask, and not where both were met."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.api.names import mark_for
from devops_reconciler.host.rest import NotAtRest
from devops_reconciler.kinds import Context, reconciliation
from devops_reconciler.resources.world import OWNERS, lives_elsewhere
from devops_reconciler.services.kubernetes import INGRESS_RESOURCE
from tests.unit.world import CLUSTER, TEAM, Outside, outside

B = "team-b"
MOST = 3
"""Lists of a namespace for all who come at one time: of the first one, of who has come next, and of all the others."""


@pytest.fixture
def out() -> Outside:
    return outside(reconciler_namespaces=(TEAM, B))


def route(out: Outside, number: int, namespace: str = TEAM) -> dict[str, Any]:
    metadata = {"name": f"route-{number}", "uid": f"uid-{number}"}
    return out.kubernetes.put(INGRESS_RESOURCE, namespace, {"metadata": metadata, "spec": {}})


def met(out: Outside, obj: dict[str, Any]) -> str:
    """The mark of an object that a pass has begun over."""
    context: Any = Context(out.world, store=None, confirmed=lambda _: 0)  # type: ignore[arg-type]
    return reconciliation(context, {"kind": "IngressResource", **obj}).me


def lists(out: Outside) -> int:
    return out.line.count("kubernetes.list *")


async def slowly(_: str) -> None:
    """As a service answers: all who have been served go on meanwhile."""
    for _turn in range(100):
        await asyncio.sleep(0)


async def test_of_those_that_were_met_nothing_is_listed(out: Outside) -> None:
    first, *others = (met(out, route(out, number)) for number in range(5))
    assert not [each for each in others if await lives_elsewhere(out.world, each, first)]
    assert lists(out) == 0


async def test_one_that_comes_later_needs_no_list_of_what_is_known(out: Outside) -> None:
    old = mark_for(CLUSTER, route(out, 0))
    assert not await lives_elsewhere(out.world, met(out, route(out, 1)), old)
    before = lists(out)
    for number in range(2, 12):
        assert not await lives_elsewhere(out.world, met(out, route(out, number)), old)
    assert lists(out) == before == len(OWNERS)


async def test_what_was_met_in_another_namespace_is_elsewhere_for_as_long_as_it_lives(out: Outside) -> None:
    theirs, me = met(out, route(out, 0, B)), met(out, route(out, 1))
    assert await lives_elsewhere(out.world, me, theirs)
    assert lists(out) == len(OWNERS)
    out.kubernetes.remove(INGRESS_RESOURCE, B, "route-0")
    assert not await lives_elsewhere(out.world, me, theirs)


@pytest.mark.parametrize("where", [TEAM, B])
async def test_one_list_serves_all_who_ask_at_one_time(out: Outside, where: str) -> None:
    owner, *marks = (mark_for(CLUSTER, route(out, number, where if number == 0 else TEAM)) for number in range(40))
    out.line.wire = slowly
    found = await asyncio.gather(*(lives_elsewhere(out.world, each, owner) for each in marks))
    assert found == [where != TEAM] * len(marks)
    assert lists(out) <= MOST * len(OWNERS) * (1 if where == TEAM else 2)


async def test_a_namespace_that_refuses_us_is_asked_once_for_all(out: Outside) -> None:
    owner, *marks = (mark_for(CLUSTER, route(out, number)) for number in range(40))
    out.line.wire = slowly
    out.line.fail(f"kubernetes.list {OWNERS[0].kind}", CredentialsError("forbidden"), times=99)
    found = await asyncio.gather(*(lives_elsewhere(out.world, each, owner) for each in marks), return_exceptions=True)
    assert all("refuse us" in str(each) for each in found)
    assert lists(out) <= MOST * 2, "each of them fails at its first kind"


async def test_a_look_that_may_list_nothing_fails_none_of_those_who_wait_behind_it(out: Outside) -> None:
    class Looks:
        async def list(self, *_: Any) -> None:
            raise NotAtRest("would need the list")

    owner, *marks = (mark_for(CLUSTER, route(out, number)) for number in range(5))
    out.line.wire = slowly
    looks: Any = Looks()
    worlds = [out.world, replace(out.world, kubernetes=looks), out.world, out.world]
    asked = [lives_elsewhere(world, each, owner) for world, each in zip(worlds, marks, strict=True)]
    first, look, *behind = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(look, NotAtRest)
    assert [first, *behind] == [False] * 3


async def test_one_that_is_met_while_a_list_is_read_stays_known(out: Outside) -> None:
    old, asks, late = (route(out, number) for number in range(3))
    out.kubernetes.remove(INGRESS_RESOURCE, TEAM, "route-2")
    asked = met(out, asks)
    out.line.before = lambda name: met(out, late) if name == f"kubernetes.list {OWNERS[-1].kind}" else None
    assert not await lives_elsewhere(out.world, asked, mark_for(CLUSTER, old))
    out.line.before = None
    before = lists(out)
    assert not await lives_elsewhere(out.world, asked, mark_for(CLUSTER, late))
    assert lists(out) == before


async def test_with_one_namespace_nothing_is_kept() -> None:
    out = outside()
    met(out, route(out, 0))
    assert out.world.homes == {}
