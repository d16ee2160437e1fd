"""A node without a machine: pods are put on it and become ready, and nothing runs. So Deployments become Available.

It does what the scheduler and a kubelet do to the API, as far as health depends on it: binds each pod, writes its
status, and removes what is being deleted. A pod with the annotation ``testbed/waiting: <reason>`` never gets ready: its
containers wait for that reason. The pods of a Job run on for ever.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp

from testbed.kube_api import KubeApi, KubeApiError, Object
from testbed.kubernetes import ControlPlane

NODE = "node-1"
PODS = "/api/v1/pods"
WAITING = "testbed/waiting"
HEARTBEAT = timedelta(seconds=10)
"""The cluster takes a node for dead that has written no status for 50 s."""
RETRY = timedelta(milliseconds=200)
log = logging.getLogger(__name__)


class Nodes:
    """``async with Nodes(control_plane)``: as long as it is open, in this event loop."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Nodes:
        self._api: KubeApi = self._control_plane.api()
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self._control_plane.apply([node])
        await self._beat()
        self._tasks = [
            asyncio.create_task(self._for_ever(self._beats), name="testbed-node-heartbeat"),
            asyncio.create_task(self._for_ever(self._follow), name="testbed-node-pods"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _for_ever(self, work: Any) -> None:
        """The API server may come and go."""
        while True:
            try:
                await work()
            except (aiohttp.ClientError, TimeoutError, KubeApiError) as error:
                log.info("the node lost the API server (%s); again in %s", error, RETRY)
            await asyncio.sleep(RETRY.total_seconds())

    async def _beats(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(HEARTBEAT.total_seconds())

    async def _beat(self) -> None:
        room = {"cpu": "1k", "memory": "1Ti", "pods": "1000"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
        status = {"conditions": [ready], "capacity": room, "allocatable": room}
        await self._api.patch(f"/api/v1/nodes/{NODE}/status", {"status": status})

    async def _follow(self) -> None:
        found = await self._api.get(PODS)
        for pod in found["items"]:
            await self._tend(pod)
        async for event in self._api.watch(PODS, found["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR":
                return
            if event["type"] in ("ADDED", "MODIFIED"):
                await self._tend(event["object"])

    async def _tend(self, pod: Object) -> None:
        """The next thing that this pod lacks; what it writes comes back as an event."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        try:
            if "deletionTimestamp" in metadata:
                await self._api.delete(path, gracePeriodSeconds=0)
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                binding: Object = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}}
                await self._api.create(f"{path}/binding", binding | {"target": target})
            elif not pod.get("status", {}).get("containerStatuses"):
                await self._api.patch(f"{path}/status", {"status": status_of(pod)})
        except KubeApiError as error:
            # It changed or went meanwhile: an event says so.
            if error.status not in (404, 409):
                raise


def status_of(pod: Object) -> Object:
    """What a kubelet would say of this pod a moment after it has started its containers, or could not."""
    reason = (pod["metadata"].get("annotations") or {}).get(WAITING)
    now, told = _now(), "False" if reason else "True"
    state: dict[str, Any] = {"running": {"startedAt": now}}
    if reason:
        state = {"waiting": {"reason": reason, "message": f"the testbed keeps it in {reason}"}}
    containers = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "ready": not reason,
            "restartCount": 0,
            "state": state,
        }
        for each in pod["spec"]["containers"]
    ]
    conditions = [
        {"type": kind, "status": "True" if kind in ("PodScheduled", "Initialized") else told, "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    phase = "Pending" if reason else "Running"
    return {"phase": phase, "startTime": now, "conditions": conditions, "containerStatuses": containers}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
