"""A node without a machine: pods are put on it and become ready, and nothing runs. So Deployments become Available.

The scheduler of Kubernetes puts pods on it, KWOK does to node and pods what a kubelet would: by its own stages, but
that a pod with the annotation ``testbed/waiting: <reason>`` never gets ready (testbed/kwok/stages.yaml) and that the
pods of a Job run on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import yaml

from testbed import build
from testbed.kube_api import Object
from testbed.kube_files import HOST
from testbed.kubernetes import ControlPlane
from testbed.processes import ChildProcess, Processes, free_port
from testbed.waiting import answers, eventually

NODE = "node-1"
NAMESPACE = "kube-system"
SCHEDULER, KWOK = "kube-scheduler", "kwok"
ROOM = {"cpu": "1k", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "1000"}
START_DEADLINE = timedelta(seconds=60)
LEASE = timedelta(seconds=40)
"""As a kubelet's. Without one the cluster takes the node for dead after 50 s, and its pods for unready for ever."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
UNMARKED = {"key": '.metadata.annotations["testbed/waiting"]', "operator": "DoesNotExist"}


class Nodes(Processes):
    """``async with Nodes(control_plane)``, or :meth:`start` and :meth:`stop`, while the control plane runs."""

    def __init__(self, control_plane: ControlPlane) -> None:
        super().__init__("devops-reconciler-nodes")
        self._control_plane = control_plane
        self._health = f"{HOST}:{free_port(HOST)}"

    def _set_up(self) -> None:
        """Builds the programs if needed; at the end the node is ready (about 5 s)."""
        scheduler, kwok = build.ensure("scheduler") / SCHEDULER, build.ensure("kwok")
        stages = self._run.path / "stages.yaml"
        stages.write_text(yaml.safe_dump_all(_stages(kwok)))
        asyncio.run(self._start_processes(scheduler, kwok / KWOK, stages))

    async def _start_processes(self, scheduler: Path, kwok: Path, stages: Path) -> None:
        accounts = {name: await self._control_plane.add_administrator(NAMESPACE, name) for name in (SCHEDULER, KWOK)}
        flags = [
            f"--kubeconfig={accounts[KWOK]}",
            f"--config={stages}",
            "--manage-all-nodes=true",
            f"--node-lease-duration-seconds={LEASE.total_seconds():.0f}",
            f"--server-address={self._health}",
        ]
        self._begin(KWOK, [kwok, *flags], lambda: answers(f"http://{self._health}/healthz"))
        flags = [f"--kubeconfig={accounts[SCHEDULER]}", "--leader-elect=false", "--secure-port=0", "--profiling=false"]
        # It serves nothing; that it works shows in where pods are put.
        self._begin(SCHEDULER, [scheduler, *flags], lambda: True)
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self._control_plane.apply([node | {"status": {"capacity": ROOM, "allocatable": ROOM}}])
        await eventually(self._usable, f"the node {NODE} is ready", START_DEADLINE)

    def _begin(self, name: str, command: list[str | Path], ready: Callable[[], bool]) -> None:
        folder = self._run.path
        # Nothing of the user's environment, as testbed/kubernetes.py.
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GOMAXPROCS": "2", "GOGC": "400"}
        process = ChildProcess(name, command, log=folder / f"{name}.log", environment=environment, cwd=folder)
        self._processes[name] = process
        process.start()
        process.wait_until_ready(ready, START_DEADLINE)

    async def _usable(self) -> bool:
        """Whether pods may be put on it and stay ready.

        The cluster takes the taint of a new node off once it is ready; by its lease it knows that the node lives.
        """
        api = self._control_plane.api()
        node, lease = await api.get(f"/api/v1/nodes/{NODE}"), await api.find(f"{LEASES}/{NODE}")
        conditions = (node.get("status") or {}).get("conditions") or ()
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and not node["spec"].get("taints") and lease is not None


def _stages(programs: Path) -> list[Object]:
    """KWOK's own for a node that is well and for pods, and ours."""
    bundle = build.BUNDLES["kwok"]
    own = [unless_waiting(yaml.safe_load((programs / name).read_text())) for name in bundle.files]
    return [*own, *yaml.safe_load_all((bundle.folder / "stages.yaml").read_text())]


def unless_waiting(stage: Object) -> Object:
    """The stage, but that one which makes a pod ready leaves alone what is to wait: KWOK takes any that fits."""
    if stage["metadata"]["name"] == "pod-ready":
        stage["spec"]["selector"]["matchExpressions"].append(UNMARKED)
    return stage
