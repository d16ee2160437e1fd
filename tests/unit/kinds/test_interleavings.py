"""Records under random interleavings of passes, crashes, errors, lost saves and rivals: each ends once, builds once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from tests.unit.fakes.line import Crash
from tests.unit.world import TEAM

from .life import Life

ENVIRONMENTS = ("production", "pr-1")
SERVICES = ("kubernetes", "jenkins", "argocd", "godaddy", "registry", "git", "dns", "address")

RECORD = st.integers(0, 3)
SKIP = st.integers(0, 15)
"""Calls of the pass that go well before the one that does not."""
DEED = st.one_of(
    st.tuples(st.just("pass"), RECORD, st.just("")),
    st.tuples(st.just("pass"), RECORD, st.just("")),
    st.tuples(st.just("new"), st.sampled_from([0, 1]), st.sampled_from(["Queue", "Replace", "Forbid"])),
    st.tuples(st.just("crash"), RECORD, st.sampled_from(["before", "after"]), SKIP),
    st.tuples(st.just("error"), RECORD, st.sampled_from(SERVICES), SKIP),
    st.tuples(st.just("lost reply"), RECORD, st.sampled_from(SERVICES), SKIP),
    st.tuples(st.just("touch"), RECORD, st.just("")),
    st.tuples(st.just("cancel"), RECORD, st.just("")),
    st.tuples(st.just("broker"), RECORD, st.sampled_from(["up", "down"])),
    st.tuples(st.just("wait"), st.integers(0, 60), st.just("")),
)


class Crowd:
    """Some records of one project, and what is done to them."""

    def __init__(self) -> None:
        self.life = Life()
        self.life.project()
        self.life.set_up()
        self.life.out.jenkins.build_time = timedelta(seconds=20)
        self.life.out.jenkins.queue_time = timedelta(seconds=2)
        self.names: list[str] = []
        self.new(0, "Queue")

    def new(self, environment: int, policy: str) -> None:
        if len(self.names) < 4:
            self.life.out.clock.advance(timedelta(seconds=1))
            name = f"record-{len(self.names)}"
            self.names.append(name)
            self.life.record(name, environment=ENVIRONMENTS[environment], concurrencyPolicy=policy)

    async def do(self, kind: str, number: int, what: str, skip: int = 0) -> None:
        name, line = self.names[number % len(self.names)], self.life.out.line
        if kind == "new":
            self.new(number, what)
        elif kind == "wait":
            self.life.out.clock.advance(timedelta(seconds=number))
        elif kind == "broker":
            self.life.broker = what == "up"
        elif kind == "cancel":
            self.life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"spec": {"cancel": True}})
        elif kind == "touch":
            self.interfere(name)
            await self.one_pass(name)
        else:
            if kind == "crash":
                line.fail("*", Crash(), after_effect=what == "after", skip=skip)
            elif kind in ("error", "lost reply"):
                error = ExternalServiceError(f"{what}: time-out", service=what)
                line.fail(f"{what}.*", error, after_effect=kind == "lost reply", skip=skip)
            await self.one_pass(name)
            line.faults.clear()

    def interfere(self, name: str) -> None:
        """Somebody changes the record between our read and our save."""

        def change(call: str) -> None:
            if call == "kubernetes.patch_status DeploymentRecord":
                self.life.out.line.before = None
                labels = {"touched": self.life.out.clock.now().isoformat()}
                self.life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, name, {"metadata": {"annotations": labels}})

        self.life.out.line.before = change

    async def one_pass(self, name: str) -> timedelta:
        try:
            verdict = await self.life.one_pass(name)
        except (Crash, ConflictError):
            return timedelta(milliseconds=20)
        except ExternalServiceError as error:
            return error.after or timedelta(seconds=30)
        finally:
            self.life.out.line.before = None
        return verdict.after if verdict.after is not None else timedelta(seconds=1)

    async def to_the_end(self) -> None:
        self.life.broker = True
        for _ in range(400):
            left = [name for name in self.names if not self.life.is_over(name, "DeploymentRecord")]
            if not left:
                break
            waits = [await self.one_pass(name) for name in left]
            self.life.out.clock.advance(min(waits))
        for name in self.names:
            await self.one_pass(name)

    def check(self) -> None:
        out = self.life.out
        for name in self.names:
            assert self.life.is_over(name, "DeploymentRecord"), f"{name} never ends: {self.life.status(name)}"
            told = self.life.told(name)
            assert [p["sequence"] for p in told] == list(range(1, len(told) + 1)), name
            terminal = [p for p in told if p["terminal"]]
            assert len(terminal) == 1, f"{name}: {terminal}"
            percents = [p["percent"] for p in told]
            assert percents == sorted(percents), f"{name}: the percentage goes back: {percents}"
            assert told[0]["step"] == "accepted"
            finished = self.life.condition(name, "Finished")
            assert finished is not None
            result = {"Succeeded": "Succeeded", "Cancelled": "Cancelled", "Superseded": "Superseded"}
            assert terminal[0]["result"] == result.get(finished["reason"], "Failed")
        builds = Counter(parameters["DEPLOYMENT_UID"] for parameters in out.jenkins.triggers)
        assert all(count == 1 for count in builds.values()), builds
        assert out.jenkins.running() == []
        for environment in ENVIRONMENTS:
            holder = self.life.holder(environment)
            done = [n for n in self.names if self.life.see(n)["spec"]["environment"] == environment]
            good = [n for n in done if self.life.reason(n) == "True/Succeeded"]
            if good:
                assert holder is not None
                assert done.index(holder) >= done.index(good[-1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=st.lists(DEED, max_size=25))
def test_every_record_ends_once_and_builds_at_most_once(deeds: list[tuple[Any, ...]]) -> None:
    async def story() -> None:
        crowd = Crowd()
        for deed in deeds:
            await crowd.do(*deed)
        await crowd.to_the_end()
        crowd.check()

    asyncio.run(story())
