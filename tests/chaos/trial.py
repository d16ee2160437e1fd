"""Disturbances that are more than one point of one workload: each is a little story of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.stage_cluster import KINDS, condition, path
from testbed.waiting import eventually

from .checks import heartbeat_faults
from .lane import Lane
from .project import Project
from .scenario import quiet
from .state import facts_of

VENDORS = ("jenkins", "argocd", "dockerhub", "godaddy")
Script = Callable[[Lane, Project], Awaitable[list[str]]]


@dataclass(frozen=True)
class Trial:
    """``script`` gets a project that is nowhere yet, and returns what was wrong, in words."""

    story: int
    name: str
    script: Script
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the operator's environment must have: trials with the same run in one lane."""

    def __str__(self) -> str:
        return f"story {self.story}: {self.name}"


async def play(lane: Lane, trial: Trial, name: str) -> list[str]:
    """Run it, remove its project, and look for what is left."""
    project = Project(lane, name)
    try:
        faults = await trial.script(lane, project)
        faults += heartbeat_faults(lane.stage.heartbeats, project.events)
    except (AssertionError, TimeoutError, RuntimeError) as error:
        faults = [str(error)]
    lane.calm()
    lane.stage.heartbeats.listeners.clear()
    try:
        if await lane.stage.kube.read("devopsprojects", name, lane.stage.namespace) is not None:
            await project.delete()
        faults += await orphans(lane, name)
    except (AssertionError, TimeoutError, RuntimeError) as error:
        faults.append(f"it could not be deleted: {error}")
    return faults


async def orphans(lane: Lane, name: str) -> list[str]:
    """What a deleted project leaves behind, besides its image repository and its namespace."""
    await quiet([])
    left = await facts_of(lane.stage, name)
    allowed = ("/dockerhub/", "/cluster/namespaces ")
    return [f"left over: {each}" for each in sorted(left) if not each.startswith(allowed)]


def hub_leftovers(project: Project) -> list[str]:
    """Image repositories of a project that was to be removed with all it has."""
    return [f"left over: image repository {name}" for name in project.stage.hub.repositories if project.name in name]


async def one_build_each(project: Project) -> list[str]:
    """Exactly one build per deployment."""
    builds = project.stage.jenkins.builds_of((project.name, project.name))
    uids = [build.parameters.get("DEPLOYMENT_UID") for build in builds]
    if len(uids) != len(set(uids)) or len(uids) != len(project.events):
        return [f"{len(uids)} builds of {len(set(uids))} for {len(project.events)} deployments"]
    return []


def ended_builds(project: Project) -> Callable[[], Awaitable[int]]:
    """How many builds of the project have ended."""

    async def count() -> int:
        jenkins = project.stage.jenkins
        path = (project.name, project.name)
        return sum(not build.building for build in jenkins.builds_of(path)) if path in jenkins.items else 0

    return count


async def wait_condition(project: Project, plural: str, name: str, kind: str, word: str = "") -> str:
    """Until the condition is True and its message has the word; returns the message."""

    async def said() -> str:
        found = condition(await project.own(plural, name), kind)
        message = "" if found is None or found["status"] != "True" else str(found["message"])
        return message if word in message else ""

    return await eventually(said, f"{plural}/{name} says {kind} with '{word}'", project.lane.patience)


async def wait_stalled(project: Project, word: str) -> None:
    """Until one of its resources says that it is stalled, and by whom."""

    async def said() -> bool:
        for plural in KINDS:
            for each in await project.stage.kube.every(plural, project.stage.namespace):
                found = condition(each, "Stalled") if project.name in each["metadata"]["name"] else None
                if found is not None and found["status"] == "True" and word in str(found["message"]).lower():
                    return True
        return False

    await eventually(said, f"something of {project.name} says Stalled with '{word}'", project.lane.patience)


async def ask_deletion(project: Project) -> None:
    """As kubectl, not waiting for its end."""
    await project.stage.kube.delete(path("devopsprojects", project.name, project.stage.namespace))


async def touch(project: Project, plurals: Sequence[str]) -> None:
    """Ask for a look at each of its resources, as `kubectl annotate` does."""
    stage = project.stage
    for plural in plurals:
        body = {"metadata": {"annotations": {"freeleaps.com/requestedAt": str(asyncio.get_running_loop().time())}}}
        await stage.kube.patch(path(plural, project.name, stage.namespace), body)
