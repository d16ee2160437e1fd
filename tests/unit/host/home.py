"""A project at rest, for the tests of looks: what polls of the loop ask the API server for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.kinds import KINDS
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import Object
from tests.unit.kinds.life import Life
from tests.unit.world import TEAM

from .test_loop import Outbox

POLL = timedelta(minutes=5)
FAMILY = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
PROJECT, REGISTRY, JENKINS, ARGO, ROUTE = (Key(kind, TEAM, "shop") for kind in FAMILY)
WHOSE = {"freeleaps.com/git-host": "git.example.com"}


class Home:
    """A project that is set up, its children, and the passes of the loop over them."""

    def __init__(self, life: Life | None = None, **spec: Any) -> None:
        self.life = life or Life()
        self.out = self.life.out
        if spec:
            self.out.secret("git", {"username": "ann", "password": "git-1"}, annotations=WHOSE)
        self.life.project(**spec)
        self.life.set_up()
        self.loop = Loop(self.out.world, Outbox(), Metrics())

    async def poll(self, *keys: Key) -> list[str]:
        """A pass over each; the calls."""
        mark = len(self.out.line.calls)
        for key in keys or (PROJECT, REGISTRY, JENKINS, ARGO, ROUTE):
            await self.loop._run(key)
        self.out.clock.advance(POLL)
        return self.out.line.since(mark)

    async def rest(self) -> None:
        """Until everything rests."""
        await self.poll()
        await self.poll()

    async def tell(self, obj: Object) -> None:
        """The watch tells of an object while passes may begin; those that it wakes do not."""
        self.loop.queue.open()
        self.loop.noticed(obj, deleted=False)
        await self.loop.queue.close(timedelta(0))

    def change(self, key: Key, patch: dict[str, Any], *, told: bool = True) -> Object:
        """Somebody else's change, as the watch tells it, or not."""
        obj = self.out.kubernetes.change(KINDS[key.kind].kind, TEAM, key.name, patch)
        if told:
            self.loop.noticed(obj, deleted=False)
        return obj

    def status(self, key: Key) -> dict[str, Any]:
        return self.life.status(key.name, key.kind)


def reads(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith(("kubernetes.get", "kubernetes.list"))]


async def at_rest(life: Life | None = None, **spec: Any) -> Home:
    it = Home(life, **spec)
    await it.rest()
    return it
