"""A start with a thousand objects that all want something: no herd, and the deployment in flight comes first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from standins.controls import Call
from testbed.stage import ZONE, Stage
from testbed.stage_cluster import KINDS, condition
from testbed.stage_pace import Pace
from testbed.triggers import initialize, reconcile

from .play import check_heartbeats

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

PROJECT = "first"
SLOW = "// standin: slow 8\npipeline {}\n"
EACH = 250
DEADLINE = timedelta(minutes=4)
CREATORS = 20
PER_MINUTE = {"jenkins": 1200, "argocd": 1200, "dockerhub": 180, "registry": 600, "godaddy": 60}
"""Requests that the operator allows itself by default; for GoDaddy to each endpoint."""
WINDOW = timedelta(seconds=10)
LOGINS = ("/v2/auth/token", "/token", "/api/v1/session")


@pytest_asyncio.fixture(loop_scope="session")
async def many(stage: Stage) -> AsyncIterator[Stage]:
    """A lane beside the others, with the intervals and budgets of the defaults."""
    async with Stage(replace(Pace(), godaddy_per_minute=60), ground=stage.ground, lane="many") as lane:
        yield lane


def _wanted(url: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """A thousand objects: kind, name, spec. Each wants things of its own at its vendor."""
    for number in range(EACH):
        name = f"many-{number:03}"
        yield "jenkinssettings", name, {"git": {"url": url}}
        yield "registrysettings", name, {}
        yield "argosettings", name, {"git": {"url": url}, "source": {"path": "deploy"}}
        yield "ingressresources", name, {"host": f"{name}.{ZONE}"}


async def _create_all(lane: Stage, url: str) -> None:
    """As fast as the API server takes them."""
    waiting = list(_wanted(url))

    async def work() -> None:
        while waiting:
            plural, name, spec = waiting.pop()
            await lane.kube.make(plural, name, spec, lane.namespace)

    await asyncio.gather(*(work() for _ in range(CREATORS)))


def _calls(lane: Stage) -> dict[str, list[Call]]:
    standins = {
        "jenkins": lane.jenkins.controls,
        "argocd": lane.argocd.controls,
        "dockerhub": lane.hub.controls,
        "registry": lane.hub.registry.controls,
        "godaddy": lane.godaddy.controls,
    }
    found = {}
    for service, controls in standins.items():
        agents = ((call, call.headers.get("user-agent", "")) for call in list(controls.calls))
        found[service] = [call for call, agent in agents if agent.startswith("devops-reconciler/")]
    return found


def _busiest(calls: list[Call], window: timedelta) -> int:
    times = sorted(call.at for call in calls)
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def _check_budgets(lane: Stage) -> None:
    """In no window more than the budget's burst and what flows in meanwhile; nothing was refused."""
    for service, calls in _calls(lane).items():
        keys = {call.template if service == "godaddy" else "" for call in calls}
        burst = PER_MINUTE[service] // 4
        allowed = burst + (PER_MINUTE[service] - burst) * (WINDOW / timedelta(minutes=1)) + 1
        for key in keys:
            some = [call for call in calls if key in ("", call.template)]
            assert _busiest(some, WINDOW) <= allowed * 1.1, f"{service} {key}: a herd"
        assert [call for call in calls if call.status == 429] == []
    assert lane.godaddy.over_budget == []


def _check_nothing_is_made_twice(lane: Stage) -> None:
    for service, calls in _calls(lane).items():
        made = [call for call in calls if call.method not in ("GET", "HEAD") and call.path not in LOGINS]
        again = Counter((call.method, call.path, call.query, call.body) for call in made)
        assert [key for key, count in again.items() if count > 1] == [], service


async def _not_ready(lane: Stage) -> int:
    found = 0
    for plural in KINDS:
        for each in await lane.kube.every(plural, lane.namespace):
            ready = condition(each, "Ready")
            found += each["metadata"]["name"].startswith("many-") and (ready is None or ready["status"] != "True")
    return found


async def test_a_deployment_in_flight_is_not_held_up_by_a_thousand_others_and_no_vendor_is_flooded(many: Stage) -> None:
    operator = await many.start_operator(POLL_INTERVAL="300s")
    sample = await many.sample(PROJECT)
    spec = {"git": {"url": sample.url}, "ingress": {"host": f"{PROJECT}.{ZONE}"}}
    await many.publish(initialize(PROJECT, spec))
    await many.kube.wait_condition("devopsprojects", many.namespace, PROJECT, "Ready", deadline=DEADLINE)
    await sample.commit("Take time", {"Jenkinsfile": SLOW})
    message = reconcile(PROJECT)
    await many.publish(message)
    event = message["event_id"]
    await many.heartbeats.wait(
        lambda beat: beat.payload["trigger_event_id"] == event and "runs" in beat.payload["message"], "the build runs"
    )
    await operator.kill()
    await _create_all(many, sample.url)

    await operator.start()
    last = await many.heartbeats.terminal(PROJECT, event=event, deadline=DEADLINE)

    assert last.payload["result"] == "Succeeded"
    assert await _not_ready(many) > EACH * 2, "the others had been served before"
    assert len(many.jenkins.builds_of((PROJECT, PROJECT))) == 1
    check_heartbeats(many.heartbeats.of_event(event), repeats=True)
    await operator.wait_ready(DEADLINE)
    assert await operator.stop() == 0, operator.logs()
    _check_budgets(many)
    _check_nothing_is_made_twice(many)
