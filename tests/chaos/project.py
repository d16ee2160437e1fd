"""One project through its days: set up, deployed, a preview that comes and expires, deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from testbed.kube_api import Object
from testbed.stage import ZONE
from testbed.stage_cluster import path
from testbed.stage_heartbeats import Heartbeat
from testbed.triggers import initialize, reconcile

from .effects import Effect
from .lane import Lane

PREVIEW = "pr-1"
PREVIEW_TTL = "1s"


class Project:
    """A project of a lane's own, moved by messages as users send them."""

    def __init__(self, lane: Lane, name: str) -> None:
        self.lane = lane
        self.stage = lane.stage
        self.name = name
        self.events: list[str] = []
        self.foreign: list[tuple[str, str]] = []
        """Type and name of the records that somebody else has at its names."""

    @property
    def phases(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"set-up": self.set_up, "deployment": self.deploy, "preview": self.preview, "deletion": self.delete}

    async def set_up(self, **spec: Any) -> None:
        """By message, until Ready=True; ``spec`` adds to its spec."""
        await self.ask_for_set_up(**spec)
        await self.ready()

    async def ask_for_set_up(self, **spec: Any) -> None:
        """By message."""
        sample = await self.stage.sample(self.name)
        spec = {"git": {"url": sample.url}, "ingress": {"host": f"{self.name}.{ZONE}"}, **spec}
        await self.stage.publish(initialize(self.name, spec))

    async def deploy(self) -> None:
        """By message, until it has succeeded."""
        await self.ended(await self.begin())

    async def preview(self) -> None:
        """A preview that is deployed, expires by itself, and is proven gone."""
        last = await self.ended(await self.begin(environment=PREVIEW, ttl=PREVIEW_TTL))
        await self.stage.kube.wait_condition(
            "deploymentrecords",
            self.stage.namespace,
            last.payload["deployment"],
            "CleanupVerified",
            deadline=self.lane.patience,
        )

    async def delete(self) -> None:
        """By kubectl, until it is gone."""
        await self.stage.kube.delete(path("devopsprojects", self.name, self.stage.namespace))
        await self.gone()

    async def ready(self) -> None:
        """Until Ready=True."""
        await self.stage.kube.wait_condition(
            "devopsprojects", self.stage.namespace, self.name, "Ready", deadline=self.lane.patience
        )

    async def gone(self) -> None:
        """Until it is not there any more."""
        await self.stage.kube.wait_gone("devopsprojects", self.name, self.lane.patience, self.stage.namespace)

    async def begin(self, **payload: str) -> str:
        """Ask for a deployment by message; its event id."""
        message = reconcile(self.name, "deploy", **payload)
        event = str(message["event_id"])
        self.events.append(event)
        await self.stage.publish(message)
        return event

    async def heard(self, event: str, step: str, state: str, word: str = "") -> Heartbeat:
        """The first heartbeat of the deployment that has this step in this state, with the word in its message."""

        def matches(beat: Heartbeat) -> bool:
            it = beat.payload
            found = it["trigger_event_id"] == event and (it["step"], it["state"]) == (step, state)
            return bool(found and word in (it["message"] or ""))

        return await self.stage.heartbeats.wait(matches, f"{step} {state}", self.lane.patience)

    async def ended(self, event: str, result: str = "Succeeded") -> Heartbeat:
        """The terminal heartbeat of the deployment, which must have this result."""
        last = await self.stage.heartbeats.terminal(self.name, event=event, deadline=self.lane.patience)
        if last.payload["result"] != result:
            raise AssertionError(f"the deployment ended as {last}")
        return last

    async def slow_down(self, seconds: float, branch: str = "main") -> None:
        """From now on builds of the branch take so much longer."""
        source = f"// standin: slow {seconds:g}\npipeline {{}}\n"
        await (await self.stage.sample(self.name)).commit("Take time", {"Jenkinsfile": source}, branch=branch)

    async def own(self, plural: str, name: str | None = None) -> Object:
        """One of its resources as it is now."""
        found = await self.stage.kube.read(plural, name or self.name, self.stage.namespace)
        assert found is not None, f"{plural} {name or self.name} is not there"
        return found

    @property
    def effects(self) -> Counter[Effect]:
        """What was made and removed for it so far."""
        return self.lane.effects.of(self.name)
