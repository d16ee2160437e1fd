"""A corrected `ingress.target` has all the time there is to be known to the nameservers, whatever was before it."""

from __future__ import annotations

from datetime import timedelta

from .life import HOST, Life
from .test_policies import change, looked_at, ready

UNDER_WAY = "Unknown/Progressing"


def ready_of_ingress(life: Life) -> str | None:
    return life.reason("shop", "Ready", "IngressResource")


def target(life: Life, value: str, **spec: object) -> None:
    change(life, ingress={"host": HOST, "target": value}, **spec)


async def test_after_one_that_was_not_reachable_the_next_target_has_its_own_time() -> None:
    life = Life()
    life.out.nameservers.freeze()
    life.project()
    await looked_at(life, times=8)
    assert ready_of_ingress(life) == "False/NotReachable"
    target(life, "203.0.113.8")
    await looked_at(life, times=6, minutes=0.1)
    assert ready_of_ingress(life) == UNDER_WAY
    life.out.clock.advance(life.out.world.settings.dns_timeout)
    await looked_at(life, times=1)
    assert ready_of_ingress(life) == "False/NotReachable", "its time ends, too"


async def test_the_time_of_a_pause_does_not_count_for_a_target_that_is_set_after_it() -> None:
    life = ready()
    life.out.nameservers.freeze()
    target(life, "203.0.113.8")
    await looked_at(life, times=6, minutes=0.1)
    assert ready_of_ingress(life) == UNDER_WAY
    change(life, suspend=True)
    await looked_at(life, times=2, minutes=60)
    target(life, "203.0.113.9", suspend=False)
    await looked_at(life, times=6, minutes=0.1)
    assert ready_of_ingress(life) == UNDER_WAY


async def test_what_is_set_without_another_target_gives_no_more_time() -> None:
    life = ready()
    life.out.nameservers.freeze()
    target(life, "203.0.113.8")
    await looked_at(life, times=2, minutes=0.1)
    life.out.clock.advance(life.out.world.settings.dns_timeout - timedelta(seconds=10))
    change(life, ingress={"host": HOST, "target": "203.0.113.8", "className": "other"})
    await looked_at(life, times=3, minutes=0.1)
    assert ready_of_ingress(life) == "False/NotReachable"
