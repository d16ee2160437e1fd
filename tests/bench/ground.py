"""What the subjects of the bench stand on: stages whose stand-ins answer at once, projects on them, and quiet."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from testbed.audit import AuditEvent
from testbed.rights import user_in
from testbed.stage import ZONE, Stage
from testbed.stage_operator import Operator
from testbed.stage_pace import AT_ONCE, Pace
from testbed.triggers import initialize

UNLIMITED = 1_000_000
"""Requests a minute where the bench is not about the budgets of the vendors."""
BUDGETS = ("JENKINS", "ARGOCD", "DOCKERHUB", "REGISTRY", "GODADDY")
CALM = {"HEALTHY_STABLE_FOR": "0", "POLL_INTERVAL": "300s", "HEARTBEAT_INTERVAL": "10s"}
"""A healthy application counts at once; and the defaults instead of the stage's short intervals."""
QUIET_FOR = timedelta(seconds=2)
APART = ("", "leases", "kopfpeerings", "clusterkopfpeerings")
"""What the operator asks whether there is work or not: the server's version, the Lease, Kopf's peering."""
WRITES = ("create", "update", "patch", "delete")


@asynccontextmanager
async def stage_at_once(*, godaddy_per_minute: int = UNLIMITED) -> AsyncIterator[Stage]:
    """A stage without waits of its own."""
    pace: Pace = replace(AT_ONCE, godaddy_per_minute=godaddy_per_minute)
    async with Stage(pace) as stage:
        yield stage


def lifted() -> dict[str, str]:
    """Variables of an operator without budgets for the vendors, which judges a healthy application at once."""
    return {f"{name}_REQUEST_BUDGET": str(UNLIMITED) for name in BUDGETS} | CALM


async def project_spec(stage: Stage, name: str, repository: str | None = None, **fields: Any) -> dict[str, Any]:
    """The smallest spec of a project, with these fields; several may share a repository."""
    sample = await stage.sample(repository or name)
    return {"git": {"url": sample.url}, "ingress": {"host": f"{name}.{ZONE}"}, **fields}


async def set_up(
    stage: Stage, names: Iterable[str], deadline: timedelta, *, repository: str | None = None, **fields: Any
) -> None:
    """Projects by message, all at once, and wait until they are Ready. `fields` are added to their specs."""
    messages = [initialize(name, await project_spec(stage, name, repository, **fields)) for name in names]
    await asyncio.gather(*(stage.publish(message) for message in messages))
    await all_ready(stage, "devopsprojects", len(messages), deadline)


async def all_ready(stage: Stage, plural: str, count: int, deadline: timedelta) -> None:
    """Until so many objects of the kind are Ready for their generation."""

    async def ready() -> bool:
        found = await stage.kube.every(plural)
        return sum(1 for each in found if is_ready(each)) >= count

    await until(ready, f"{count} {plural} are Ready", deadline, every=timedelta(seconds=1))


def is_ready(resource: dict[str, Any]) -> bool:
    """Whether an object is Ready for its generation."""
    status = resource.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return ready and bool(status.get("observedGeneration") == resource["metadata"]["generation"])


async def until(
    probe: Callable[[], Awaitable[bool]], what: str, deadline: timedelta, *, every: timedelta = timedelta(seconds=0.05)
) -> None:
    """Ask again and again; raises TimeoutError."""
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            while True:
                if await probe():
                    return
                await asyncio.sleep(every.total_seconds())
    except TimeoutError:
        raise TimeoutError(f"not within {deadline.total_seconds():g} s: {what}") from None


async def quiet(stage: Stage, deadline: timedelta = timedelta(seconds=30)) -> None:
    """Until the operator of the stage has written nothing to the API server for a while."""
    await still(stage, user_in(stage.namespace), deadline)


async def still(stage: Stage, user: str, deadline: timedelta = timedelta(minutes=2)) -> None:
    """Until this user has written nothing for a while, the Lease apart."""

    async def silent() -> bool:
        since = stage.control_plane.audit.position()
        await asyncio.sleep(QUIET_FOR.total_seconds())
        return not any(event.verb in WRITES for event in requests_by(stage, user, since))

    await until(silent, f"{user} writes nothing more", deadline)


def requests(stage: Stage, since: int) -> list[AuditEvent]:
    """What the operator of the stage asked of the API server for its work."""
    return requests_by(stage, user_in(stage.namespace), since)


def requests_by(stage: Stage, user: str, since: int) -> list[AuditEvent]:
    """What this user asked for, the Lease and Kopf's peering apart. `user` is its whole name in the log."""
    return [e for e in stage.control_plane.audit.events(user=user, since=since) if e.resource not in APART]


def writes(stage: Stage, since: int) -> list[AuditEvent]:
    """Those that write, or try to; the events that people read apart."""
    return [e for e in requests(stage, since) if e.verb in WRITES and e.resource != "events"]


def vendor_requests(stage: Stage) -> Counter[str]:
    """How many requests each service has seen so far."""
    standins = {
        "Jenkins": stage.jenkins.controls,
        "Argo CD": stage.argocd.controls,
        "Docker Hub": stage.hub.controls,
        "registry": stage.hub.registry.controls,
        "GoDaddy": stage.godaddy.controls,
    }
    found = Counter({name: controls.counts.total() for name, controls in standins.items()})
    return found + Counter({"Git": stage.git.requests.total()})


async def passes(operator: Operator) -> int:
    """How many passes over objects the operator has made since its start."""
    status, text = await operator.answer("/metrics")
    if status != 200:
        raise RuntimeError(f"the operator shows no metrics: {text}")
    counts = re.findall(r"^devops_reconciler_reconciles_total\{.*\} (\S+)", text, re.MULTILINE)
    return round(sum(map(float, counts)))


@asynccontextmanager
async def operator_on(stage: Stage, **variables: str) -> AsyncIterator[Operator]:
    """An operator, stopped at the end."""
    operator = await stage.start_operator(**variables)
    try:
        yield operator
    finally:
        await operator.stop()
