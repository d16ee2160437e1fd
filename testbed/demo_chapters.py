"""The chapters of the demo in which nothing goes wrong.

Each returns one sentence for its end, and raises when something did not come true.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from testbed.demo_view import View
from testbed.kube_api import Object
from testbed.outside import Outside, Visit
from testbed.stage import ZONE, Stage
from testbed.stage_cluster import NAMESPACE, condition
from testbed.stage_heartbeats import Heartbeat
from testbed.triggers import initialize, reconcile
from testbed.waiting import eventually

PROJECT = "shop"
HOST = f"{PROJECT}.{ZONE}"
PREVIEW = "pr-7"
PREVIEW_NAME = f"{PROJECT}-{PREVIEW}"
PREVIEW_HOST = f"{PREVIEW_NAME}.{ZONE}"
PREVIEW_TTL = timedelta(seconds=5)
DEADLINE = timedelta(seconds=60)
Disturb = Callable[[str], Awaitable[None]]


class NotTrue(AssertionError):
    """Something that the chapter promises is not so."""


@dataclass
class Story:
    """What the chapters share."""

    stage: Stage
    view: View

    @property
    def outside(self) -> Outside:
        return Outside(self.stage.godaddy.resolvers, self.stage.ingress.port)


async def start(story: Story) -> str:
    """Everything around the operator is up already (that is the slow part); the operator starts."""
    stage, view = story.stage, story.view
    version = await stage.kube.get("/version")
    view.say("Kubernetes", f"{version['gitVersion']}, real, {stage.nodes_told}: {stage.kube.server}")
    view.say("RabbitMQ", f"real: {stage.broker.host}:{stage.broker.port}")
    view.say("Git", f"real, smart HTTP: http://{stage.git.address}")
    for name, told in (
        ("Jenkins", f"stand-in: {stage.jenkins.url}"),
        ("Argo CD", stage.argocd_told),
        ("Docker Hub", f"stand-in: {stage.hub.url}"),
        ("container registry", f"stand-in: {stage.hub.registry_url}"),
        ("GoDaddy", f"stand-in: {stage.godaddy.url}, nameservers {', '.join(stage.godaddy.resolvers)}"),
    ):
        view.say(name, told)
    with view.waiting("the operator starts"):
        operator = await stage.start_operator()
    health = json.loads((await operator.answer("/health"))[1])
    failing = [name for name, check in health["checks"].items() if not check["ok"]]
    view.say("operator", f"ready, pid {operator.pid}, {operator.url}/health")
    if failing:
        raise NotTrue(f"the operator is ready, but {', '.join(failing)} fails: {health['checks'][failing[0]]}")
    return f"the operator is ready, and all {len(health['checks'])} of its checks are well"


async def set_up(story: Story) -> str:
    """A message sets a project up, until Ready=True."""
    stage, view = story.stage, story.view
    sample = await stage.sample(PROJECT)
    message = initialize(PROJECT, {"git": {"url": sample.url}, "ingress": {"host": HOST}})
    view.sent(message)
    await stage.publish(message)
    told: dict[str, str] = {}

    def ready(project: Object) -> bool:
        conditions = (project.get("status") or {}).get("conditions") or ()
        for each in sorted(conditions, key=lambda each: each["type"] == "Ready"):
            if each["status"] == "True" and each["type"] not in told:
                told[each["type"]] = each["status"]
                view.say(f"{each['type']}=True", each.get("message") or each.get("reason", ""), style="green")
        found = condition(project, "Ready")
        return found is not None and found["status"] == "True"

    await stage.kube.until("devopsprojects", PROJECT, ready, "Ready=True", DEADLINE)
    things = await stage.inventory(PROJECT)
    for thing in things:
        view.say(f"{thing.service} {thing.kind}", f"{thing.name}  {thing.mark}")
    unmarked = [str(thing) for thing in things if not thing.mark and thing.kind != "A"]
    if unmarked:
        raise NotTrue(f"without a mark: {', '.join(unmarked)}")
    return f"Ready=True; {len(things)} things stand at the services, each with the project's mark"


async def deploy(story: Story) -> str:
    """A message deploys the project, until its URL answers through DNS with the image that was built."""
    commit = await (await story.stage.sample(PROJECT)).head()
    record, visit = await deployed(story, HOST, revision="main")
    if record["status"]["commit"] != commit:
        raise NotTrue(f"deployed was {record['status']['commit']}, and main is at {commit}")
    return f"http://{HOST}/ answers {visit.status} with {visit.digest[:19]}…, which is status.image"


async def deployed(story: Story, host: str, disturb: Disturb | None = None, **payload: Any) -> tuple[Object, Visit]:
    """Deploys by a message, shows the heartbeats, and proves the address. Gives the record and the proof.

    ``disturb`` is played while the deployment is under way; it is given the id of the message.
    """
    stage = story.stage
    message = reconcile(PROJECT, "deploy", requested_by="demo", **payload)
    event: str = message["event_id"]
    story.view.sent(message)
    stage.heartbeats.listeners.append(story.view.heartbeat)
    try:
        await stage.publish(message)
        if disturb is not None:
            await disturb(event)
        last = await stage.heartbeats.terminal(PROJECT, event=event, deadline=DEADLINE)
    finally:
        stage.heartbeats.listeners.remove(story.view.heartbeat)
    if last.payload["result"] != "Succeeded":
        raise NotTrue(f"the deployment ended as {last.payload['result']}: {last}")
    check_sequence(stage.heartbeats.of_event(event))
    name = last.payload["deployment"]
    record = await stage.kube.wait_condition("deploymentrecords", NAMESPACE, name, "Ready", deadline=DEADLINE)
    return record, await _proven(story, host, record)


def check_sequence(beats: list[Heartbeat]) -> None:
    """From 1 without a gap, one of them terminal; a repeat is equal in id and body."""
    bodies: dict[str, bytes] = {}
    for beat in beats:
        if bodies.setdefault(beat.message_id, beat.body) != beat.body:
            raise NotTrue(f"heartbeat {beat.message_id} came again with another body")
    numbers = sorted({beat.sequence for beat in beats})
    if numbers != list(range(1, len(numbers) + 1)):
        raise NotTrue(f"the sequence of heartbeats has gaps: {numbers}")
    terminal = {beat.message_id for beat in beats if beat.payload["terminal"]}
    if len(terminal) != 1:
        raise NotTrue(f"{len(terminal)} heartbeats are terminal, not one")


async def _proven(story: Story, host: str, record: Object) -> Visit:
    """Every nameserver gives the address, and what answers there is the image of the record."""
    for resolver, addresses in (await story.outside.records(host)).items():
        story.view.say("nameserver", f"{resolver}: {host} A {', '.join(addresses)}")
    visit = await story.outside.visit(host)
    story.view.say("GET", f"http://{host}/ at {visit.address}: {visit.status}, {visit.digest[:23]}…")
    if visit.status != 200 or visit.image != record["status"]["image"]:
        raise NotTrue(f"{host} answers {visit.status} with '{visit.image}', not with {record['status']['image']}")
    return visit


async def preview(story: Story) -> str:
    """A preview of a branch comes up, expires, and is verified gone; production stays."""
    stage, view = story.stage, story.view
    sample = await stage.sample(PROJECT)
    commit = await sample.commit("Greet more warmly", {"greeting.txt": "A warm welcome.\n"}, branch="warmer")
    view.say("a developer pushes", f"branch warmer, {commit[:12]}")
    ttl = f"{PREVIEW_TTL.total_seconds():.0f}s"
    record, _ = await deployed(story, PREVIEW_HOST, environment=PREVIEW, revision="warmer", ttl=ttl)
    name = record["metadata"]["name"]
    view.say("expires", str(record["status"]["expiresAt"]))
    stage.heartbeats.listeners.append(view.heartbeat)
    try:
        with view.waiting(f"the preview lives for {ttl}"):
            wait = stage.kube.wait_condition
            await wait("deploymentrecords", NAMESPACE, name, "CleanupVerified", deadline=DEADLINE)
            await stage.heartbeats.wait(
                lambda beat: beat.payload["deployment"] == name and beat.payload["reason"] == "CleanupVerified",
                "the preview is verified gone",
            )
    finally:
        stage.heartbeats.listeners.remove(view.heartbeat)
    await _gone(story, record["status"])
    visit = await story.outside.visit(HOST)
    if visit.status != 200:
        raise NotTrue(f"production answers {visit.status} after the preview has gone")
    return f"http://{PREVIEW_HOST}/ came, expired after {ttl}, and nothing of it is left; production still answers"


async def _gone(story: Story, status: Mapping[str, Any]) -> None:
    """Reads everything again, from outside."""
    stage = story.stage
    repository, _, _ = str(status["image"]).partition("@")
    tags = stage.hub.tags(*repository.removeprefix(f"{stage.registry_host}/").split("/"))

    async def dns_gone() -> bool:
        return await story.outside.is_gone(PREVIEW_HOST)

    await eventually(dns_gone, f"no nameserver has {PREVIEW_HOST}", timedelta(seconds=5))
    left = [str(thing) for thing in await stage.inventory(PREVIEW_NAME)]
    left += [f"tag {tag}" for tag in tags if tag.startswith(str(status["commit"])[:12])]
    if left:
        raise NotTrue(f"still there: {', '.join(left)}")
    for what in ("Argo CD application", "namespace", "Ingress", "DNS record and its mark", "image tag"):
        story.view.say(what, "gone, read again from outside", style="green")
