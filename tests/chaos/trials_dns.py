"""Names that somebody else has: story 5."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from testbed.stage import ZONE
from testbed.stage_cluster import path
from testbed.triggers import initialize

from .effects import FOREIGN
from .lane import Lane
from .project import Project
from .trial import Trial, wait_condition

OPERATIONS = 40


async def taken_before_we_come(lane: Lane, project: Project) -> list[str]:
    """An address that somebody has at our name is a conflict, and stays byte for byte; so after the deletion."""
    zone = lane.stage.godaddy.zone(ZONE)
    data, ttl = FOREIGN["A"]
    zone.add("A", project.name, data, ttl)
    before = zone.find("A", project.name)
    sample = await lane.stage.sample(project.name)
    spec = {"git": {"url": sample.url}, "ingress": {"host": f"{project.name}.{ZONE}"}}
    await lane.stage.publish(initialize(project.name, spec))
    await wait_until_made(lane, project)
    await wait_condition(project, "ingressresources", project.name, "Conflict", "mark")
    faults = [] if zone.find("A", project.name) == before else [f"it is now {zone.find('A', project.name)}"]
    await project.delete()
    left = zone.find("A", project.name)
    zone.remove("A", project.name)
    return faults if left == before else [*faults, f"after the deletion it is {left}"]


async def wait_until_made(lane: Lane, project: Project) -> None:
    """The project's part for addresses is there."""
    await lane.stage.kube.until(
        "ingressresources", project.name, lambda _: True, "it is made", lane.patience, lane.stage.namespace
    )


async def changed_at_random(seed: int, lane: Lane, project: Project) -> list[str]:
    """Hosts come and go, values of others stand at the same names: they never change."""
    chance = random.Random(seed)
    await project.set_up()
    zone = lane.stage.godaddy.zone(ZONE)
    names = [project.name, f"{project.name}-b", f"{project.name}-c"]
    theirs = {("TXT", name): FOREIGN["TXT"] for name in names} | {
        ("TXT", f"a-{name}"): FOREIGN["TXT"] for name in names
    }
    for (kind, name), (data, ttl) in theirs.items():
        zone.add(kind, name, data, ttl)
    for _ in range(OPERATIONS):
        host = f"{chance.choice(names)}.{ZONE}"
        body = {"spec": {"ingress": {"host": host, "ttl": chance.choice([600, 1200, 3600])}}}
        await lane.stage.kube.patch(path("devopsprojects", project.name, lane.stage.namespace), body)
        if chance.random() < 0.3:
            lane.replicas[0].kill()
        if chance.random() < 0.4:
            await lane.alive()
            await project.ready()
    await lane.alive()
    await project.ready()
    faults = []
    for (kind, name), (data, ttl) in theirs.items():
        if {"type": kind, "name": name, "data": data, "ttl": ttl} not in zone.find(kind, name):
            faults.append(f"the foreign {kind} of {name} is now {zone.find(kind, name)}")
    return faults


def dns_trials(seed: int) -> Iterator[Trial]:
    """All of them."""
    yield Trial(5, "somebody has an address at our name before we come", taken_before_we_come)
    yield Trial(5, f"{OPERATIONS} changes of host and TTL with kills between", partial(changed_at_random, seed))
