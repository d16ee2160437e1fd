"""A service is ill: what needs it waits and says so, all else goes on, and it continues by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, cast

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.breaker import RETURNS_PER_SECOND, CircuitBreaker, State
from tests.unit.world import TEAM

from .life import PARTS, Life

CHILDREN = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
MINUTE = timedelta(minutes=1)
TEN = [f"shop-{number}" for number in range(10)]


class Guarded:
    """A service in memory behind a breaker, as the real clients are."""

    def __init__(self, service: object, breaker: CircuitBreaker) -> None:
        self._service = service
        self._breaker = breaker

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def through(*args: Any, **kwargs: Any) -> Any:
            return await self._breaker.call(partial(getattr(self._service, name), *args, **kwargs))

        return through


class Outage(Life):
    """A life with Jenkins behind a breaker, and passes at the times that they ask for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker("jenkins", clock=self.out.clock)
        jenkins = cast(Any, Guarded(self.out.jenkins, self.breaker))
        self.out.world = replace(self.out.world, jenkins=jenkins)
        self.due: dict[tuple[str, str], datetime] = {}
        self.saved = 0
        """How many passes changed their object."""

    def jenkins_down(self) -> None:
        error = ExternalServiceError("jenkins: get item (GET ci.test/job/shop): 503", service="jenkins")
        self.out.line.fail("jenkins.*", error, times=1_000_000)

    def jenkins_up(self) -> None:
        self.out.line.faults.clear()

    async def goes_on(self, time: timedelta, *projects: str) -> None:
        """So much time passes, with every pass that falls due in it."""
        end = self.out.clock.now() + time
        for project in projects:
            for kind in ("DevOpsProject", *CHILDREN):
                self.due.setdefault((project, kind), self.out.clock.now())
        while self.due[key := min(self.due, key=lambda each: self.due[each])] <= end:
            self.out.clock.advance(max(timedelta(0), self.due[key] - self.out.clock.now()))
            await self._visit(*key)
        self.out.clock.advance(end - self.out.clock.now())

    async def _visit(self, project: str, kind: str) -> None:
        """A pass. As in the host, the change of a child wakes its project."""
        now, before = self.out.clock.now(), self._version(project, kind)
        if before is None:
            self.due[project, kind] = now + timedelta(seconds=1)
            return
        verdict = await self.turn(project, kind)
        assert verdict.after is not None
        self.due[project, kind] = now + max(verdict.after, timedelta(milliseconds=50))
        changed = self._version(project, kind) != before
        self.saved += changed
        if changed and kind != "DevOpsProject":
            self.due[project, "DevOpsProject"] = now

    def _version(self, project: str, kind: str) -> str | None:
        found = self.out.kubernetes.see(KINDS[kind].kind, TEAM, project)
        return None if found is None else str(found["metadata"]["resourceVersion"])

    @property
    def asked(self) -> int:
        """How often Jenkins was asked."""
        return self.out.line.count("jenkins.*")

    def parts(self) -> dict[str, str | None]:
        return {part: self.reason("shop", part, "DevOpsProject") for part in PARTS}


async def test_with_jenkins_down_all_else_becomes_ready_and_jenkins_follows_when_it_is_back() -> None:
    life = Outage()
    life.project()
    life.jenkins_down()
    await life.goes_on(timedelta(minutes=5), "shop")
    assert life.breaker.state is State.OPEN
    ready = {part for part, reason in life.parts().items() if reason == "True/Succeeded"}
    assert ready == {"RegistryReady", "ArgoReady", "IngressReady", "DNSReady"}
    assert life.reason("shop", "Ready", "DevOpsProject") != "True/Succeeded"
    life.jenkins_up()
    await life.goes_on(timedelta(minutes=2), "shop")
    assert life.breaker.state is State.CLOSED
    assert set(life.parts().values()) == {"True/Succeeded"}
    assert life.condition("shop", "VendorDegraded", "JenkinsSettings") is None


async def test_what_waits_says_for_whom_and_since_when() -> None:
    life = Outage()
    life.project()
    life.jenkins_down()
    await life.goes_on(timedelta(minutes=5), "shop")
    degraded = life.condition("shop", "VendorDegraded", "JenkinsSettings")
    assert degraded is not None
    assert degraded["reason"] == "BreakerOpen"
    since = f"{life.breaker.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"jenkins has failed since {since}; one request tries it every 60 s" in degraded["message"]
    assert life.reason("shop", "Ready", "JenkinsSettings") == "Unknown/BreakerOpen"
    assert life.reason("shop", "Reconciling", "JenkinsSettings") == "True/ProgressingWithRetry"
    assert life.reason("shop", "JenkinsReady", "DevOpsProject") == "Unknown/BreakerOpen"


async def test_what_was_ready_stays_ready_while_jenkins_cannot_be_asked() -> None:
    life = Outage()
    life.project()
    await life.goes_on(timedelta(minutes=1), "shop")
    assert set(life.parts().values()) == {"True/Succeeded"}
    life.jenkins_down()
    await life.goes_on(timedelta(minutes=20), "shop")
    assert life.breaker.state is State.OPEN
    assert life.reason("shop", "Ready", "JenkinsSettings") == "True/Succeeded"
    # The one who tries whether Jenkins is back says why it is not; who comes in between says that it is not asked.
    assert life.reason("shop", "VendorDegraded", "JenkinsSettings") in ("True/BreakerOpen", "True/ExternalServiceError")
    assert set(life.parts().values()) == {"True/Succeeded"}


async def ten_without_jenkins(time: timedelta) -> Outage:
    """Ten projects, after so much time in which Jenkins was down from the beginning."""
    life = Outage()
    for name in TEN:
        life.project(name, ingress={"host": f"{name}.example.com"})
    life.jenkins_down()
    await life.goes_on(time, *TEN)
    return life


async def test_however_many_wait_an_ill_service_is_asked_once_a_minute() -> None:
    life = await ten_without_jenkins(MINUTE)
    before = life.asked
    await life.goes_on(10 * MINUTE)
    assert 8 <= life.asked - before <= 10


async def test_a_long_outage_has_nothing_saved_but_by_the_one_who_tries() -> None:
    life = await ten_without_jenkins(5 * MINUTE)
    saved, asked = life.saved, life.asked
    await life.goes_on(10 * MINUTE)
    # Who tries says what came of it, and at its next look that it waits again; its project repeats either.
    assert life.saved - saved <= 4 * (life.asked - asked)


async def test_those_who_waited_come_back_one_after_the_other() -> None:
    life = await ten_without_jenkins(5 * MINUTE)
    turns = sorted(life.due[name, "JenkinsSettings"] for name in TEN)
    # One has just tried; the others come at their turns after the next try.
    assert all(later - earlier > timedelta(0) for earlier, later in pairwise(turns))
    assert turns[-1] - turns[1] >= timedelta(seconds=(len(TEN) - 3) / RETURNS_PER_SECOND)
