"""The operator's own share of a deployment: message to terminal heartbeat, beside a bare sequential script."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from testbed.processes import ChildProcess
from testbed.stage import Stage
from testbed.stage_heartbeats import ROUTING_KEYS
from testbed.stage_operator import REPOSITORY, clean_environment
from testbed.triggers import reconcile
from tests.bench import bare
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.ground import lifted, operator_on, project_spec, quiet, set_up, stage_at_once

RATIO = 5.0
OPERATOR, SCRIPT = "shop", "bare"
"""A project each, alike."""
NAMESPACE = "bench-bare"
"""Where the script keeps its objects: no operator watches it."""
TEXT = """\
A message is published; the clock stops when the terminal heartbeat of its deployment arrives. Jenkins, Argo CD, Docker
Hub, the registry, GoDaddy and its nameservers answer at once, and `HEALTHY_STABLE_FOR` is 0, so that what is left is
the operator's own share. Both take the message from RabbitMQ, write a DeploymentRecord, resolve a new commit, build it,
find the image, claim the environment, release, sync, and prove health, name and address, with the same clients on the
same services, and report each step by a heartbeat. The script does one call after the other, asks again at once for
what takes time, and is safe against nothing. The operator saves its intents first and proves each step by a later read.
The calls of both are counted at the stand-ins."""


async def measure(repetitions: int) -> Findings:
    """Alternating, the order changing, after one of each to warm up."""
    async with stage_at_once() as stage, operator_on(stage, **lifted()):
        await set_up(stage, (OPERATOR, SCRIPT), timedelta(seconds=60))
        async with _script(stage):
            times: dict[str, list[float]] = {OPERATOR: [], SCRIPT: []}
            calls: dict[str, list[int]] = {OPERATOR: [], SCRIPT: []}
            for number in range(repetitions + 1):
                for project in (OPERATOR, SCRIPT) if number % 2 else (SCRIPT, OPERATOR):
                    seconds, asked = await _deploy(stage, project, number)
                    if number:
                        times[project].append(seconds)
                        calls[project].append(asked)
    return _findings(times, calls)


@asynccontextmanager
async def _script(stage: Stage) -> AsyncIterator[None]:
    """The script as a process, with a project of its own beside the operator's."""
    path = "/api/v1/namespaces"
    await stage.kube.create(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    await stage.kube.make("devopsprojects", SCRIPT, await project_spec(stage, SCRIPT), NAMESPACE)
    process = ChildProcess(
        "script",
        [sys.executable, "-m", bare.__name__, NAMESPACE],
        log=stage.folder / "script.log",
        # The rights of the operator end at its own namespaces.
        environment=clean_environment(stage.environment() | {"KUBECONFIG": str(stage.control_plane.kubeconfig())}),
        cwd=REPOSITORY,
    )
    await asyncio.to_thread(process.start)
    try:
        await asyncio.to_thread(process.wait_until_ready, lambda: bare.READY in process.log_tail())
        yield
    except TimeoutError as error:
        error.add_note(f"The script's log:\n{process.log_tail()}")
        raise
    finally:
        await asyncio.to_thread(process.kill)


async def _deploy(stage: Stage, project: str, number: int) -> tuple[float, int]:
    """Seconds from the message to the terminal heartbeat of a new commit, and the calls to vendors in them."""
    sample = await stage.sample(project)
    await sample.commit(f"Change {number}", {"greeting.txt": f"Change {number}.\n"})
    await quiet(stage)
    message = reconcile(project)
    before = _calls(stage)
    key = bare.ROUTING_KEY if project == SCRIPT else ROUTING_KEYS["DevOpsReconcile"]
    started = time.monotonic()
    await stage.publish(message, key)
    ended = await stage.heartbeats.terminal(project, event=message["event_id"])
    seconds = time.monotonic() - started
    if ended.payload["result"] != "Succeeded":
        raise RuntimeError(f"the deployment of {project} ended with {ended}")
    return seconds, sum((_calls(stage) - before).values())


def _calls(stage: Stage) -> Counter[str]:
    found: Counter[str] = Counter()
    for standin in (stage.jenkins, stage.argocd, stage.hub, stage.godaddy):
        for (method, template), count in standin.controls.counts.items():
            found[f"{type(standin).__name__} {method} {template}"] += count
    return found


def _findings(times: dict[str, list[float]], calls: dict[str, list[int]]) -> Findings:
    seconds = {who: Spread.of([each * 1000 for each in found]) for who, found in times.items()}
    asked = {who: Spread.of(found) for who, found in calls.items()}
    ratio = seconds[OPERATOR].median / seconds[SCRIPT].median
    rows = [
        [name, seconds[who].text(" ms"), f"{seconds[who].median / seconds[SCRIPT].median:.2f}", asked[who].text()]
        for who, name in ((SCRIPT, "bare sequential script"), (OPERATOR, "operator"))
    ]
    repetitions = len(times[OPERATOR])
    head = ("who", f"median of {repetitions} (spread)", "ratio", "calls to vendors")
    table = Table("Own share of a deployment", TEXT, head, rows)
    goal = Goal("operator against bare script", round(ratio, 2), RATIO, " times")
    raw = {"milliseconds": {"operator": seconds[OPERATOR].values, "script": seconds[SCRIPT].values}, "ratio": ratio}
    return Findings([table], [goal], raw)
