"""The chapters of the demo in which something goes wrong, and the deployment ends well all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from standins.controls import Call
from standins.jenkins_model import StoredBuild
from testbed.demo_chapters import DEADLINE, HOST, PROJECT, NotTrue, Story, deployed
from testbed.kube_api import Object
from testbed.stage_cluster import NAMESPACE, condition
from testbed.waiting import eventually

RECORDS = "deploymentrecords"
UID = "DEPLOYMENT_UID"
"""The parameter of a build that tells whose it is."""


async def outage(story: Story) -> str:
    """Jenkins goes down while it builds; the breaker opens and shows; Jenkins returns, and the deployment goes on."""
    commit = await _change(story, "Greet in a storm", "Welcome, whatever the weather.\n")

    async def disturb(event: str) -> None:
        name = await _build_runs(story, event)
        story.stage.jenkins.controls.down = True
        story.view.say("Jenkins", "goes down: every connection to it is reset", style="red")
        try:
            await _shown(story, name)
        finally:
            story.stage.jenkins.controls.down = False
        story.view.say("Jenkins", "is back", style="green")
        await _breaker(story, "CLOSED")
        story.view.say("breaker of Jenkins", "CLOSED: one request tried it, and Jenkins answered", style="green")

    record, visit = await deployed(story, HOST, disturb, revision="main")
    number = only_build_of(story.stage.jenkins.builds_of((PROJECT, PROJECT)), record["metadata"]["uid"]).number
    _check_commit(record, commit)
    return f"the deployment waited for Jenkins and ended well, with build {number} alone; {HOST} answers {visit.status}"


async def _shown(story: Story, name: str) -> None:
    """What a user sees of the outage: the breaker, the condition of what waits, and that all else is well."""
    stage, view = story.stage, story.view
    with view.waiting("requests to Jenkins fail"):
        breaker = await _breaker(story, "OPEN")
        record = await stage.kube.wait_condition(
            RECORDS, NAMESPACE, name, "VendorDegraded", reason="BreakerOpen", deadline=DEADLINE
        )
    view.say("/health", f"breaker of Jenkins OPEN after {breaker['failures']} failures in a row", style="yellow")
    degraded = condition(record, "VendorDegraded") or {}
    view.say("VendorDegraded=True", str(degraded["message"]), style="yellow")
    others = {service: each["state"] for service, each in (await _health(story))["breakers"].items()}
    if ill := [service for service, state in others.items() if service != "jenkins" and state != "CLOSED"]:
        raise NotTrue(f"only Jenkins is down, but the breaker of {', '.join(ill)} is open too")
    status, said = await stage.operators[-1].answer("/readyz")
    if status != 200:
        raise NotTrue(f"the operator is not ready while Jenkins is down: {said}")
    view.say("/readyz", "200: the operator itself is well, and so are all other services")
    visit = await story.outside.visit(HOST)
    if visit.status != 200:
        raise NotTrue(f"production answers {visit.status} while Jenkins is down")
    view.say("GET", f"http://{HOST}/: {visit.status}, the deployment before still answers")


async def _health(story: Story) -> dict[str, Any]:
    status, body = await story.stage.operators[-1].answer("/health")
    if status != 200:
        raise NotTrue(f"/health answers {status}: {body}")
    return dict(json.loads(body))


async def _breaker(story: Story, state: str) -> dict[str, Any]:
    """The breaker of Jenkins as ``/health`` shows it, as soon as it has this state."""

    async def probe() -> dict[str, Any] | None:
        found: dict[str, Any] = (await _health(story))["breakers"]["jenkins"]
        return found if found["state"] == state else None

    found = await eventually(probe, f"the breaker of Jenkins is {state}", DEADLINE)
    assert found is not None
    return found


async def crash(story: Story) -> str:
    """kill -9 at the worst moment: Jenkins has taken the build, and the operator does not know it yet."""
    stage, view = story.stage, story.view
    commit = await _change(story, "Greet after a crash", "Welcome back.\n")
    operator = stage.operators[-1]
    killed = asyncio.Event()

    async def kill(_: Call) -> None:
        pid = operator.pid
        await operator.kill()
        view.say("kill -9", f"pid {pid}: Jenkins has taken the build, its answer never arrives", style="red")
        killed.set()

    def asks_for_build(call: Call) -> bool:
        return call.method == "POST" and call.path.endswith("/buildWithParameters")

    async def disturb(_: str) -> None:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            await killed.wait()
        with view.waiting("the operator starts again"):
            await operator.start()
            await operator.wait_ready()
        view.say("operator", f"started again, ready, pid {operator.pid}", style="green")

    stage.jenkins.controls.trap("after_effect", asks_for_build, kill)
    record, visit = await deployed(story, HOST, disturb, revision="main")
    build = only_build_of(stage.jenkins.builds_of((PROJECT, PROJECT)), record["metadata"]["uid"])
    _check_commit(record, commit)
    view.say("builds at Jenkins", f"1 for this deployment: build {build.number}, {build.result}", style="green")
    beats = [beat for beat in stage.heartbeats.of(PROJECT, record["metadata"]["name"]) if not beat.is_tick]
    last = max(beat.sequence for beat in beats)
    view.say("heartbeats", f"1 to {last} without a gap, one of them terminal", style="green")
    return f"exactly one build, heartbeats 1 to {last} without a gap; {HOST} answers {visit.status} with its image"


async def _change(story: Story, message: str, greeting: str) -> str:
    """A developer changes the project; the commit."""
    commit = await (await story.stage.sample(PROJECT)).commit(message, {"greeting.txt": greeting})
    story.view.say("a developer pushes", f"branch main, {commit[:12]}")
    return commit


async def _build_runs(story: Story, event: str) -> str:
    """Waits until the build of the deployment runs; the deployment's name."""
    beat = await story.stage.heartbeats.wait(
        lambda beat: (
            beat.payload["trigger_event_id"] == event
            and (beat.payload["step"], beat.payload["state"]) == ("build", "Running")
            and "runs" in beat.payload["message"]
        ),
        "the build runs",
        DEADLINE,
    )
    return str(beat.payload["deployment"])


def only_build_of(builds: Iterable[StoredBuild], uid: str) -> StoredBuild:
    """The build of the record with this UID; raises NotTrue unless it has exactly one, and that went well."""
    found = [build for build in builds if build.parameters.get(UID) == uid]
    if [build.result for build in found] != ["SUCCESS"]:
        raise NotTrue(f"Jenkins has {len(found)} builds of this deployment: {[build.result for build in found]}")
    return found[0]


def _check_commit(record: Object, commit: str) -> None:
    if record["status"]["commit"] != commit:
        raise NotTrue(f"deployed was {record['status']['commit']}, and main is at {commit}")
