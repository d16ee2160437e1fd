"""The words of the end-to-end tests. They use what everybody has: messages, the cluster's API, HTTP, heartbeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from standins.controls import Call
from standins.jenkins_model import StoredBuild
from testbed.kube_api import KubeApiError, Object
from testbed.outside import Outside, Visit
from testbed.sample import SampleProject
from testbed.stage import ZONE, Stage
from testbed.stage_cluster import NAMESPACE, condition
from testbed.stage_heartbeats import Heartbeat
from testbed.stage_operator import Operator
from testbed.triggers import initialize, reconcile
from testbed.waiting import eventually

DEADLINE = timedelta(seconds=60)
RECORDS = "deploymentrecords"
PROJECTS = "devopsprojects"


def by_operator(call: Call) -> bool:
    """Whether a call to a stand-in is the operator's."""
    return call.headers.get("user-agent", "").startswith("devops-reconciler/")


@dataclass(frozen=True)
class Trigger:
    """A message that was sent, and what came of it."""

    play: Play
    message: dict[str, Any]

    @property
    def event_id(self) -> str:
        return str(self.message["event_id"])

    @property
    def beats(self) -> list[Heartbeat]:
        """The heartbeats of its deployment so far, without ticks."""
        return self.play.stage.heartbeats.of_event(self.event_id)

    async def heard(self, step: str, state: str | None = None, *, message: str = "") -> Heartbeat:
        """Waits for a heartbeat of this step."""

        def matches(beat: Heartbeat) -> bool:
            it = beat.payload
            wanted = it["trigger_event_id"] == self.event_id and it["step"] == step and state in (None, it["state"])
            return wanted and message in it["message"]

        return await self.play.stage.heartbeats.wait(matches, f"{step} {state or ''} {message}", DEADLINE)

    async def terminal(self, deadline: timedelta = DEADLINE) -> Heartbeat:
        """Its terminal heartbeat, whatever the result."""
        return await self.play.stage.heartbeats.terminal(self.play.project, event=self.event_id, deadline=deadline)

    async def ended(self, result: str = "Succeeded") -> Object:
        """The record in its terminal state, which is this one."""
        last = await self.terminal()
        assert last.payload["result"] == result, f"the deployment ended as {last}"
        return await self.play.record(last.payload["deployment"])

    async def name(self) -> str:
        """The name of its record."""
        first = await self.heard("accepted")
        return str(first.payload["deployment"])


class Play:
    """One project on the shared stage."""

    def __init__(self, stage: Stage, operator: Operator, project: str) -> None:
        self.stage = stage
        self.operator = operator
        self.project = project
        self.host = f"{project}.{ZONE}"
        self.outside = Outside(stage.godaddy.resolvers, stage.ingress.port)

    async def sample(self) -> SampleProject:
        """The project's repository."""
        return await self.stage.sample(self.project)

    async def spec(self, **more: Any) -> dict[str, Any]:
        """The smallest useful spec, and more."""
        sample = await self.sample()
        return {"git": {"url": sample.url}, "ingress": {"host": self.host}, **more}

    async def set_up(self, **more: Any) -> Object:
        """By message, until Ready=True."""
        await self.stage.publish(initialize(self.project, await self.spec(**more)))
        return await self.ready()

    async def ready(self) -> Object:
        """The project when Ready=True."""
        return await self.stage.kube.wait_condition(PROJECTS, NAMESPACE, self.project, "Ready", deadline=DEADLINE)

    async def send(self, action: str = "deploy", **payload: Any) -> Trigger:
        """A DevOpsReconcile for this project."""
        return await self.send_message(reconcile(self.project, action, **payload))

    async def send_message(self, message: dict[str, Any]) -> Trigger:
        await self.stage.publish(message)
        return Trigger(self, message)

    async def deploy(self, **payload: Any) -> Object:
        """Deploys by message; the record when it has succeeded."""
        return await (await self.send("deploy", **payload)).ended()

    async def record(self, name: str) -> Object:
        """The record of this name."""
        found = await self.stage.kube.read(RECORDS, name)
        assert found is not None, f"there is no record {name}"
        return found

    async def records(self) -> list[Object]:
        """All records of the project."""
        every = await self.stage.kube.every(RECORDS)
        return [each for each in every if each["spec"]["projectRef"]["name"] == self.project]

    async def wait_record(self, name: str, kind: str, status: str = "True", *, reason: str | None = None) -> Object:
        """The record when its condition has this status."""
        return await self.stage.kube.wait_condition(
            RECORDS, NAMESPACE, name, kind, status, deadline=DEADLINE, reason=reason
        )

    async def change(self, spec: Mapping[str, Any]) -> Object:
        """A merge patch of the project's spec."""
        path = f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/{PROJECTS}/{self.project}"
        return await self.stage.kube.patch(path, {"spec": dict(spec)})

    async def rest(self) -> None:
        """Suspends the project, if it is there."""
        try:
            await self.change({"suspend": True})
        except KubeApiError as error:
            if error.status != 404:
                raise

    async def delete(self) -> None:
        """Deletes the project and waits until it is gone."""
        path = f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/{PROJECTS}/{self.project}"
        await self.stage.kube.delete(path)
        await self.stage.kube.wait_gone(PROJECTS, self.project, DEADLINE)

    @property
    def builds(self) -> list[StoredBuild]:
        """The builds of its job, newest first."""
        return self.stage.jenkins.builds_of((self.project, self.project))

    @property
    def tags(self) -> dict[str, str]:
        """Digest by tag, in its image repository."""
        return self.stage.hub.tags("acme", self.project)

    async def visit(self, host: str | None = None) -> Visit:
        """Its address as a visitor sees it."""
        return await self.outside.visit(host or self.host)

    def preview_host(self, environment: str) -> str:
        return f"{self.project}-{environment}.{ZONE}"

    async def left(self, name: str | None = None) -> list[str]:
        """What bears the name (default: the project's) anywhere outside, as words."""
        return [str(thing) for thing in await self.stage.inventory(name or self.project)]

    async def expect_left(self, expected: list[str], name: str | None = None) -> None:
        """Waits until exactly this is left."""

        async def as_expected() -> bool:
            return await self.left(name) == sorted(expected)

        try:
            await eventually(as_expected, "only what is expected is left", DEADLINE)
        except TimeoutError:
            assert await self.left(name) == sorted(expected)


def check_heartbeats(beats: list[Heartbeat], *, repeats: bool = False) -> None:
    """Gap-free from 1, in order, exactly one terminal; a repeat is equal in id and body."""
    bodies: dict[str, bytes] = {}
    order: list[int] = []
    for beat in beats:
        if beat.message_id in bodies:
            assert repeats, f"{beat.message_id} came twice"
            assert bodies[beat.message_id] == beat.body, f"{beat.message_id} came again with another body"
            continue
        bodies[beat.message_id] = beat.body
        order.append(beat.sequence)
    assert order == list(range(1, len(order) + 1)), f"the sequence is not gap-free from 1: {order}"
    terminals = {beat.message_id: beat for beat in beats if beat.payload["terminal"]}
    assert len(terminals) == 1, f"there are {len(terminals)} terminal heartbeats"
    last = next(iter(terminals.values()))
    later = [beat for beat in beats if beat.sequence > last.sequence]
    assert all(beat.payload["step"] == "expiry" for beat in later), "news after the end that is not about expiry"


def reason_of(resource: Object, kind: str) -> str:
    """The reason of a condition; empty when it is not there."""
    found = condition(resource, kind)
    return str(found["reason"]) if found else ""


def writes_of(stage: Stage, project: str) -> Counter[str]:
    """How often each request that writes was made about this project, at all stand-ins."""
    counted: Counter[str] = Counter()
    for standin in (stage.jenkins, stage.argocd, stage.hub, stage.godaddy):
        for call in standin.controls.writes:
            if project in call.path + call.query + call.body:
                counted[f"{call.method} {call.path}?{call.query} {call.body}"] += 1
    return counted
